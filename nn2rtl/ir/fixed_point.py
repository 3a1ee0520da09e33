"""Fixed-point exponential and reciprocal, integer for integer as in TensorFlow Lite's kernels.

Numbers are 32-bit integers in the format Qm.n, value times 2^n. The functions are those that the
reference kernels call (gemmlowp's ``fixedpoint.h`` and ``GetReciprocal``), without their
intermediate types. Arguments that the kernels never pass are not covered.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from nn2rtl.ir.types import IntArray

Ints = TypeVar("Ints", int, IntArray)

MAX_INT32 = (1 << 31) - 1

_DIFFERENCE_BITS = 26  # operands of the exponential are Q5.26
_EXP_MINUS_1_8 = 1895147668  # exp(-1/8) in Q0.31
_ONE_THIRD = 715827883  # in Q0.31
_EXP_OF_POWERS = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)
"""exp(-2^k) in Q0.31, for k from -2 to 4."""
RECIPROCAL_START = 1515870810  # 48/17 in Q2.29
RECIPROCAL_SLOPE = -1010580540  # -32/17 in Q2.29
RECIPROCAL_ONE = 1 << 29
RECIPROCAL_ROUNDS = 3
SUM_INTEGER_BITS = 12  # sums of exponentials are Q12.19


def high_multiply(a: Ints, b: Ints) -> Ints:
    """``a b / 2^31``, ties up: the rounding doubling high multiplication of 32-bit integers."""
    return (a * b + (1 << 30)) >> 31


def rounding_shift(x: int, bits: int) -> int:
    """``x / 2^bits``, ties away from zero."""
    half = (1 << bits) >> 1
    return (x + half) >> bits if x >= 0 else -((half - x) >> bits)


def exponential(x: int) -> int:
    """exp(x) in Q0.31, for x from -32 to 0 in Q5.26.

    A Taylor polynomial about -1/8 for the part modulo 1/4, and a factor for each bit of the rest.
    """
    if x == 0:
        return MAX_INT32
    quarter = 1 << (_DIFFERENCE_BITS - 2)
    part = (x & (quarter - 1)) - quarter
    y = (part << 5) + (1 << 28)  # Q0.31, about -1/8
    y2 = high_multiply(y, y)
    y3 = high_multiply(y2, y)
    y4 = rounding_shift(high_multiply(y2, y2), 2)
    series = rounding_shift(high_multiply(y4 + y3, _ONE_THIRD) + y2, 1)
    result = _EXP_MINUS_1_8 + high_multiply(_EXP_MINUS_1_8, y + series)
    rest = part - x
    for k, factor in enumerate(_EXP_OF_POWERS):
        if rest >> (_DIFFERENCE_BITS - 2 + k) & 1:
            result = high_multiply(result, factor)
    return result


def reciprocal(total: IntArray) -> tuple[IntArray, IntArray]:
    """``1 / total`` by Newton and Raphson's iteration, for sums in Q12.19 from 1 on.

    Returns
    -------
    mantissa, exponent : int64 arrays
        The reciprocal is ``mantissa / 2^31 / 2^exponent``.
    """
    # float64 holds all sums exactly, so its exponent is the number of bits.
    bits = np.frexp(total.astype(np.float64))[1].astype(np.int64)
    half = total << (31 - bits)  # half of what is left of the leading one, 1/2 to 1 in Q0.31
    x = RECIPROCAL_START + high_multiply(half, np.int64(RECIPROCAL_SLOPE) + 0 * half)
    for _ in range(RECIPROCAL_ROUNDS):
        error = RECIPROCAL_ONE - high_multiply(half, x)
        x = x + (high_multiply(x, error) << 2)
    return np.minimum(x << 1, MAX_INT32), bits - (32 - SUM_INTEGER_BITS)


def softmax_exponential(difference: int, multiplier: int, left_shift: int, diff_min: int) -> int:
    """The kernel's exponential, in Q0.31, of a difference (at most 0) of the operand's integers.

    The other parameters are those of `nn2rtl.ir.model.FixedPointSoftmax`.
    """
    if difference < diff_min:
        return 0
    return exponential(high_multiply(difference << left_shift, multiplier))
