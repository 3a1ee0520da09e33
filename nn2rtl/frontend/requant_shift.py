"""RequantShift: a layer's integers times a multiplier, shifted right, rounded and clipped."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from nn2rtl.frontend.constants import as_exact
from nn2rtl.frontend.context import NodeContext, shown
from nn2rtl.frontend.elementwise import affine
from nn2rtl.frontend.registry import STANDARD, handles
from nn2rtl.frontend.shapes import fit
from nn2rtl.frontend.source import SourceTensor
from nn2rtl.frontend.values import Tensor, Value
from nn2rtl.ir.model import Quantize, Rounding
from nn2rtl.ir.types import ExactArray, exact_array

_MAX_LEVELS = 1 << 16


@handles(
    "RequantShift",
    domains=(*STANDARD, "PACTOps"),
    supported="clip(floor((x * mul + add + div / 2) / div)), mul and add for the tensor or for "
    "each channel",
)
def requant_shift(context: NodeContext) -> Value:
    x = context.tensor(0)
    div = _number(context, "div")
    if div <= 0:
        raise context.invalid(f"attribute 'div' is {shown(div)}")
    levels = _number(context, "n_levels_out" if context.has("n_levels_out") else "n_levels")
    if levels.denominator != 1 or not 2 <= levels <= _MAX_LEVELS:
        raise context.unsupported(f"{shown(levels)} levels", f"use from 2 to {_MAX_LEVELS} levels")
    low, high = 0, int(levels) - 1
    if _number(context, "signed"):
        low, high = -(int(levels) // 2), int(levels) // 2 - 1
    scale, offset = (_parameter(context, index, x) for index in (1, 2))
    y = affine(context, x, as_exact(scale / div), as_exact((offset + div / 2) / div))
    op = Quantize(exact_array(1), exact_array(0), low, high, Rounding.FLOOR)
    return context.emit(op, (y,), y.shape)


def _parameter(context: NodeContext, index: int, x: Tensor) -> ExactArray:
    """A number, or one for each channel (the first axis of a sample)."""
    values = context.exact(index)
    if values.size == 1:
        return values.reshape(())
    if values.ndim == 1 and x.shape and values.size == x.shape[0]:
        return values.reshape(-1, *(1,) * (len(x.shape) - 1))
    return as_exact(fit(context, values, x, f"input {index}"))


def _number(context: NodeContext, name: str) -> Fraction:
    """An attribute that is a number, or a tensor with one number."""
    value = context.node.attributes.get(name)
    if isinstance(value, SourceTensor):
        value = tuple(np.asarray(context.to_exact(context.tensor_attribute(name))).ravel())
    if isinstance(value, tuple) and len(value) == 1:
        (value,) = value
    if not isinstance(value, int | float | Fraction) or value != value or abs(value) == np.inf:
        raise context.invalid(
            f"attribute {name!r} has to be a number",
            "the file is not a valid integer network: export it again",
        )
    return Fraction(value)
