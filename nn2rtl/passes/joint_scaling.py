"""Two weights, a bias and a shift that reproduce a function of two narrow integers.

A sum of two quantized tensors, each with a scale of its own and rounded by itself, perhaps, is
quantized again: for all pairs (a, b) of integers that is one function F, given by a table. It
equals ``clip((a P + b Q + B) >> S)`` exactly if, for each level l,

    a P + b Q + B >= l 2^S        for each pair with F(a, b) >= l, and
    a P + b Q + B <= l 2^S - 1    for all others.

As F does not decrease in either operand (one where it decreases is mirrored), pairs at the corners
of each level's staircase are enough. For a given P this is the search of `scaling_search` for Q. If
it fails, two of the inequalities for Q contradict each other; without Q they are a bound on P. So P
is found by Newton's method too, first at a shift where weights are fine enough to leave room; what
is possible there bounds P at all smaller shifts. The forms with half even and with two pieces are
those of `scaling`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nn2rtl.ir.types import IntArray
from nn2rtl.ir.verify import InvariantError
from nn2rtl.passes.scaling import Scaling
from nn2rtl.passes.scaling_search import roundest

MAX_SHIFT = 30
_TRIES = 12  # first weights that are tried at a shift
_FINER = 3  # shifts beyond the least that are tried for weights of fewer digits
_STEPS = 100  # of Newton's method, which needs about ten; then its bounds are wider than need be
_LARGEST = 1 << 60  # beyond every bias


@dataclass(frozen=True, eq=False)
class JointScaling:
    """``(a * weights[0] + b * weights[1] + bias) >> shift`` and its variants.

    Parameters
    ----------
    weights : (int, int)
        Of the two operands.
    scaling : Scaling
        Of their sum; one channel, with the multiplier 1.
    """

    weights: tuple[int, int]
    scaling: Scaling

    @property
    def digits(self) -> int:
        """Signed digits of both weights: terms to add."""
        return signed_digits(self.weights[0]) + signed_digits(self.weights[1])


def signed_digits(number: int) -> int:
    """Nonzero digits of a number in canonical signed digits."""
    number = abs(number)
    return (number ^ 3 * number).bit_count()


def find_joint_scaling(
    a: IntArray,
    b: IntArray,
    levels: IntArray,
    low: int,
    high: int,
    *,
    half_even: bool = False,
    split: int | None = None,
) -> JointScaling | None:
    """Weights of few bits that reproduce a function of two integers.

    Parameters
    ----------
    a, b : int64 arrays
        The operands' consecutive integers.
    levels : int64 array [a, b]
        The function.
    low, high : int
        What the result is clipped to.
    half_even, split
        As in `find_scaling`.

    Returns
    -------
    JointScaling or None
        Verified for all pairs. None if there is none with a shift of at most `MAX_SHIFT`.
    """
    signs = []
    for axis in (0, 1):
        change = np.diff(levels, axis=axis)
        signs.append(-1 if (change < 0).any() else 1)
        if (change * signs[axis] < 0).any():
            return None
    if levels.min() == levels.max():
        return None
    upward = levels[:: signs[0], :: signs[1]]
    ups = np.sort(a * signs[0]), np.sort(b * signs[1])
    search = _Search(*ups, upward, np.arange(low + 1, high + 1), half_even, split)
    found = min(search.run(), key=lambda form: form.digits, default=None)
    if found is None:
        return None
    weights = found.weights[0] * signs[0], found.weights[1] * signs[1]
    sums = a[:, None] * weights[0] + b * weights[1]
    results = found.scaling(sums.reshape(1, -1)).reshape(sums.shape)
    if (np.clip(results, low, high) != levels).any():
        raise InvariantError(f"{found} is not equal to its function")
    return JointScaling(weights, found.scaling)


@dataclass(frozen=True)
class _Line:
    """``n <= p P + q Q``, an inequality that the weights have to meet."""

    n: int
    p: int
    q: int


@dataclass(frozen=True, eq=False)
class _Corners:
    """Inequalities of one kind: operands and level of each."""

    a: IntArray
    b: IntArray
    level: IntArray

    def piece(self, chosen: npt.NDArray[np.bool_]) -> _Corners:
        """Some of them."""
        return _Corners(self.a[chosen], self.b[chosen], self.level[chosen])


class _Search:
    """Search for one form, for a function that increases in both operands."""

    def __init__(
        self,
        a: IntArray,
        b: IntArray,
        levels: IntArray,
        steps: IntArray,
        half_even: bool,
        split: int | None,
    ) -> None:
        self.half_even = half_even
        self.split = split
        self.span = len(steps) + 1
        reached, missed = _corners(a, b, levels, steps)
        # Pieces: up to the split, and beyond.
        if split is None:
            self.pieces = [(reached, missed)]
        else:
            self.pieces = [
                (reached.piece(reached.level <= split), missed.piece(missed.level <= split)),
                (reached.piece(reached.level > split), missed.piece(missed.level > split)),
            ]

    def run(self) -> Iterator[JointScaling]:
        """Solutions of the least shift and a few more."""
        bounds = self._first_weights()
        if bounds is None:
            return
        finest = MAX_SHIFT
        for shift in range(int(self.half_even), MAX_SHIFT + 1):
            if shift > finest:
                return
            coarser = MAX_SHIFT - shift
            least, most = -(-bounds[0] >> coarser), bounds[1] >> coarser
            middle = (least + most) // 2
            for p in range(max(least, middle - _TRIES // 2), min(most, middle + _TRIES // 2) + 1):
                column = self._second_weights(shift, p)
                if isinstance(column, tuple):
                    finest = min(finest, shift + _FINER)
                    candidates = range(column[0], min(column[1], column[0] + _TRIES) + 1)
                    q = min(candidates, key=signed_digits)
                    yield JointScaling((p, q), self._scaling(shift, p, q))

    def _first_weights(self) -> tuple[int, int] | None:
        """Bounds on P at the finest shift."""
        bounds = [0, self.span << MAX_SHIFT]
        for side in (0, 1):
            for _ in range(_STEPS):
                p = bounds[side]
                line = self._second_weights(MAX_SHIFT, p)
                # There is a real Q, if not an integer one.
                if isinstance(line, tuple) or line.n <= line.p * p:
                    break
                if line.p == 0:
                    return None
                if line.p > 0:
                    bounds[0] = max(bounds[0], -(-line.n // line.p))
                else:
                    bounds[1] = min(bounds[1], line.n // line.p)
                if bounds[0] > bounds[1]:
                    return None
        return bounds[0], bounds[1]

    def _second_weights(self, shift: int, p: int) -> tuple[int, int] | _Line:
        """Least and greatest Q for a P; if there is none, a bound on P."""
        bounds = [0, self.span << shift]
        limits = [_Line(0, 0, 1), _Line(-bounds[1], 0, -1)]
        for side in (0, 1):
            while True:
                q = bounds[side]
                broken = list(self._broken(shift, p, q))
                if not broken:
                    break
                for line in broken:
                    rise = line.n - line.p * p
                    if line.q == 0:
                        return line
                    if line.q > 0 and -(-rise // line.q) > bounds[0]:
                        bounds[0], limits[0] = -(-rise // line.q), line
                    elif line.q < 0 and rise // line.q < bounds[1]:
                        bounds[1], limits[1] = rise // line.q, line
                if bounds[0] > bounds[1]:
                    return _without_second(*limits)
        return bounds[0], bounds[1]

    def _broken(self, shift: int, p: int, q: int) -> Iterator[_Line]:
        """Inequalities that two weights break: of each two pieces the worst."""
        lowers = [self._tightest(lower, shift, p, q, 0) for lower, _ in self.pieces]
        uppers = [self._tightest(upper, shift, p, q, 1) for _, upper in self.pieces]
        for i, lower in enumerate(lowers):
            for k, upper in enumerate(uppers):
                slack = (1 << shift) - 1 if i > k else 0
                if lower and upper and lower[0] - upper[0] > slack:
                    side, a, b = (x - y for x, y in zip(lower[1:], upper[1:], strict=True))
                    yield _Line(side - slack, a, b)

    def _tightest(
        self, corners: _Corners, shift: int, p: int, q: int, upper: int
    ) -> tuple[int, int, int, int] | None:
        """Bound on the bias, and right-hand side and operands of what gives it."""
        if not len(corners.a):
            return None
        side = (corners.level << shift) - upper
        if self.half_even:
            side = side + (corners.level & 1)
        bias = side - corners.a * p - corners.b * q
        place = int(bias.argmin() if upper else bias.argmax())
        return int(bias[place]), int(side[place]), int(corners.a[place]), int(corners.b[place])

    def _scaling(self, shift: int, p: int, q: int) -> Scaling:
        """The bias, and the step, for two weights."""
        # A piece without corners holds with any bias.
        anything = (-_LARGEST, 0, 0, 0), (_LARGEST, 0, 0, 0)
        lows, highs = (
            [
                (self._tightest(piece[upper], shift, p, q, upper) or anything[upper])[0]
                for piece in self.pieces
            ]
            for upper in (0, 1)
        )
        low, high, step = lows[0], highs[0], None
        if self.split is not None:
            limit = (1 << shift) - 1
            taken = roundest(max(lows[1] - high, 0), min(highs[1] - low, limit))
            low, high = max(low, lows[1] - taken), min(high, highs[1] - taken)
            step = np.array([taken])
        bias = np.array([roundest(low, high)])
        one = np.ones(1, dtype=np.int64)
        return Scaling(one, bias, shift, self.half_even, self.split or 0, step)


def _corners(
    a: IntArray, b: IntArray, levels: IntArray, steps: IntArray
) -> tuple[_Corners, _Corners]:
    """The least pairs that reach each step's level, and the greatest that do not."""
    # [a, level]: how many b do not reach it
    count = np.stack([np.searchsorted(row, steps, side="left") for row in levels])
    before = np.vstack([np.full_like(steps, len(b) + 1)[None], count[:-1]])
    after = np.vstack([count[1:], np.full_like(steps, -1)[None]])
    i, k = np.nonzero((count < len(b)) & (count < before))
    reached = _Corners(a[i], b[count[i, k]], steps[k])
    i, k = np.nonzero((count > 0) & (count > after))
    return reached, _Corners(a[i], b[count[i, k] - 1], steps[k])


def _without_second(low: _Line, high: _Line) -> _Line:
    """What two contradicting bounds on Q say of P."""
    return _Line(low.n * -high.q + high.n * low.q, low.p * -high.q + high.p * low.q, 0)
