"""Least multipliers, biases and shift that reproduce step functions on ranges of integers.

``(x M + B) >> S`` reaches the level l exactly where ``x M + B >= l 2^S``. With T_l the threshold of
level l, it equals the step function for every x from `low` to `high` exactly if

    T_l M + B >= l 2^S                 for each level l that some x reaches, and
    (T_l - 1) M + B <= l 2^S - 1       for each level l that some x does not reach.

For given M and S the first kind bounds B from below, the second from above. The gap between the
two bounds is the maximum of linear functions of M, so it is convex: Newton's method walks from pair
to pair of inequalities, each step a bound on M that every solution meets, and ends at the least (or
greatest) integer M for which there is a B, or with a proof that there is none. A solution stays
one when S grows (double M and B): S is found by bisection, and is common to all channels, which are
searched side by side.

Two more forms have inequalities with other right-hand sides:

*Half even.* Clearing the result's lowest bit when the bits shifted out are all zero moves the ties
of odd levels down: for odd l both inequalities hold with one more on the right.

*Two pieces.* Sums that reach the level `split` get a step D, from 0 to 2^S - 1, added before the
shift. Levels beyond `split` then have B + D in place of B.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nn2rtl.ir.types import IntArray

MAX_SHIFT = 36
_LARGEST = 1 << 62  # sums of product, bias and step stay below: int64 holds them
_NOTHING = 1 << 60  # beyond every right-hand side


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
    decreasing: IntArray

    def increasing(self) -> StepFunctions:
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
        """Whether a scaling, clipped, is this function: looked at on both sides of each step."""
        low, high = self.low[:, None], self.high[:, None]
        beyond = np.where(self.decreasing[:, None], -1, 1)
        levels = self.base + 1 + np.arange(self.thresholds.shape[1])
        reaches = np.clip(self.thresholds, low, high)
        misses = np.clip(self.thresholds - beyond, low, high)
        at, ahead = (self(x, levels) == (scaling(x) >= levels) for x in (reaches, misses))
        return bool(at.all() and ahead.all())

    def __call__(self, x: IntArray, levels: IntArray) -> IntArray:
        """Whether operands x [channels, levels] reach the levels."""
        del levels
        down = self.decreasing[:, None]
        reached: IntArray = np.where(down, x <= self.thresholds, x >= self.thresholds)
        return reached
