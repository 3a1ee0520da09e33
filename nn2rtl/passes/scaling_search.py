"""The search for the least shift with which a multiplier and a bias reproduce a step function.

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

The other forms have other right-hand sides. Half even moves the ties of odd levels down: for odd l
both inequalities hold with one more on the right. In two pieces, levels beyond `split` have B + D
in place of B.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from nn2rtl.ir.types import IntArray
from nn2rtl.ir.verify import InvariantError
from nn2rtl.passes.scaling import LARGEST, Scaling, StepFunctions

MAX_SHIFT = 48
_NOTHING = 1 << 60  # beyond every bound on a bias
_SHARED_WORTH = 6  # bits of the shift that a multiplier common to all channels may cost

_Bounds: TypeAlias = tuple[IntArray, IntArray]


def find_scaling(
    functions: StepFunctions, *, half_even: bool = False, split: int | None = None
) -> Scaling | None:
    """The scaling of least shift that is equal to step functions on their ranges.

    Parameters
    ----------
    functions : StepFunctions
        What to reproduce.
    half_even : bool
        Whether results without remainder lose their lowest bit.
    split : int or None
        Level from which on a step may be added, if any.

    Returns
    -------
    Scaling or None
        Verified. None if there is none with a shift of at most `MAX_SHIFT` and sums of 62 bits.
    """
    found = ScalingSearch(functions.upward(), half_even, split).run()
    if found is None:
        return None
    scaling = replace(found, multiplier=np.where(functions.decreasing, -1, 1) * found.multiplier)
    if not scaling.fits(functions.low, functions.high):
        return None
    if not functions.equals(scaling):
        raise InvariantError(f"{scaling} is not equal to its step functions")
    return scaling


@dataclass(frozen=True, eq=False)
class _Points:
    """Inequalities of one kind: operand and right-hand side [channels, n]; n may be 0."""

    x: IntArray
    side: IntArray

    def tightest(self, multiplier: IntArray, sign: int) -> tuple[IntArray, IntArray, IntArray]:
        """Bound on the bias in each channel, and operand and right-hand side of what gives it."""
        if not self.x.shape[1]:
            nothing = np.full(len(multiplier), -sign * _NOTHING)
            return nothing, np.zeros_like(nothing), nothing
        bounds = self.side - self.x * multiplier[:, None]
        place = (bounds * sign).argmax(axis=1)[:, None]
        bound, x, side = (
            np.take_along_axis(array, place, axis=1)[:, 0] for array in (bounds, self.x, self.side)
        )
        return bound, x, side

    def of(self, channels: IntArray) -> _Points:
        """The inequalities of some channels."""
        return _Points(self.x[channels], self.side[channels])


class ScalingSearch:
    """Search for one form, for increasing functions."""

    def __init__(self, functions: StepFunctions, half_even: bool, split: int | None) -> None:
        self.functions = functions
        self.half_even = half_even
        self.base = functions.base
        count = functions.thresholds.shape[1]
        always = (functions.thresholds <= functions.low[:, None]).sum(axis=1)
        never = (functions.thresholds > functions.high[:, None]).sum(axis=1)
        self.constant = always + never == count
        self.level = functions.base + always
        # The operands around their middle: products are least, so they do not overflow.
        self.live = np.flatnonzero(~self.constant)
        values = functions.thresholds[self.live]
        low, high = (ends[self.live, None] for ends in (functions.low, functions.high))
        self.reaches = np.clip(values, low, high)
        self.misses = np.clip(values - 1, low, high)
        least = self.reaches.min(axis=1, initial=_NOTHING)
        self.origin = (least + self.misses.max(axis=1, initial=-_NOTHING)) // 2
        self.reaches -= self.origin[:, None]
        self.misses -= self.origin[:, None]
        place = np.arange(count)
        always, never = always[self.live, None], never[self.live, None]
        # Of the levels that all operands reach only the last binds, of those that none does the
        # first.
        self.lower_binds = (place >= always - 1) & (place < count - never)
        self.upper_binds = (place >= always) & (place <= count - never)
        self.levels = functions.base + 1 + place
        most = int(np.abs(self.levels).max(initial=1)) + 1
        self.most_shift = min(MAX_SHIFT, (_NOTHING // 4 // most).bit_length() - 1)
        self.split = split
        self.first = count if split is None else min(max(split - functions.base, 0), count)

    def run(self) -> Scaling | None:
        """The scaling of least shift."""
        least, greatest = int(self.half_even), self.most_shift
        span = np.abs(self.reaches).max(axis=1, initial=1)
        span = np.maximum(span, np.abs(self.misses).max(axis=1, initial=1))
        bounds = self._multipliers(greatest, np.zeros_like(span), _NOTHING // 4 // span)
        if bounds is None:
            return None
        widest = bounds
        while least < greatest:
            shift = (least + greatest) // 2
            coarser = self.most_shift - shift
            found = self._multipliers(shift, -(-widest[0] >> coarser), widest[1] >> coarser)
            if found is None:
                least = shift + 1
            else:
                bounds, greatest = found, shift
        return self._scaling(*self._shared(greatest, bounds, widest))

    def _shared(
        self, shift: int, bounds: _Bounds, widest: _Bounds
    ) -> tuple[int, IntArray, IntArray]:
        """A slightly greater shift, if all channels then have a multiplier in common."""
        for wider in range(shift, min(shift + _SHARED_WORTH, self.most_shift) + 1):
            coarser = self.most_shift - wider
            least, most = -(-widest[0] >> coarser), widest[1] >> coarser
            if len(least) and least.max() <= most.min():
                found = self._multipliers(wider, least, most)
                if found is not None and found[0].max() <= found[1].min():
                    return wider, *found
        return shift, *bounds

    def _points(self, shift: int) -> list[tuple[_Points, _Points]]:
        """The inequalities of each piece that bound the bias from below, and from above."""
        side = (self.levels << shift) + (self.levels & 1 if self.half_even else 0)
        lower = np.where(self.lower_binds, side, -_NOTHING)
        upper = np.where(self.upper_binds, side - 1, _NOTHING)
        x_lower = np.where(self.lower_binds, self.reaches, 0)
        x_upper = np.where(self.upper_binds, self.misses, 0)
        pieces = [slice(self.first)]
        if self.split is not None:
            pieces.append(slice(self.first, None))
        return [
            (_Points(x_lower[:, p], lower[:, p]), _Points(x_upper[:, p], upper[:, p]))
            for p in pieces
        ]

    def _multipliers(self, shift: int, least: IntArray, most: IntArray) -> _Bounds | None:
        """Least and greatest multiplier of each channel within bounds, if all have one."""
        pieces = self._points(shift)
        least, most = least.copy(), most.copy()
        for at in (least, most):
            channels = np.arange(len(least))
            while len(channels):
                if (least > most).any():
                    return None
                channels = self._tighten(pieces, shift, channels, at[channels], least, most)
        return least, most

    def _tighten(
        self,
        pieces: list[tuple[_Points, _Points]],
        shift: int,
        channels: IntArray,
        at: IntArray,
        least: IntArray,
        most: IntArray,
    ) -> IntArray:
        """Tighten the bounds on multipliers by what `at` breaks; the channels where it does."""
        lowers = [lower.of(channels).tightest(at, 1) for lower, _ in pieces]
        uppers = [upper.of(channels).tightest(at, -1) for _, upper in pieces]
        broken = np.zeros(len(channels), dtype=np.bool_)
        for i, (lower, x_lower, side_lower) in enumerate(lowers):
            for k, (upper, x_upper, side_upper) in enumerate(uppers):
                # The step from the first piece to the second is 0 to 2^S - 1.
                slack = (1 << shift) - 1 if i > k else 0
                breaks = lower - upper > slack
                broken |= breaks
                distance, rise = x_lower - x_upper, side_lower - side_upper - slack
                for sign, bounds in ((1, least), (-1, most)):
                    where = np.flatnonzero(breaks & (sign * distance >= 0))
                    run = np.abs(distance[where])
                    # Without distance no multiplier mends it.
                    needed = np.where(run > 0, -(-rise[where] // np.maximum(run, 1)), _NOTHING)
                    place = channels[where]
                    bounds[place] = sign * np.maximum(sign * bounds[place], needed)
        return channels[broken]

    def _scaling(self, shift: int, least: IntArray, most: IntArray) -> Scaling:
        """Round constants within their bounds, the same in all channels where there are such."""
        live, pieces = self.live, self._points(shift)
        factor = _chosen(least, np.minimum(most, 2 * least))
        lows = [lower.tightest(factor, 1)[0] for lower, _ in pieces]
        highs = [upper.tightest(factor, -1)[0] for _, upper in pieces]
        step: IntArray | None = None
        low, high = lows[0], highs[0]
        if self.split is not None:
            limit = np.full_like(low, (1 << shift) - 1)
            taken = _chosen(np.maximum(lows[1] - high, 0), np.minimum(highs[1] - low, limit))
            low, high = np.maximum(low, lows[1] - taken), np.minimum(high, highs[1] - taken)
            step = self._everywhere(taken, np.full_like(self.level, taken.max(initial=0)))
        offset = self.origin * factor
        bias = _chosen(low - offset, high - offset)
        # A remainder keeps a constant result from losing its lowest bit.
        factors, biases = np.zeros_like(self.level), (self.level << shift) + int(self.half_even)
        if len(live) and factor.min() == factor.max():
            self._join_constants(factors, biases, shift, int(factor[0]))
        return Scaling(
            self._everywhere(factor, factors),
            self._everywhere(bias, biases),
            shift,
            self.half_even,
            self.split or 0,
            step,
        )

    def _join_constants(self, factors: IntArray, biases: IntArray, shift: int, factor: int) -> None:
        """Give channels with a constant result the others' multiplier.

        A bias beyond the operand's range then makes the clip yield the constant.
        """
        low, high = self.functions.low, self.functions.high
        if int(np.maximum(np.abs(low), np.abs(high)).max()) * factor >= LARGEST // 4:
            return
        bottom = self.constant & (self.level == self.base)
        top = self.constant & (self.level == self.levels[-1])
        factors[bottom | top] = factor
        biases[bottom] -= high[bottom] * factor
        biases[top] += (1 << shift) - low[top] * factor

    def _everywhere(self, values: IntArray, others: IntArray) -> IntArray:
        """The values of live channels, and others."""
        others[self.live] = values
        return others


def _chosen(least: IntArray, most: IntArray) -> IntArray:
    """Numbers within bounds: one for all if there is one, with many trailing zero bits."""
    if len(least) and least.max() <= most.min():
        least, most = np.full_like(least, least.max()), np.full_like(most, most.min())
    result = least.copy()
    for zeros in range(60):
        rounded = -(-least >> zeros) << zeros
        result = np.where(rounded <= most, rounded, result)
    return result


def roundest(least: int, most: int) -> int:
    """The number within bounds that has the most trailing zero bits."""
    return int(_chosen(*np.array([[least], [most]]))[0])
