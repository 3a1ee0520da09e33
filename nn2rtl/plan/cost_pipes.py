"""Area of what follows the products: requantizer, thresholds, pooling, sums, argmax.

See `cost_parts` for where the coefficients come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from nn2rtl.ir import integer as ig
from nn2rtl.ir.types import IntArray, IntType
from nn2rtl.plan.cost_mac import dsp_slices
from nn2rtl.plan.cost_parts import (
    Area,
    bits_for,
    block_ram,
    carries,
    counter,
    delay_line,
    table,
    width_of,
)
from nn2rtl.plan.stages import MAX_TABLE_WIDTH, Epilogue, is_table
from nn2rtl.primitives.constants import MAX_LUT_WORDS
from nn2rtl.primitives.shift_add import canonical_digits, constant_sum_depth
from nn2rtl.primitives.thresholds import MAX_COMPARED_WORDS


class _Sum:
    """A partial sum in `constant_sum`: ``sign * (value << shift)``.

    Parameters
    ----------
    ends : tuple of (int, int)
        Least and greatest value of each input.
    factors : tuple of int
        Of the inputs in the sum.
    offset : int
        Constant in the sum.
    sign, shift : int
        See above.
    operands : tuple of _Sum
        Two that are added, one that is passed on, or none: an input or a constant.
    """

    def __init__(
        self,
        ends: tuple[tuple[int, int], ...],
        factors: tuple[int, ...],
        offset: int,
        sign: int,
        shift: int,
        operands: tuple[_Sum, ...] = (),
    ) -> None:
        self.ends, self.factors, self.offset = ends, factors, offset
        self.sign, self.shift, self.operands = sign, shift, operands
        low = high = offset
        for factor, (least, greatest) in zip(factors, ends):
            low += factor * (least if factor >= 0 else greatest)
            high += factor * (greatest if factor >= 0 else least)
        if sign < 0:
            low, high = -high, -low
        self.top = shift + width_of(low >> shift, high >> shift)
        # Bits below this position are the same in all values.
        self.fixed_below = shift if any(factors) else self.top
        self.adder_from = self.needed_from = 0
        if len(operands) == 1:
            self.adder_from, self.fixed_below = self.top, operands[0].fixed_below
        elif operands:
            a, b = operands
            # A lower term that is subtracted takes part with all its bits.
            self.adder_from = a.shift if a.sign < b.sign else b.shift
            self.fixed_below = min(a.fixed_below, b.shift)

    def added(self, *others: _Sum) -> _Sum:
        """The registered sum with another one, as `shift_add._added` builds it; or this, later."""
        operands = tuple(sorted((self, *others), key=lambda term: term.shift))
        return _Sum(
            self.ends,
            tuple(map(sum, zip(*(term.factors for term in operands)))),
            sum(term.offset for term in operands),
            max(term.sign for term in operands),
            operands[0].shift,
            operands,
        )

    def area(self) -> Area:
        """Adder and register, of the bits that are needed."""
        ff = max(0, self.top - max(self.shift, self.needed_from, self.fixed_below))
        if len(self.operands) < 2:
            return Area(ff=ff)
        adder = max(0, self.top - self.adder_from)
        # A constant bit only inverts the other operand's, or does nothing.
        lut = float(adder)
        for term in self.operands:
            if not any(term.factors):
                ones = term.offset >> self.adder_from & (1 << adder) - 1
                return Area(ones.bit_count(), ff, carry=carries(adder))
            lut -= min(adder, max(0, term.fixed_below - max(self.adder_from, term.shift))) / 2
        return Area(lut, ff, carry=carries(adder))


def _tree(terms: list[_Sum], drop: int) -> tuple[Area, int]:
    """Registered binary tree of terms, whose sum's low bits are not used; and its depth."""
    levels = []
    while len(terms) > 1:
        terms = [terms[k].added(*terms[k + 1 : k + 2]) for k in range(0, len(terms), 2)]
        levels.append(terms)
    area = Area()
    if levels:
        terms[0].needed_from = drop
    for row in reversed(levels):
        for term in row:
            area = area + term.area()
            for operand in term.operands:
                operand.needed_from = min(term.needed_from, term.adder_from)
    return area, len(levels)


