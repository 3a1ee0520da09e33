"""The integer arithmetic of `nn2rtl.ir.integer.Softmax`: tables of exponentials, and division.

**Exact division.** Operands are ``scale * q``; the quantizer counts steps of ``step``, so that
``p / step`` is rounded, p being the real softmax. With ``step = num / den`` in lowest terms and a
power of two c the tables are

    numerators[d] = round(exp(-d scale) den c),    denominators[d] = round(exp(-d scale) num c)

and the quotient of integers ``n / S``, S the sum of the denominators, is rounded exactly. Where
all operands that count are equal it is the real quotient itself: ties are ties. Else, for N
channels, each entry is off by at most 1/2, S is at least ``denominators[0]``, and

    |n / S - p / step| <= (1/2 + (p / step) N / 2) / S <= (1 + N / step) / (2 denominators[0])

steps (`error_bound`). The result is the correctly rounded one unless ``p / step`` is that close to
where the rounding changes. c is chosen such that the bound is at most 2^-24, unless that took
entries of more than 61 bits (steps of 2^-16 with 16 channels or more, say).

**Reciprocal.** TensorFlow Lite's int8 kernel, integer for integer: exponentials in Q0.31, their
sum in Q12.19, a reciprocal by three rounds of Newton's iteration (`nn2rtl.ir.fixed_point`), and
for each element a product that is rounded twice.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from nn2rtl.ir import fixed_point
from nn2rtl.ir import integer as ig
from nn2rtl.ir.exact import round_exact
from nn2rtl.ir.model import Function, Rounding
from nn2rtl.ir.real_functions import value as real_value
from nn2rtl.ir.types import IntArray

ERROR_BITS = 24
MAX_ENTRY_BITS = 61
RECIPROCAL_SHIFT = 23
"""Bits below a step of 1/256 in a product of numerator and reciprocal (Q0.31)."""


def exact_tables(
    scale: Fraction, step: Fraction, channels: int, differences: int
) -> tuple[IntArray, IntArray]:
    """Tables for an exact division.

    Parameters
    ----------
    scale : Fraction
        Of the operand's integers; positive.
    step : Fraction
        Of the result; positive, above 2^-36.
    channels : int
        Elements of a sum.
    differences : int
        Greatest difference between two operands.

    Returns
    -------
    numerators, denominators : int64 arrays
        From the difference 0 on, up to `differences` or the first at which both are 0.
    """
    greatest = -(-step.denominator // step.numerator)
    bits = ERROR_BITS + (1 + channels * greatest - 1).bit_length()
    bits = max(1, min(bits, MAX_ENTRY_BITS - greatest.bit_length()))
    shift = bits - step.numerator.bit_length()
    unit = Fraction(1 << shift) if shift >= 0 else Fraction(1, 1 << -shift)
    rows = []
    for difference in range(differences + 1):
        power = real_value(Function.EXP, Fraction(0), -difference * scale)
        row = tuple(
            round_exact(power * factor * unit, Rounding.HALF_UP)
            for factor in (step.denominator, step.numerator)
        )
        rows.append(row)
        if not any(row):
            break
    table = np.array(rows, dtype=np.int64)
    return table[:, 0], table[:, 1]


def error_bound(op: ig.Softmax, step: Fraction, channels: int) -> Fraction:
    """How far ``n / S`` can be from the real quotient, in steps; see above.

    Parameters
    ----------
    op : Softmax
        With exact division.
    step : Fraction
        Of the result.
    channels : int
        Elements of a sum.
    """
    return (1 + channels / step) / (2 * int(op.denominators[0]))


def kernel_tables(
    multiplier: int, left_shift: int, diff_min: int, differences: int
) -> tuple[IntArray, IntArray]:
    """Tables of TensorFlow Lite's kernel, for differences from 0 to at most `differences`.

    The other parameters are those of `nn2rtl.ir.model.FixedPointSoftmax`.
    """
    last = min(differences, 1 - diff_min)
    entries = [
        fixed_point.softmax_exponential(-difference, multiplier, left_shift, diff_min)
        for difference in range(last + 1)
    ]
    sums = [fixed_point.rounding_shift(e, fixed_point.SUM_INTEGER_BITS) for e in entries]
    return np.array(entries, dtype=np.int64), np.array(sums, dtype=np.int64)


def evaluate(op: ig.Softmax, x: IntArray) -> IntArray:
    """Results for operands [..., channels].

    Parameters
    ----------
    op : Softmax
        What to compute.
    x : int64 array
        Operands.
    """
    difference = np.minimum(x.max(axis=-1, keepdims=True) - x, len(op.numerators) - 1)
    numerator = op.numerators[difference]
    total = op.denominators[difference].sum(axis=-1, keepdims=True)
    if op.division is ig.Division.RECIPROCAL:
        mantissa, exponent = fixed_point.reciprocal(total)
        product = fixed_point.high_multiply(numerator, mantissa)
        rounded = ((product >> (RECIPROCAL_SHIFT - 1 + exponent)) + 1) >> 1
    else:
        rounded = _quotient(op, numerator, total)
    result: IntArray = np.clip(rounded + op.zero, op.low, op.high)
    return result


def _quotient(op: ig.Softmax, numerator: IntArray, total: IntArray) -> IntArray:
    halves: IntArray
    halves, rest = np.divmod(2 * numerator, total)
    floor = halves >> 1
    if op.rounding is Rounding.FLOOR:
        return floor
    tie = (halves & 1 == 1) & (rest == 0)
    if op.rounding is Rounding.HALF_UP:
        down = np.zeros_like(tie)
    elif op.rounding is Rounding.HALF_DOWN:
        down = tie
    else:
        down = tie & ((floor & 1) == odd_zero(op))
    result: IntArray = floor + ((halves & 1 == 1) & ~down)
    return result


def odd_zero(op: ig.Softmax) -> int:
    """Lowest bit of the quotients that are even once the zero point is added ahead of rounding."""
    return 0 if op.zero_after else op.zero & 1
