"""Scaling: a multiplier, a bias and a shift that reproduce step functions on ranges of integers.

``(x M + B) >> S`` with a shift that rounds down, in each channel; and two more forms:

*Half even.* If the bits that are shifted out are all zero, the result's lowest bit is cleared.

*Two pieces.* Sums that reach the level `split` get a step D, from 0 to 2^S - 1, added before the
shift.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nn2rtl.ir.types import IntArray

LARGEST = 1 << 62
"""Sums of product, bias and step stay below: int64 holds them."""


@dataclass(frozen=True, eq=False)
class Scaling:
    """``(x * multiplier[c] + bias[c]) >> shift``, and its two variants.

    Parameters
    ----------
    multiplier, bias : int64 arrays [channels]
        Of each channel.
    shift : int
        Common to all.
    half_even : bool
        Whether a result without remainder loses its lowest bit.
    split : int
        Level from which on `step` is added.
    step : int64 array [channels] or None
        What is added to sums that reach `split`.
    """

    multiplier: IntArray
    bias: IntArray
    shift: int
    half_even: bool = False
    split: int = 0
    step: IntArray | None = None

    @property
    def width(self) -> int:
        """Bits of the widest multiplier."""
        return int(np.abs(self.multiplier).max()).bit_length()

    def fits(self, low: IntArray, high: IntArray) -> bool:
        """Whether all sums are below `LARGEST`, for operands in a range [channels]."""
        reach = np.maximum(np.abs(low), np.abs(high)).tolist()
        step = 0 if self.step is None else int(self.step.max())
        terms = zip(reach, self.multiplier.tolist(), self.bias.tolist(), strict=True)
        return all(x * abs(m) + abs(b) + step < LARGEST for x, m, b in terms)

    def __call__(self, x: IntArray) -> IntArray:
        """Results, not clipped, for operands [channels, n]."""
        total = x * self.multiplier[:, None] + self.bias[:, None]
        if self.step is not None:
            total += (total >> self.shift >= self.split) * self.step[:, None]
        result: IntArray = total >> self.shift
        if self.half_even:
            result -= (result << self.shift == total) & result & 1
        return result


@dataclass(frozen=True, eq=False)
class StepFunctions:
    """A step function of each channel, on a range.

    Parameters
    ----------
    base : int
        Level where no threshold is reached.
    thresholds : int64 array [channels, levels]
        Of the levels ``base + 1, base + 2, ...``.
    low, high : int64 arrays [channels]
        Range of the operands.
    decreasing : bool array [channels]
        Whether thresholds are reached from above.
    """

    base: int
    thresholds: IntArray
    low: IntArray
    high: IntArray
    decreasing: npt.NDArray[np.bool_]

    @property
    def top(self) -> int:
        """Level where all thresholds are reached."""
        return self.base + int(self.thresholds.shape[1])

    def upward(self) -> StepFunctions:
        """The same functions of the negative operand, where they decrease."""
        sign = np.where(self.decreasing, -1, 1)
        return StepFunctions(
            self.base,
            self.thresholds * sign[:, None],
            np.where(self.decreasing, -self.high, self.low),
            np.where(self.decreasing, -self.low, self.high),
            np.zeros_like(self.decreasing),
        )

    def equals(self, scaling: Scaling) -> bool:
        """Whether a scaling, clipped, is this function: examined on both sides of each step."""
        down = self.decreasing[:, None]
        levels = self.base + 1 + np.arange(self.thresholds.shape[1])
        for beyond in (0, 1):
            x = self.thresholds - np.where(down, -beyond, beyond)
            x = np.clip(x, self.low[:, None], self.high[:, None])
            reached = np.where(down, x <= self.thresholds, x >= self.thresholds)
            if ((scaling(x) >= levels) != reached).any():
                return False
        return True