@lru_cache(maxsize=65536)
def _shift_add(low: int, high: int, factor: int, offset: int, drop: int) -> Area:
    """`constant_sum` of one value, of which the lowest bits are dropped."""
    ends = ((low, high),)
    terms = [
        _Sum(ends, (digit << shift,), 0, digit, shift) for shift, digit in canonical_digits(factor)
    ]
    if offset:
        terms.append(_Sum(ends, (0,), offset, 1, 0))
    if len(terms) == 1 and terms[0].sign < 0:
        bits = width_of(low, high) + 1
        return Area(bits, bits, carry=carries(bits))
    return _tree(terms, drop)[0]


@lru_cache(maxsize=4096)
def lut_multiplier(a: tuple[int, bool], b: tuple[int, bool]) -> tuple[Area, int]:
    """`LutMultiplier` of two (width, signed) factors, without summand, and its latency.

    A row adds a multiple that its LUTs select; every other row is registered.
    """

    def rows(width: int, signed: bool) -> int:
        if signed:
            return (width + 1) // 2
        return width if width <= 2 else width // 2 + 1

    short, long = (b, a) if (rows(*b), a[0]) <= (rows(*a), b[0]) else (a, b)
    count = rows(*short)
    row = long[0] + (2 if long[1] else 3)
    latency = -(-count // 2)
    # The sum, the multiplicand and what is left of the digits are registered every other row.
    lut, ff = float(row * count), float(row * latency + latency)
    for stage in range(1, latency):
        ff += long[0] + max(0, short[0] - 4 * stage)
        found = delay_line(4, latency - stage)
        lut, ff = lut + found.lut, ff + found.ff
    return Area(lut, ff, carry=carries(row) * count), latency


def _clip(operand: int, result: int, half_even: bool) -> Area:
    """Limits of a lane: a LUT a bit, and more where many bits decide."""
    excess = max(0, operand - result)
    return Area(result + excess // 6 + 3 * half_even, result)


def _step(steps: IntArray, shift: int, total: int, folds: int) -> Area:
    """Comparison of a sum of `total` bits with the split, and the addition of the step."""
    # Only bits that differ among the channels are in a table.
    varying = int(np.bitwise_or.reduce(steps ^ steps[0])).bit_count()
    adder = Area(total, total - shift, carry=carries(total))
    return adder + Area((total - shift) / 2) + table(folds, varying)


@dataclass(frozen=True)
class _Factors:
    """Whether biases change from fold to fold; extremes; area and depth of constant products."""

    constant_biases: bool
    factor: tuple[int, int]
    bias: tuple[int, int]
    products: Area | None
    depth: int


@lru_cache(maxsize=8192)
def _factors(op: ig.Requantize, operand: IntType, lanes: int, channels: int) -> _Factors:
    """What is constant in each lane; the area of all lanes' constant products."""
    factors = [int(m) for m in op.multiplier]
    biases = [int(b) for b in op.bias]

    def constant(values: list[int]) -> bool:
        return len(values) == 1 or all(
            len(set(values[lane::lanes])) == 1 for lane in range(lanes)
        )

    still = constant(biases)
    ends = (min(factors), max(factors)), (min(biases), max(biases))
    if not constant(factors):
        return _Factors(still, *ends, None, 0)
    drop = op.shift if still and not op.half_even and op.step is None else 0
    pairs = [
        (factors[lane % len(factors)], biases[lane % len(biases)] if still else 0)
        for lane in range(lanes)
    ]
    area = Area()
    for factor, bias in pairs:
        area = area + _shift_add(operand.low, operand.high, factor, bias, drop)
    depth = max(constant_sum_depth([factor], bias) for factor, bias in pairs)
    return _Factors(still, *ends, area, depth)


def requantizer(
    op: ig.Requantize, operand: IntType, result: int, lanes: int, channels: int, use_dsp: bool
) -> Area:
    """`Requantizer`: product, bias, step, limits, in the form that its constants lead to."""
    folds = channels // lanes
    facts = _factors(op, operand, lanes, channels)
    acc = width_of(operand.low, operand.high)
    reach = [
        m * x + b
        for m in facts.factor
        for x in (operand.low, operand.high)
        for b in facts.bias
    ]
    total = width_of(min(reach), max(reach))
    factor = width_of(*facts.factor), facts.factor[0] < 0
    bias_bits = width_of(*facts.bias)
    biased = facts.bias != (0, 0)
    biases = Area() if facts.constant_biases else table(folds, bias_bits * lanes)
    dropped = 0 if op.half_even or op.step is not None else op.shift
    adder = Area(total, total - dropped, carry=carries(total))
    if facts.products is not None:
        area, latency = facts.products, facts.depth
        bias_stage = biased and not facts.constant_biases
    elif use_dsp:
        slices = dsp_slices((acc, operand.signed), factor)
        area = Area(dsp=slices) * lanes + table(folds, factor[0] * lanes)
        if not slices:
            area = area + Area(1.5 * acc * factor[0], acc + factor[0] + total) * lanes
        latency, bias_stage = 2, biased
        if slices == 1:
            adder = Area()  # in the slice
    else:
        product, latency = lut_multiplier((acc, operand.signed), factor)
        area = product * lanes + table(folds, factor[0] * lanes)
        bias_stage = biased
    if bias_stage:
        area = area + adder * lanes + biases
        latency += 1
    if op.step is not None:
        area = area + _step(op.step, op.shift, total, folds) * lanes
        latency += 1
        reach.append(max(reach) + int(op.step.max()))
    least, greatest = min(reach) >> op.shift, max(reach) >> op.shift
    if op.half_even or least < op.low or greatest > op.high:
        area = area + _clip(width_of(least, greatest), result, op.half_even) * lanes
        latency += 1
    elif not latency:
        area = area + Area(ff=result) * lanes
    return area + Area(ff=max(1, latency))


@lru_cache(maxsize=1024)
def _threshold_range(op: ig.Thresholds) -> tuple[int, int]:
    return int(op.values.min()), int(op.values.max())


@lru_cache(maxsize=8192)
def _mixed(op: ig.Thresholds, lanes: int) -> bool:
    """Whether some lane has increasing and decreasing channels."""
    rows = op.decreasing.reshape(-1, lanes) if op.decreasing.size > 1 else op.decreasing[:, None]
    return bool((rows != rows[0]).any())


def _select(words: float, bits: int, acc: int) -> float:
    """LUTs that select one of `words` constants of `bits` bits and compare it with `acc` bits."""
    if words <= 1:
        return 0.22 * acc
    if words <= 8:
        return 0.7 * acc
    if words <= 16:
        return 1.15 * acc
    if words <= 64:
        return 0.55 * acc + 1.15 * bits
    return 0.55 * acc + bits * (2.7 if words <= 128 else 3.9)


def thresholds(
    op: ig.Thresholds, operand: IntType, result: int, lanes: int, channels: int
) -> Area:
    """`Thresholds`: a binary search; stage k compares with one of ``folds * 2**k`` constants."""
    levels = int(op.values.shape[1])
    if not levels:
        return Area(ff=1 + result * lanes)
    folds = channels // lanes if len(op.values) > 1 else 1
    stages = levels.bit_length()
    acc = width_of(operand.low, operand.high)
    low, high = _threshold_range(op)
    low, high = max(low, operand.low), min(high, operand.high + 1)
    bits = width_of(min(low, high), max(low, high))
    lut = ff = 0.0
    memory = Area()
    carry = valid = 0
    for stage in range(stages):
        words = folds << stage
        valid += 1
        ff += result if stage == stages - 1 else acc + stage + 1
        if words > MAX_COMPARED_WORDS:
            valid += 1
            ff += acc + stage
            if words > MAX_LUT_WORDS:
                memory = memory + block_ram(words, bits)
                lut += 0.55 * acc
            else:
                ff += bits
                lut += _select(words, bits, acc)
        else:
            lut += _select(words, bits, acc)
        carry += -(-acc // 12) if words > 1 else 0
    area: Area = (Area(lut, ff, carry=carry) + memory) * lanes + counter(folds) * stages
    area = area + Area(ff=valid)
    if folds > 1 and _mixed(op, lanes):
        area = area + table(folds, lanes) + Area(acc * min(stages, 2)) * lanes
    return area


def epilogue(
    op: Epilogue | None,
    operand: IntType,
    result: int,
    lanes: int,
    channels: int,
    use_dsp: bool,
) -> Area:
    """A step function of `lanes` lanes that `channels` channels share."""
    if op is None:
        return Area()
    if isinstance(op, ig.Lookup) and operand.width > MAX_TABLE_WIDTH:
        # A block RAM has two ports, and two registers of its own.
        memory = block_ram(1 << operand.width, result)
        return memory * -(-lanes // 2) + Area(ff=result * lanes + 2)
    if isinstance(op, ig.Lookup) or is_table(op, operand):
        # One LUT for each bit of a result and 64 entries, and a register.
        return Area(result << max(0, operand.width - 6), result) * lanes + Area(ff=1)
    if isinstance(op, ig.Thresholds):
        return thresholds(op, operand, result, lanes, channels)
    return requantizer(op, operand, result, lanes, channels, use_dsp)


def lane_reduce(operand: IntType, taps: int, maximum: bool, lanes: int) -> Area:
    """`LaneReduce`: a comparator or an accumulator each lane."""
    bits = operand.width
    if maximum:
        one = Area(bits + 1, bits, carry=carries(bits) // 2)
    else:
        low, high = operand.low, operand.high
        bits = width_of(min(low, low * taps), max(high, high * taps))
        one = Area(bits + 0.5, bits, carry=carries(bits))
    return one * lanes + counter(taps) + Area(1, 1)


@lru_cache(maxsize=4096)
def weighted_sum(a: IntType, b: IntType, weights: tuple[int, int], lanes: int) -> Area:
    """`WeightedSum`: the digits of both weights in one adder tree."""
    ends = (a.low, a.high), (b.low, b.high)
    terms = [
        _Sum(ends, (digit << shift, 0) if k == 0 else (0, digit << shift), 0, digit, shift)
        for k, weight in enumerate(weights)
        for shift, digit in canonical_digits(weight)
    ]
    area, depth = _tree(terms, 0)
    return area * lanes + Area(ff=max(1, depth))


def argmax(bits: int, lanes: int, beats: int) -> Area:
    """`ArgMax`: a tree of comparators over the lanes, one over the beats."""
    area, left, level, passed = Area(), lanes, 0, 0
    while left > 1:
        level += 1
        pairs, odd = left // 2, left % 2
        left = pairs + odd
        # The last level of all yields only an index.
        value = bits if left > 1 or beats > 1 else 0
        area = area + Area(0.9 * bits + 0.7 * value + level, carry=carries(bits) // 2) * pairs
        area = area + Area(ff=(value + level) * pairs + 1)
        # The odd one waits until it is compared: in its own register and some more.
        if odd and not passed and level > 1:
            area, passed = area + Area(ff=-bits - level), 1
        if passed and not odd:
            area, passed = area + delay_line(bits + level, passed), 0
        passed += odd
    if beats > 1:
        index = bits_for(lanes * beats)
        area = area + Area(0.8 * bits + 1.5 * index, bits + 2 * index + 1, carry=2)
    return area
