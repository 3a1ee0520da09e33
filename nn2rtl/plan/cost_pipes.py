"""Area of what follows the products: requantizer, thresholds, pooling, sums, argmax.

See `cost_parts` for where the coefficients come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from nn2rtl.ir import integer as ig
from nn2rtl.ir.types import IntType
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
from nn2rtl.primitives.constants import MAX_LUT_WORDS
from nn2rtl.primitives.shift_add import canonical_digits
from nn2rtl.primitives.thresholds import MAX_COMPARED_WORDS


@lru_cache(maxsize=65536)
def _shift_add(low: int, high: int, factor: int, offset: int, drop: int) -> Area:
    """`constant_sum` of one value: adders by canonical digits, whose lowest bits are dropped."""
    terms = [(shift, digit) for shift, digit in canonical_digits(factor)]
    value = width_of(low, high)
    widths = [value] * len(terms)
    if offset:
        terms.append((0, 0))
        widths.append(0)
    if len(terms) == 1 and terms[0][1] == 1:
        return Area()
    reach = [factor * low + offset, factor * high + offset]
    final = width_of(min(reach), max(reach))
    area = Area()
    shifts = [shift for shift, _ in terms]
    while len(terms) > 1:
        now, sizes, places = [], [], []
        for k in range(0, len(terms), 2):
            if k + 1 == len(terms):
                now.append(terms[k])
                sizes.append(widths[k])
                places.append(shifts[k])
                area = area + Area(ff=widths[k])
                continue
            apart = abs(shifts[k] - shifts[k + 1])
            place = min(shifts[k], shifts[k + 1])
            last = len(terms) == 2
            size = final - place if last else max(
                widths[k] + shifts[k], widths[k + 1] + shifts[k + 1]
            ) - place + 1
            kept = max(0, drop - place) if last else 0
            adder = max(0, size - apart)
            free = not (widths[k] and widths[k + 1])
            area = area + Area(0 if free else adder, max(0, size - kept), carry=carries(adder))
            now.append((place, 1))
            sizes.append(size)
            places.append(place)
        terms, widths, shifts = now, sizes, places
    return area


@lru_cache(maxsize=4096)
def lut_multiplier(a: tuple[int, bool], b: tuple[int, bool], c_bits: int) -> tuple[Area, int]:
    """`LutMultiplier` with a summand of `c_bits` bits, and its latency.

    A row adds a multiple that its LUTs select; where the summand is wider than the rows, Yosys
    builds part of the selections apart.
    """

    def rows(width: int, signed: bool) -> int:
        if signed:
            return (width + 1) // 2
        return width if width <= 2 else width // 2 + 1

    short, long = (b, a) if (rows(*b), a[0]) <= (rows(*a), b[0]) else (a, b)
    count = rows(*short)
    row = long[0] + (2 if long[1] else 3)
    latency = -(-count // 2)
    adders = [max(row, c_bits - 2 * k + 1) for k in range(count)]
    wide = 1.4 if c_bits > row else 1.0
    lut = wide * sum(adders)
    # The sum, the multiplicand and what is left of the digits are registered every other row.
    ff: float = latency
    for stage in range(1, latency + 1):
        ff += adders[min(count, 2 * stage) - 1]
        if stage < latency:
            ff += long[0] + max(0, short[0] - 4 * stage)
    # The digits found on the way: short delays in registers, long ones in shift registers.
    for stage in range(1, latency):
        line = delay_line(4, latency - stage)
        lut, ff = lut + line.lut, ff + line.ff
    return Area(lut, ff, carry=sum(carries(adder) for adder in adders)), latency


def _clip(operand: int, result: int, half_even: bool) -> Area:
    """Limits of a lane: a LUT a bit, and more where many bits decide."""
    excess = max(0, operand - result)
    return Area(result + excess // 6 + 3 * half_even, result)


@dataclass(frozen=True)
class _Factors:
    """Whether factors and biases change from fold to fold, and their extremes."""

    constant_factors: bool
    constant_biases: bool
    factor: tuple[int, int]
    bias: tuple[int, int]
    shift_add: Area | None


@lru_cache(maxsize=8192)
def _factors(op: ig.Requantize, operand: IntType, lanes: int, channels: int) -> _Factors:
    """What is constant in each lane; the area of all lanes' constant products."""
    factors = [int(m) for m in op.multiplier]
    biases = [int(b) for b in op.bias]
    folds = channels // lanes

    def constant(values: list[int]) -> bool:
        return len(values) == 1 or folds == 1 or all(
            len(set(values[lane::lanes])) == 1 for lane in range(lanes)
        )

    fixed, still = constant(factors), constant(biases)
    shift_add = None
    if fixed:
        drop = 0 if op.half_even else op.shift
        shift_add = Area()
        if len(factors) == 1 and (not still or len(biases) == 1):
            bias = biases[0] if still else 0
            one = _shift_add(operand.low, operand.high, factors[0], bias, drop if still else 0)
            shift_add = one * lanes
        else:
            for lane in range(lanes):
                shift_add = shift_add + _shift_add(
                    operand.low, operand.high, factors[lane % len(factors)],
                    biases[lane % len(biases)] if still else 0, drop if still else 0,
                )
    return _Factors(
        fixed, still, (min(factors), max(factors)), (min(biases), max(biases)), shift_add
    )


