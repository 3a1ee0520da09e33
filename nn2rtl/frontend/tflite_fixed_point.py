"""TensorFlow Lite's fixed-point parameters, as its kernels prepare them from the file's scales.

Scales are float32. Which products are formed in float32 and which in float64 differs from kernel
to kernel and decides the last bit of a multiplier, so each function here follows one of them
(``tensorflow/lite/kernels``, version 2.15).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import floor, frexp, isfinite

import numpy as np

from nn2rtl.ir.fixed_point import high_multiply, rounding_shift

_ADD_SHIFT = 20
_SOFTMAX_INTEGER_BITS = 5


@dataclass(frozen=True)
class Multiplier:
    """``x * mantissa / 2^31 * 2^shift``, rounded twice.

    The product with the mantissa (after a shift to the left) is rounded half up, the shift to the
    right that follows half away from zero.

    Parameters
    ----------
    mantissa : int
        31 bits and a sign.
    shift : int
        To the left where positive.
    """

    mantissa: int
    shift: int

    @property
    def left(self) -> int:
        return max(self.shift, 0)

    @property
    def product(self) -> Fraction:
        """Factor ahead of the first rounding."""
        return Fraction(self.mantissa << self.left, 1 << 31)

    @property
    def quotient(self) -> Fraction:
        """Factor between the first and the second rounding."""
        return Fraction(1, 1 << max(-self.shift, 0))

    def apply(self, x: int) -> int:
        """The product of an integer, in plain integers."""
        return rounding_shift(high_multiply(x, self.mantissa << self.left), max(-self.shift, 0))


def round_away(x: float) -> int:
    """The nearest integer; ties go away from zero.

    Raises
    ------
    OverflowError, ValueError
        If x is infinite or not a number.
    """
    size = floor(abs(x))
    size += abs(x) - size >= 0.5
    return size if x >= 0 else -size


def quantize_multiplier(real: float) -> Multiplier:
    """The fixed-point form of a real factor (``QuantizeMultiplier``).

    Raises
    ------
    ValueError
        If it is not finite.
    """
    if not isfinite(real):
        raise ValueError(f"a scale ratio of {real}")
    if real == 0:
        return Multiplier(0, 0)
    fraction, shift = frexp(real)
    mantissa = round_away(fraction * (1 << 31))
    if abs(mantissa) == 1 << 31:
        mantissa //= 2
        shift += 1
    return Multiplier(0, 0) if shift < -31 else Multiplier(mantissa, shift)


def below_one(real: float) -> Multiplier:
    """As `quantize_multiplier`, for a factor that the kernel requires to be below one."""
    if not 0 < real < 1:
        raise ValueError(f"a scale ratio of {real:g}, which has to lie between 0 and 1")
    return quantize_multiplier(real)


def float32_product(*factors: float) -> float:
    """Product of float32 numbers in float32, from the left."""
    result = np.float32(1)
    with np.errstate(all="ignore"):
        for factor in factors:
            result = np.float32(result * np.float32(factor))
    return float(result)


def float32_ratio(numerator: float, denominator: float) -> float:
    """Quotient of float32 numbers in float32."""
    with np.errstate(all="ignore"):
        return float(np.float32(numerator) / np.float32(denominator))


def convolution(operand: float, weight: float, result: float) -> Multiplier:
    """Of one output channel of a convolution, from its scales."""
    return quantize_multiplier(operand * weight / result)


def fully_connected(operand: float, weight: float, result: float) -> Multiplier:
    """Of a layer with one scale for all weights: the product is formed in float32."""
    return quantize_multiplier(float32_product(operand, weight) / result)


def addition(left: float, right: float, result: float) -> tuple[Multiplier, Multiplier, Multiplier]:
    """Of both operands, shifted to the left by 20 bits, and of their sum."""
    twice = float32_product(2, max(left, right))
    return (
        below_one(left / twice),
        below_one(right / twice),
        below_one(twice / float32_product(1 << _ADD_SHIFT, result)),
    )


ADDITION_UNIT = 1 << _ADD_SHIFT
"""Weight of an addition's operands ahead of their multipliers."""


def multiplication(left: float, right: float, result: float) -> Multiplier:
    """Of a product of two tensors: all in float32."""
    return quantize_multiplier(float32_ratio(float32_product(left, right), result))


def mean(operand: float, result: float, count: int) -> Multiplier:
    """Of a sum of `count` integers: the division by the count is part of it."""
    whole = quantize_multiplier(operand / result)
    shift = min(count.bit_length() - 1, 32, 31 + whole.shift)
    return Multiplier((whole.mantissa << shift) // count, whole.shift - shift)


@dataclass(frozen=True)
class SoftmaxParameters:
    """Of the exponential in a softmax; see `nn2rtl.ir.model.FixedPointSoftmax`."""

    multiplier: int
    left_shift: int
    diff_min: int


def softmax(beta: float, scale: float) -> SoftmaxParameters:
    """Parameters of a softmax of ``beta`` times integers of a scale.

    Raises
    ------
    ValueError
        If the kernel refuses the scale.
    """
    real = min(beta * scale * (1 << (31 - _SOFTMAX_INTEGER_BITS)), (1 << 31) - 1.0)
    if not real > 1:
        raise ValueError(f"beta times the operand's scale is {beta * scale:g}, too small")
    exact = quantize_multiplier(real)
    radius = ((1 << _SOFTMAX_INTEGER_BITS) - 1) << (31 - _SOFTMAX_INTEGER_BITS)
    return SoftmaxParameters(exact.mantissa, exact.shift, -(radius >> exact.shift))


def clip_range(activation: str, scale: float, zero_point: int, low: int, high: int) -> range:
    """Integers that a fused activation leaves (``CalculateActivationRangeQuantized``).

    Raises
    ------
    OverflowError
        If the scale is too small for the activation's bounds.
    """

    def level(real: float) -> int:
        return zero_point + round_away(float32_ratio(real, scale))

    match activation:
        case "RELU":
            low = max(low, level(0.0))
        case "RELU6":
            low, high = max(low, level(0.0)), min(high, level(6.0))
        case "RELU_N1_TO_1":
            low, high = max(low, level(-1.0)), min(high, level(1.0))
    return range(low, high + 1)
