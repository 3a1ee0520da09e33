"""Replace exact step functions by the cheapest arithmetic that equals them everywhere.

A step function ``low + #{l : x >= T_l}`` equals ``clip((x M + B) >> S, low, high)`` for every x
from `least` to `greatest` exactly if

    T_l M + B >= l 2^S                 for each level l that some x reaches, and
    (T_l - 1) M + B <= l 2^S - 1       for each level l that some x does not reach.

For a given S these inequalities bound M by pairs of levels (eliminating B), and every integer M
inside the bounds has an integer B. S is the least for which there is such an M, so that M and the
product are as narrow as possible. A solution stays one when S grows (double M and B), so all
channels can share the greatest S.

Rounding half to even has thresholds that alternate where a tie can be reached, which no M, B and S
give. Clearing the result's lowest bit when the bits shifted out are all zero moves the ties of odd
levels down: for odd l both inequalities then hold with l 2^S + 1 and l 2^S on the right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nn2rtl.ir import integer as ig
from nn2rtl.ir.types import IntArray, IntType

MAX_SHIFT = 36
_LARGEST = 1 << 62  # sums of product and bias stay below: int64 holds them and what led to them
_PAIRS = 256  # levels of which all pairs are examined; beyond, ends only and a full check
_HALF_EVEN_WORTH = 3  # bits of the multiplier that the check for ties must save
MAX_THRESHOLD_LEVELS = 15  # up to 4 bits, comparing costs less than multiplying


@dataclass(frozen=True)
class Scaling:
    """``(x * multiplier + bias) >> shift``."""

    multiplier: int
    bias: int
    shift: int


def choose_requantizers(graph: ig.IntegerGraph) -> ig.IntegerGraph:
    """Replace each `Thresholds` by `Requantize` where that exists and is cheaper.

    Parameters
    ----------
    graph : IntegerGraph
        With every quantizer as `Thresholds`.

    Returns
    -------
    IntegerGraph
        The same function.
    """
    result = ig.IntegerGraph(
        graph.name, outputs=list(graph.outputs), input=graph.input, output=graph.output
    )
    renamed: dict[str, str] = {}
    for node in graph:
        inputs = tuple(renamed.get(name, name) for name in node.inputs)
        op = node.op
        if isinstance(op, ig.Thresholds):
            found = requantizer(op, *ig.ranges(graph, node.inputs[0]))
            if found is not None:
                operand = graph.types[node.inputs[0]].type
                if _is_identity(found, operand) and node.name not in graph.outputs:
                    renamed[node.name] = inputs[0]
                    continue
                op = found
        result.append(node.name, op, inputs, graph.types[node.name], node.source)
    return result


def _is_identity(op: ig.Requantize, operand: IntType) -> bool:
    flat = (op.multiplier == 1).all() and (op.bias == 0).all()
    clips = operand.low < op.low or operand.high > op.high
    return bool(op.shift == 0 and flat and not op.half_even and not clips)


def requantizer(
    op: ig.Thresholds, low: IntArray, high: IntArray, *, force: bool = False
) -> ig.Requantize | None:
    """The shift or multiplication that equals a step function, if it is cheaper.

    Parameters
    ----------
    op : Thresholds
        The step function.
    low, high : int64 arrays
        Range of the operand in each channel.
    force : bool
        Return a multiplication even where comparing is cheaper.

    Returns
    -------
    Requantize or None
        None if there is none with a shift of at most `MAX_SHIFT` that 63 bits hold, or comparing
        is cheaper.
    """
    if op.values.shape[0] == 1:
        low, high = low.min(keepdims=True), high.max(keepdims=True)
    plain, even = (_scalings(op, low, high, half_even) for half_even in (False, True))
    half_even = plain is None or (
        even is not None and _width(even) + _HALF_EVEN_WORTH <= _width(plain)
    )
    found = even if half_even else plain
    if found is None:
        return None
    shift = max(s.shift for s in found)
    found = [
        Scaling(s.multiplier << (shift - s.shift), s.bias << (shift - s.shift), shift)
        for s in found
    ]
    if any(
        max(abs(int(x)) for x in ends) * abs(s.multiplier) + abs(s.bias) >= _LARGEST
        for s, *ends in zip(found, low, high, strict=True)
    ):
        return None
    multiplier = np.array([s.multiplier for s in found], dtype=np.int64)
    bias = np.array([s.bias for s in found], dtype=np.int64)
    _join_constant_channels(op, multiplier, bias, shift, low, high)
    pure_shift = bool((multiplier == 1).all())
    if not pure_shift and not force and op.values.shape[1] <= MAX_THRESHOLD_LEVELS:
        return None
    if (bias == bias[0]).all() and (multiplier == multiplier[0]).all():
        multiplier, bias = multiplier[:1], bias[:1]
    return ig.Requantize(multiplier, bias, shift, op.low, op.low + op.values.shape[1], half_even)


def _width(scalings: list[Scaling]) -> int:
    """Bits of the widest multiplier once all have the same shift."""
    shift = max(s.shift for s in scalings)
    return max((abs(s.multiplier) << (shift - s.shift)).bit_length() for s in scalings)


def _scalings(
    op: ig.Thresholds, low: IntArray, high: IntArray, half_even: bool
) -> list[Scaling] | None:
    """The scaling of each channel, if each has one."""
    found: list[Scaling] = []
    for channel, row in enumerate(op.values):
        scaling = find_scaling(
            row, op.low, int(low[channel]), int(high[channel]),
            decreasing=bool(op.decreasing[channel]), half_even=half_even,
        )
        if scaling is None:
            return None
        found.append(scaling)
    return found


def _join_constant_channels(
    op: ig.Thresholds,
    multiplier: IntArray,
    bias: IntArray,
    shift: int,
    low: IntArray,
    high: IntArray,
) -> None:
    """Give channels with a constant result the others' multiplier, if they have one in common.

    A bias beyond the operand's range then makes the clip yield the constant.
    """
    constant = multiplier == 0
    common = set(multiplier[~constant].tolist())
    if len(common) != 1:
        return
    factor = common.pop()
    for channel in np.flatnonzero(constant):
        level = int(bias[channel]) >> shift
        ends = int(low[channel]) * factor, int(high[channel]) * factor
        if 2 * max(map(abs, ends)) + ((abs(level) + 1) << shift) >= _LARGEST:
            continue
        if level == op.low:
            multiplier[channel], bias[channel] = factor, (level << shift) - max(ends)
        elif level == op.low + op.values.shape[1]:
            multiplier[channel], bias[channel] = factor, ((level + 1) << shift) - min(ends)


def find_scaling(
    thresholds: IntArray,
    base: int,
    low: int,
    high: int,
    *,
    decreasing: bool = False,
    half_even: bool = False,
) -> Scaling | None:
    """Least multiplier, bias and shift that reproduce a step function on a range.

    Parameters
    ----------
    thresholds : int64 array
        Threshold of each level ``base + 1, base + 2, ...``.
    base : int
        Level below the first threshold.
    low, high : int
        Range of the operand.
    decreasing : bool
        Whether thresholds are reached from above.
    half_even : bool
        Whether a result without remainder loses its lowest bit.

    Returns
    -------
    Scaling or None
        None if there is none with a shift of at most `MAX_SHIFT`.
    """
    if decreasing:
        mirrored = find_scaling(-thresholds, base, -high, -low, half_even=half_even)
        if mirrored is None:
            return None
        return Scaling(-mirrored.multiplier, mirrored.bias, mirrored.shift)
    levels = base + 1 + np.arange(len(thresholds), dtype=np.int64)
    reached, missed = thresholds <= high, thresholds > low
    # Of the levels that every operand reaches only the last binds, of those that none does only
    # the first.
    always, never = int((~missed).sum()), int((~reached).sum())
    reached[: max(0, always - 1)] = False
    missed[len(thresholds) - max(0, never - 1) :] = False
    lower = levels[reached], thresholds[reached]
    upper = levels[missed], thresholds[missed] - 1
    if not len(lower[0]) or not len(upper[0]):
        level = int(lower[0][-1]) if len(lower[0]) else base
        # A remainder keeps the result from losing its lowest bit.
        return Scaling(0, 2 * level + 1, 1) if half_even else Scaling(0, level, 0)
    least, greatest = int(half_even), MAX_SHIFT
    best: Scaling | None = None
    while least <= greatest:
        shift = (least + greatest) // 2
        scaling = _at_shift(lower, upper, shift, half_even)
        if scaling is None:
            least = shift + 1
        else:
            best, greatest = scaling, shift - 1
    return best


def _at_shift(
    lower: tuple[IntArray, IntArray], upper: tuple[IntArray, IntArray], shift: int, half_even: bool
) -> Scaling | None:
    """A multiplier and bias at one shift.

    lower: (l, x) with x M + B >= l 2^S (+ 1); upper: (l, x) with x M + B <= l 2^S - 1 (+ 1).
    """
    at_least, at_most = (
        (level << shift) + (level & 1 if half_even else 0) for level in (lower[0], upper[0])
    )
    at_most = at_most - 1
    x_low, x_up = lower[1], upper[1]
    distance = _ends(x_up)[None, :] - _ends(x_low)[:, None]
    rise = _ends(at_most)[None, :] - _ends(at_least)[:, None]
    if (rise[distance == 0] < 0).any():
        return None
    ahead, behind = distance > 0, distance < 0
    least = int((-(rise[behind] // -distance[behind])).max()) if behind.any() else 0
    least = max(least, 0)
    most = int((rise[ahead] // distance[ahead]).min()) if ahead.any() else 2 * least
    for multiplier in _candidates(least, most):
        bias_least = int((at_least - x_low * multiplier).max())
        bias_most = int((at_most - x_up * multiplier).min())
        if bias_least <= bias_most:
            return Scaling(multiplier, _roundest(bias_least, bias_most), shift)
    return None


def _ends(array: IntArray) -> IntArray:
    """The array, or of a long one the first and the last entries."""
    if len(array) <= _PAIRS:
        return array
    return np.concatenate([array[: _PAIRS // 2], array[-_PAIRS // 2 :]])


def _candidates(least: int, most: int) -> list[int]:
    """Multipliers to try, the one with most trailing zeros first."""
    if least > most:
        return []
    middle = (least + most) // 2
    return [_roundest(least, most), middle, *range(least, min(most, least + 16) + 1)]


def _roundest(least: int, most: int) -> int:
    """The integer in [least, most] with the most trailing zero bits."""
    if least <= 0 <= most:
        return 0
    step = 1
    while True:
        candidate = -(-least // (2 * step)) * 2 * step
        if candidate > most:
            return -(-least // step) * step
        step *= 2