def requantizer(
    op: ig.Requantize, operand: IntType, result: int, lanes: int, channels: int, use_dsp: bool
) -> Area:
    """`Requantizer`: product, bias, limits, in the form that its constants lead to."""
    folds = channels // lanes
    facts = _factors(op, operand, lanes, channels)
    acc = width_of(operand.low, operand.high)
    reach = [m * x + b for m in facts.factor for x in (operand.low, operand.high)
             for b in facts.bias]
    total = width_of(min(reach), max(reach))
    factor_bits, bias_bits = width_of(*facts.factor), width_of(*facts.bias)
    biased = facts.bias != (0, 0)
    area, latency = Area(), 1
    bias_stage = False
    if facts.shift_add is not None:
        area = area + facts.shift_add
        latency += 1
        bias_stage = biased and not facts.constant_biases
    elif use_dsp:
        factor = factor_bits, facts.factor[0] < 0
        slices = dsp_slices((acc, operand.signed), factor)
        area = area + table(folds, factor_bits * lanes)
        area = area + Area(0 if slices == 1 else total, 0 if slices == 1 else total,
                           dsp=slices) * lanes
        bias_stage, latency = biased, latency + 2
    else:
        product, cycles = lut_multiplier(
            (acc, operand.signed), (factor_bits, facts.factor[0] < 0), bias_bits if biased else 0
        )
        area = area + product * lanes + table(folds, factor_bits * lanes)
        area = area + (table(folds, bias_bits * lanes) if not facts.constant_biases else Area())
        latency += cycles
    if bias_stage:
        kept = 0 if op.half_even else op.shift
        adder = Area(total, total - kept, carry=carries(total))
        area = area + adder * lanes + table(folds, bias_bits * lanes)
        latency += 1
    shifted = width_of(min(reach) >> op.shift, max(reach) >> op.shift)
    clips = op.half_even or min(reach) >> op.shift < op.low or max(reach) >> op.shift > op.high
    if clips:
        area = area + _clip(shifted, result, op.half_even) * lanes
    elif latency == 1:
        area = area + Area(ff=result) * lanes
    return area + Area(ff=latency)


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
    op: ig.Requantize | ig.Thresholds | None,
    operand: IntType,
    result: int,
    lanes: int,
    channels: int,
    use_dsp: bool,
) -> Area:
    """A step function of `lanes` lanes that `channels` channels share."""
    if op is None:
        return Area()
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
    widths: list[tuple[int, int]] = []
    for kind, weight in ((a, weights[0]), (b, weights[1])):
        widths += [(shift, kind.width) for shift, _ in canonical_digits(weight)]
    area, depth = Area(ff=0), 0
    if len(widths) == 1:
        area = Area(ff=widths[0][1])
    while len(widths) > 1:
        depth += 1
        now = []
        for (s0, w0), (s1, w1) in pairwise([*widths, (0, 0)][: len(widths) // 2 * 2 + 1]):
            now.append((s0, w0, s1, w1))
        sums = []
        for s0, w0, s1, w1 in now[::2][: len(widths) // 2]:
            place = min(s0, s1)
            size = max(w0 + s0, w1 + s1) - place + 1
            adder = max(1, size - abs(s0 - s1))
            area = area + Area(adder, size, carry=carries(adder))
            sums.append((place, size))
        if len(widths) % 2:
            sums.append(widths[-1])
            area = area + Area(ff=widths[-1][1])
        widths = sums
    return area * lanes + Area(ff=max(1, depth))


def argmax(bits: int, lanes: int, beats: int) -> Area:
    """`ArgMax`: a tree of comparators over the lanes, one over the beats."""
    area, left, level = Area(), lanes, 0
    while left > 1:
        level += 1
        pairs = left // 2
        area = area + Area(1.6 * bits + level, 0, carry=carries(bits) // 2) * pairs
        left -= pairs
        area = area + Area(ff=left * (bits + level) + 1)
    if beats > 1:
        index = bits_for(lanes * beats)
        area = area + Area(0.8 * bits + 1.5 * index, bits + 2 * index + 1, carry=2)
    return area
