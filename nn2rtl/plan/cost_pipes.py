"""Area of what follows the products: requantizer, thresholds, tables, pooling, argmax.

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
from nn2rtl.plan.cost_sums import shift_add
from nn2rtl.plan.stages import MAX_TABLE_WIDTH, Epilogue, is_table
from nn2rtl.primitives.constants import MAX_LUT_WORDS
from nn2rtl.primitives.shift_add import constant_sum_depth
from nn2rtl.primitives.thresholds import MAX_COMPARED_WORDS


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
    # A constant's zeros only pass the carry on.
    lut = int(np.bitwise_or.reduce(steps)).bit_count() if folds == 1 else total
    adder = Area(lut, total - shift, carry=carries(total))
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
        area = area + shift_add(operand.low, operand.high, factor, bias, drop)
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
