"""QONNX's Trunc: drops the lowest bits of a quantized tensor."""

from __future__ import annotations

from fractions import Fraction
from math import log2

import numpy as np

from nn2rtl.frontend.constants import as_exact
from nn2rtl.frontend.context import NodeContext, shown
from nn2rtl.frontend.elementwise import affine
from nn2rtl.frontend.integers import whole
from nn2rtl.frontend.qonnx import (
    QONNX_DOMAINS,
    fitted,
    level_range,
    positive_scale,
    rounding_mode,
)
from nn2rtl.frontend.registry import handles
from nn2rtl.frontend.values import Tensor, Value
from nn2rtl.ir.exact import round_exact
from nn2rtl.ir.model import Quantize, Round, Rounding
from nn2rtl.ir.types import ExactArray, exact_array

_MAX_BITS = 32
_MAX_OUTPUT_BITS = 16


@handles(
    "Trunc",
    domains=QONNX_DOMAINS,
    supported="with output scale (version 2), or without (version 1, which does not clip), every "
    "rounding mode",
)
def trunc(context: NodeContext) -> Value:
    x = context.tensor(0)
    scale = fitted(context, positive_scale(context, 1), x, "scale")
    zero_point = fitted(context, context.exact(2), x, "zero point")
    rounding = rounding_mode(context, "FLOOR")
    count = len(context.inputs)
    if count not in (5, 6):
        raise context.unsupported(
            f"{count} inputs", "5 inputs are version 1 of the operator, 6 inputs version 2"
        )
    q = affine(context, x, as_exact(1 / scale), zero_point)
    if whole(context.graph, q.name) is None:
        q = context.emit(Round(Rounding.HALF_EVEN), (q,), q.shape)
    bits = _bits(context, count - 1)
    if count == 5:
        divisor = exact_array(Fraction(2) ** (_bits(context, 3) - bits))
        low, high = _unclipped(context, q, divisor.item(), bits, rounding)
        out_scale, out_zero = scale, zero_point
    else:
        out_scale = fitted(context, positive_scale(context, 4), x, "output scale")
        divisor = _power_of_two(as_exact(out_scale / scale))
        signed, narrow = bool(context.integer("signed", 1)), bool(context.integer("narrow", 0))
        low, high = level_range(bits, signed, narrow)
        out_zero = as_exact(zero_point / divisor)
    y = affine(context, q, as_exact(1 / divisor))
    y = context.emit(Quantize(exact_array(1), exact_array(0), low, high, rounding), (y,), y.shape)
    return affine(context, y, out_scale, as_exact(-out_zero * out_scale))


def _bits(context: NodeContext, index: int) -> int:
    widths = set(context.exact(index).ravel())
    most = _MAX_BITS if index == 3 else _MAX_OUTPUT_BITS
    width = widths.pop() if widths else Fraction(0)
    if widths or width.denominator != 1 or not 1 <= width <= most:
        raise context.unsupported(
            f"bit width {shown(width)}", f"use one whole bit width from 1 to {most}"
        )
    return int(width)


def _power_of_two(ratio: ExactArray) -> ExactArray:
    """The powers of two nearest to the ratios of output scale to scale."""
    powers = [
        Fraction(2) ** round(log2(number.numerator) - log2(number.denominator))
        for number in ratio.ravel()
    ]
    return exact_array(np.array(powers, dtype=object)).reshape(ratio.shape)


def _unclipped(
    context: NodeContext, q: Tensor, divisor: Fraction, bits: int, rounding: Rounding
) -> tuple[int, int]:
    """Levels that contain every result.

    Where the operand's bounds are not known, it is taken to have the bits that the node states; one
    more, signed or not, is allowed for.
    """
    known = whole(context.graph, q.name)
    if known is None or known.low is None or known.high is None:
        return -(1 << bits), 1 << (bits + 1)
    return round_exact(known.low / divisor, rounding), round_exact(known.high / divisor, rounding)
