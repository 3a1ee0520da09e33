"""Exact arithmetic on rational numbers: rounding, and square roots that decide comparisons."""

from __future__ import annotations

from fractions import Fraction
from math import isqrt

from nn2rtl.ir.model import Rounding

_SQRT_BITS = 322
_HALF = Fraction(1, 2)


def exact_sqrt(value: Fraction) -> Fraction:
    """The square root, exact if it is rational, else rounded down within 2^-320 of its value.

    A quantizer compares ``a * sqrt(v)`` with ``c`` for rational ``a`` and ``c`` (batch
    normalization's scale against a rounding bound). If the root is irrational the two sides are
    equal only when both are zero, so an approximation suffices when it is finer than their
    distance. Squared, and multiplied by the denominators, both sides are integers that differ by
    at least one: with ``a = A / a'``, ``c = C / c'``, ``v = V / D`` their relative distance is at
    least ``1 / (2 * C^2 * a'^2 * D)`` for close values. Float32 parameters of ordinary magnitude
    have ``C * a' < 2^120`` and ``D < 2^78``, hence a distance above 2^-319: the approximation is
    on the same side as the root, and every comparison comes out as in exact arithmetic.

    Parameters
    ----------
    value : Fraction
        Not negative.

    Raises
    ------
    ValueError
        If `value` is negative.
    """
    if value < 0:
        raise ValueError(f"square root of the negative number {value}")
    numerator, denominator = isqrt(value.numerator), isqrt(value.denominator)
    if numerator**2 == value.numerator and denominator**2 == value.denominator:
        return Fraction(numerator, denominator)
    # The root gets at least _SQRT_BITS significant bits, also when the value is tiny.
    magnitude = value.denominator.bit_length() - value.numerator.bit_length()
    shift = _SQRT_BITS + max(0, magnitude // 2 + 1)
    return Fraction(isqrt((value.numerator << (2 * shift)) // value.denominator), 1 << shift)


def round_exact(value: Fraction, rounding: Rounding) -> int:
    """The integer that a rational number is rounded to.

    Parameters
    ----------
    value : Fraction
        Number to round.
    rounding : Rounding
        How; for the ``HALF_*`` modes only ties differ.
    """
    floor = value.numerator // value.denominator
    fraction = value - floor
    if fraction == 0:
        return floor
    negative = value < 0
    match rounding:
        case Rounding.FLOOR:
            up = False
        case Rounding.CEIL:
            up = True
        case Rounding.UP:
            up = not negative
        case Rounding.DOWN:
            up = negative
        case _ if fraction != _HALF:
            up = fraction > _HALF
        case Rounding.HALF_EVEN:
            up = floor % 2 == 1
        case Rounding.HALF_UP:
            up = True
        case Rounding.HALF_DOWN:
            up = False
        case Rounding.HALF_AWAY:
            up = not negative
        case Rounding.HALF_TO_ZERO:
            up = negative
    return floor + up
