"""Weights whose scales differ within an output channel, put on one grid a channel, exactly."""

from __future__ import annotations

from fractions import Fraction
from functools import reduce
from math import gcd

import numpy as np

from nn2rtl.ir.types import IntArray, IntType, QuantizedConstant, exact_array

_MAX_BITS = 32  # more than any weight that is accepted


def on_common_grid(weight: QuantizedConstant, channel_axis: int) -> QuantizedConstant | None:
    """The same weights as integer multiples of one number in each output channel.

    Parameters
    ----------
    channel_axis : int
        Axis of the output channels.

    Returns
    -------
    QuantizedConstant or None
        With a scale for each channel and zero point 0; None where that takes too many bits.
    """
    rows = np.moveaxis(weight.exact(), channel_axis, 0)
    grid: list[list[int]] = []
    steps: list[Fraction] = []
    for row in rows.reshape(len(rows), -1).tolist():
        numbers = set(row) - {Fraction(0)}
        step = reduce(_common, numbers) if numbers else Fraction(1)
        step = abs(step)
        multiples = {number: int(number / step) for number in numbers}
        if any(abs(multiple) >> _MAX_BITS for multiple in multiples.values()):
            return None
        grid.append([multiples.get(number, 0) for number in row])
        steps.append(step)
    values: IntArray = np.array(grid, dtype=np.int64).reshape(rows.shape)
    shape = [1] * rows.ndim
    shape[channel_axis] = len(rows)
    return QuantizedConstant(
        np.ascontiguousarray(np.moveaxis(values, 0, channel_axis)),
        exact_array(np.array(steps, dtype=object)).reshape(shape),
        exact_array(0),
        IntType(min(int(values.min()), 0), max(int(values.max()), 0)),
    )


def _common(a: Fraction, b: Fraction) -> Fraction:
    """The largest number that both are multiples of."""
    common = gcd(a.numerator * b.denominator, b.numerator * a.denominator)
    return Fraction(common, a.denominator * b.denominator)
