"""Exact quantization of constants."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction

import numpy as np

from nn2rtl.frontend.source import Array
from nn2rtl.ir.exact import round_exact
from nn2rtl.ir.float_functions import decision_distance, float_round
from nn2rtl.ir.model import Rounding
from nn2rtl.ir.types import ExactArray, IntArray

# Far above the rounding errors of the float64 quotient (a few units of 2^-53, relative).
_DOUBT = 2.0**-40


def quantize_constant(
    values: Array,
    scale: ExactArray,
    zero_point: ExactArray,
    low: int,
    high: int,
    rounding: Rounding,
) -> IntArray:
    """``clip(round(values / scale + zero_point), low, high)`` as in rational arithmetic.

    Quotients are computed in float64; where rounding errors could matter, that is near a rounding
    boundary, with Fractions.

    Parameters
    ----------
    values : array of finite floats, integers or Fractions
    scale, zero_point : arrays of Fraction
        Broadcastable to `values`; scales positive.
    low, high : int
        At most 32 bits.

    Returns
    -------
    int64 array
        Of the shape of `values`.
    """
    shape = values.shape
    with np.errstate(over="ignore", under="ignore"):
        x = _floats(values)
        s = np.broadcast_to(_floats(scale), shape)
        z = np.broadcast_to(_floats(zero_point), shape)
        # A scale that underflows or overflows float64 leaves everything to the exact path.
        usable = (s > 0) & np.isfinite(s) & np.isfinite(x)
        quotient = np.divide(x, s, out=np.zeros(shape), where=usable)
        # Beyond the range by one the result is certain; zero points are of 32 bits at most.
        real = np.clip(quotient, -(2.0**40), 2.0**40) + z
    error = _DOUBT * (np.abs(real) + np.abs(z) + 1)
    doubtful = (decision_distance(rounding, real) <= error) | ~usable
    doubtful &= ~usable | ((real > low - 1.5) & (real < high + 1.5))
    clipped = np.clip(float_round(rounding, real), low, high)
    result: IntArray = np.asarray(clipped, dtype=np.int64)
    _settle(result, doubtful, values, scale, zero_point, low, high, rounding)
    return result


def _floats(values: Array) -> Array:
    """The nearest float64 numbers; infinite beyond their range."""
    try:
        return values.astype(np.float64)
    except OverflowError:  # a Fraction beyond the range of float64
        result = np.full(values.shape, np.inf)
        for index, value in enumerate(values.ravel()):
            with suppress(OverflowError):
                result.ravel()[index] = float(value)
        return result


def _settle(
    result: IntArray,
    doubtful: Array,
    values: Array,
    scale: ExactArray,
    zero_point: ExactArray,
    low: int,
    high: int,
    rounding: Rounding,
) -> None:
    scales = np.broadcast_to(scale, values.shape)
    zero_points = np.broadcast_to(zero_point, values.shape)
    known: dict[tuple[object, int, int], int] = {}  # weights on a grid repeat a few values
    for index in zip(*np.nonzero(doubtful)) if values.ndim else [()] * int(doubtful):
        value, s, z = values[index], scales[index], zero_points[index]
        value = value if isinstance(value, Fraction) else value.item()
        key = (value, id(s), id(z))
        if key not in known:
            integer = round_exact(Fraction(value) / s + z, rounding)
            known[key] = min(max(integer, low), high)
        result[index] = known[key]
