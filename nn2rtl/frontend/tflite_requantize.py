"""The end of an integer operator: fixed-point multiplication, zero point, clipping."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import TypeVar

import numpy as np

from nn2rtl.frontend.tflite_context import OperatorContext
from nn2rtl.frontend.tflite_fixed_point import Multiplier, clip_range
from nn2rtl.frontend.tflite_values import Quantization
from nn2rtl.ir.model import Quantize, Round, Rounding
from nn2rtl.ir.types import ExactArray, IntArray, exact_array

T = TypeVar("T")

_LIMIT = float(1 << 31)


def prepared(context: OperatorContext, parameters: Callable[[], T]) -> T:
    """Parameters computed from the file's scales; ModelError where a kernel would refuse them."""
    try:
        return parameters()
    except (ArithmeticError, ValueError) as error:
        raise context.invalid(f"{error}", "the scales of its tensors do not fit together") from None


def multiplied(
    context: OperatorContext,
    node: str,
    multipliers: Sequence[Multiplier],
    *,
    unit: Fraction = Fraction(1),
    step: int = 1,
    channels: tuple[int, ...] = (),
) -> str:
    """Integers of a node, times multipliers: still integers, rounded as the kernels do it.

    Parameters
    ----------
    multipliers : sequence of Multiplier
        One, or one for each channel.
    unit : Fraction
        The node's values are the integers divided by it.
    step : int
        The integers are multiples of it.
    channels : tuple of int
        Shape that spreads several multipliers over the node's channels.
    """

    def spread(values: list[Fraction]) -> ExactArray:
        array = exact_array(np.array(values, dtype=object))
        return array.reshape(channels) if len(values) > 1 else array.reshape(())

    products = [multiplier.product for multiplier in multipliers]
    quotients = [multiplier.quotient for multiplier in multipliers]
    shape = context.graph.types[node].shape
    node = context.affine(node, spread([product * unit for product in products]), 0)
    if any((product * step).denominator != 1 for product in products):  # not integers already
        node = context.emit(Round(Rounding.HALF_UP), (node,), shape, "rounded")
    if any(quotient != 1 for quotient in quotients):
        node = context.affine(node, spread(quotients), 0, "shifted")
        node = context.emit(Round(Rounding.HALF_AWAY), (node,), shape, "shifted_rounded")
    return node


def clipped(
    context: OperatorContext, node: str, result: Quantization, activation: str = "NONE"
) -> str:
    """Add the zero point and clip: the integers of the operator's result."""
    levels = prepared(
        context,
        lambda: clip_range(activation, result.scale, result.zero_point, result.low, result.high),
    )
    if not levels:
        raise context.unsupported(f"{activation} leaves nothing of the result's range")
    node = context.affine(node, 1, result.zero_point, "offset")
    quantizer = Quantize(exact_array(1), exact_array(0), levels[0], levels[-1])
    return context.emit(quantizer, (node,), context.graph.types[node].shape, "quantized")


def check_sums(
    context: OperatorContext, low: IntArray, high: IntArray, multipliers: Sequence[Multiplier]
) -> None:
    """Refuse sums that may leave 32 bits, where the kernels' results are not defined."""
    factor = np.array([2.0**multiplier.left for multiplier in multipliers])
    if (low * factor).min() < -_LIMIT or (high * factor).max() >= _LIMIT:
        raise context.unsupported(
            "its sums may overflow 32 bits", "check the scales of its tensors and its bias"
        )
