"""Quantizers in float64, and where float64 cannot tell their result."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nn2rtl.ir import functions as fn
from nn2rtl.ir.float_functions import Floats, decision_distance, float_round, per_element
from nn2rtl.ir.types import IntArray

Flags = npt.NDArray[np.bool_]


def float_quantized(
    quantizer: fn.AnyQuantizer,
    real: Floats,
    channel_of: IntArray,
    margin: float,
    magnitude: float = 1.0,
) -> tuple[IntArray, Flags]:
    """Integers of real numbers, and which need exact arithmetic.

    Parameters
    ----------
    quantizer : quantizer
        For all channels.
    real : float64 array [samples, elements]
        Numbers, with the errors of float64.
    channel_of : int64 array [elements]
        Channel of each element.
    margin : float
        How near to a decision a number is doubtful: in steps of the quantizer, or relative to the
        number where there is no step.
    magnitude : float
        Of the numbers that `real` was computed from, for the sign of a difference.

    Returns
    -------
    int64 array, bool array
        Right where not doubtful.
    """
    low, high = quantizer.low, quantizer.high
    if isinstance(quantizer, fn.SignQuantizer):
        return (real >= 0).astype(np.int64), np.abs(real) < margin * max(1.0, magnitude)
    if isinstance(quantizer, fn.StepQuantizer):
        result: IntArray = np.full(real.shape, low, dtype=np.int64)
        doubtful: Flags = np.zeros(real.shape, dtype=np.bool_)
        for level in range(high - low):
            column = tuple(row[level] for row in quantizer.thresholds)
            distance = real - per_element(column, channel_of)
            result += distance >= 0
            doubtful |= np.abs(distance) < margin * np.maximum(1.0, np.abs(real))
        return result, doubtful
    position = real / per_element(quantizer.scale, channel_of)
    zero = per_element(quantizer.zero_point, channel_of)
    after = zero if quantizer.zero_after else np.zeros(1)
    if not quantizer.zero_after and zero.any():
        position += zero
    np.clip(position, low - 1.0 - after, high + 1.0 - after, out=position)
    doubtful = decision_distance(quantizer.rounding, position) < margin
    # Beyond the range by one, what is clipped is certain.
    doubtful &= (position > low - 0.9 - after) & (position < high + 0.9 - after)
    rounded = float_round(quantizer.rounding, position) + after
    return np.clip(rounded, low, high).astype(np.int64), doubtful
