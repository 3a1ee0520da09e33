"""Area of the multiply-accumulate array, in LUTs and in DSP slices.

See `cost_parts` for where the coefficients come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import ceil, log2

import numpy as np

from nn2rtl.plan.cost_parts import MIN_SRL, Area, carries, delay_line, width_of
from nn2rtl.primitives.dot_product import TABLE_INPUTS, plan_dot_product
from nn2rtl.primitives.packing import Bounds, Packing, plan_dsp, product_bounds

EXACT_LANES = 32
"""Lanes up to which a dot product is laid out; beyond, its area grows in proportion."""
DSP_LEAST_FACTOR, DSP_LEAST_PRODUCT = 2, 9
"""Narrowest factor and product that Yosys puts into a DSP slice (synth_xilinx's mul2dsp)."""
DSP_LONG, DSP_SHORT = 25, 18
"""Widest signed factors of a DSP48E1 (AMD UG479)."""


@dataclass(frozen=True)
class DotProduct:
    """Area of a dot product in LUTs, its registered levels, and the bits of its sum."""

    area: Area
    levels: int
    shift: int
    sum_bits: int
    table_inputs: tuple[int, ...]


@lru_cache(maxsize=65536)
def _supports(values: tuple[int, ...]) -> tuple[int, ...]:
    """Inputs on which each bit of a table's value depends."""
    array = np.array(values, dtype=np.int64)
    found = []
    for bit in range(width_of(int(array.min()), int(array.max()))):
        plane = (array >> bit & 1).reshape((2,) * (len(values).bit_length() - 1))
        found.append(sum(bool((np.diff(plane, axis=k) != 0).any()) for k in range(plane.ndim)))
    return tuple(found)


class _Bits:
    """A value in the adder tree: for each bit its LUT inputs (0: constant), and its registers."""

    def __init__(self, inputs: list[int], ages: list[int], signed: bool) -> None:
        self.inputs, self.ages, self.signed = inputs, ages, signed

    def tables(self) -> int:
        """LUTs of those bits that are functions of several inputs."""
        return sum(n > 1 for n in self.inputs)

    def extended(self, bit: int) -> int:
        if bit < len(self.inputs):
            return self.inputs[bit]
        return self.inputs[-1] if self.signed and self.inputs else 0


@lru_cache(maxsize=4096)
def exact_dot_product(
    act: tuple[int, bool], weight: tuple[int, bool], lanes: int
) -> DotProduct:
    """Area by the plan's tables and adders.

    A carry chain takes one operand by itself and its sum with the other as a LUT each bit; so of a
    table the LUT is saved where it needs no more than five inputs besides. Bits that are only
    passed on become shift registers.
    """
    plan = plan_dot_product(act, weight, lanes)
    below = [
        (t.shift, _Bits(list(_supports(t.values)), [0] * 99, t.bounds[0] < 0)) for t in plan.tables
    ]
    lut = ff = carry = 0
    for level in plan.levels:
        now = []
        for node in level:
            width = width_of(*node.bounds)
            ff += width
            low_shift, low = below[node.operands[0]]
            if len(node.operands) == 1:
                lut += low.tables()
                kept, used = len(low.inputs), []
            else:
                high_shift, high = below[node.operands[1]]
                kept = min(high_shift - low_shift, len(low.inputs))
                upper = _Bits(low.inputs[kept:], [], low.signed)
                total = width - (high_shift - low_shift)
                carry += carries(total)
                lut += sum(n > 1 for n in low.inputs[:kept]) + high.tables()
                for bit in range(total):
                    a, b = upper.extended(bit), high.extended(bit)
                    beyond = bit >= len(upper.inputs) and bit >= len(high.inputs)
                    lut += bool(a and b and not beyond)
                    lut += bit < len(upper.inputs) and a > (TABLE_INPUTS - 1 if b else 1)
                used = low.ages[kept : len(low.inputs)] + high.ages[: len(high.inputs)]
            for age in used:
                if age >= MIN_SRL:
                    ff, lut = ff - age, lut + 1
            ages = [low.ages[bit] + 1 for bit in range(kept)]
            ages += [1] * (width - kept)
            now.append((node.shift, _Bits([1] * width, ages, node.bounds[0] < 0)))
        below = now
    shift, root = below[0]
    for age in root.ages[: len(root.inputs)] if plan.levels else ():
        if age >= MIN_SRL:
            ff, lut = ff - age, lut + 1
    return DotProduct(
        Area(lut, ff, carry=carry), len(plan.levels), shift, len(root.inputs), tuple(root.inputs)
    )


@lru_cache(maxsize=65536)
def dot_product(act: tuple[int, bool], weight: tuple[int, bool], lanes: int) -> DotProduct:
    """A dot product in LUTs, exact up to `EXACT_LANES`."""
    if lanes <= EXACT_LANES:
        return exact_dot_product(act, weight, lanes)
    full = exact_dot_product(act, weight, EXACT_LANES)
    half = exact_dot_product(act, weight, EXACT_LANES // 2)
    more = (lanes - EXACT_LANES) / (EXACT_LANES // 2)
    levels = ceil(log2(lanes / EXACT_LANES))
    return DotProduct(
        full.area + (full.area + half.area * -1) * more,
        full.levels + levels,
        full.shift,
        full.sum_bits + levels,
        full.table_inputs,
    )


def dsp_slices(a: tuple[int, bool], b: tuple[int, bool]) -> int:
    """DSP slices of a product of two (width, signed) factors; 0 if Yosys builds it of LUTs."""
    if min(a[0], b[0]) < DSP_LEAST_FACTOR or a[0] + b[0] < DSP_LEAST_PRODUCT:
        return 0
    long, short = sorted((a[0] + (not a[1]), b[0] + (not b[1])), reverse=True)
    rows = 1 if long <= DSP_LONG else -(-(long - 1) // (DSP_LONG - 1))
    columns = 1 if short <= DSP_SHORT else -(-(short - 1) // (DSP_SHORT - 1))
    return rows * columns


@lru_cache(maxsize=65536)
def mac_array(
    act: tuple[int, bool],
    weight: tuple[int, bool],
    acc_bits: int,
    pe: int,
    simd: int,
    use_dsp: bool,
    lanes: int | None = None,
    weight_range: tuple[int, int] | None = None,
    dsp_pes: int | None = None,
) -> Area:
    """`MacArray`: products, adder tree, accumulators, and the delay of the control bits.

    `lanes` are those of a dot product, if blocks have less than all `simd`. `weight_range` and
    `dsp_pes` are those of `MacArray`.
    """
    lanes = simd if lanes is None else lanes
    in_slices = (pe if dsp_pes is None else dsp_pes) if use_dsp else 0
    area, latency = Area(), 0
    dot = dot_product(act, weight, lanes)
    if in_slices < pe:
        latency = dot.levels + 1
    if in_slices:
        each = pe * lanes // simd  # PEs of a block
        ranges = _bounds(*act), weight_range or _bounds(*weight)
        plan = plan_dsp(*ranges, acc_bits, min(in_slices, each), lanes)
        wait, latency = max(0, latency - plan.latency), max(latency, plan.latency)
        if plan.packing is None:
            area = _wide_dot_product(act, weight, acc_bits, lanes) * in_slices
        elif plan.in_place:
            area = Area(1) + Area(ff=acc_bits * wait, dsp=1) * in_slices
        else:
            for begin in range(0, in_slices, each):
                sharing = min(each, in_slices - begin)
                area = area + _packed_dot_products(
                    *ranges, weight[1], acc_bits, plan.packing, sharing, lanes, wait
                )
    if in_slices < pe:
        above = acc_bits - dot.shift
        one = dot.area + Area(above, acc_bits, carry=carries(above))
        if dot.levels == 0:
            one = one + Area(sum(inputs > 1 for inputs in dot.table_inputs))
        one = one + delay_line(dot.sum_bits, latency - dot.levels - 1)
        area = area + one * (pe - in_slices)
    return area + delay_line(2, latency - 1) + Area(1, latency)


def _bounds(width: int, signed: bool) -> Bounds:
    return (-(1 << (width - 1)), (1 << (width - 1)) - 1) if signed else (0, (1 << width) - 1)


def _packed_dot_products(
    act: Bounds, weight: Bounds, signed: bool, acc_bits: int, packing: Packing, pes: int,
    lanes: int, wait: int,
) -> Area:  # fmt: skip
    """Dot products of PEs that share activations: slices, adder tree and accumulators.

    A sum of two takes a LUT for each bit but its highest, which repeats the sign. `signed` is of
    the weights; `wait` are cycles for which the sums have to wait for those of LUTs.
    """
    low, high = product_bounds(act, weight)
    widths = [width_of(n * low - packing.less, n * high) for n in packing.chains(lanes)]
    inverted = sum(width >= packing.distance for width in widths)
    # Two cycles of waiting, those of longer cascades included, are in the slices' own registers.
    one = delay_line(sum(widths), max(0, wait + packing.levels(lanes) - 2))
    while len(widths) > 1:
        pairs = [widths[k : k + 2] for k in range(0, len(widths), 2)]
        widths = [max(pair) + len(pair) - 1 for pair in pairs]
        one = one + Area(ff=sum(widths))
        for width in widths[: len(pairs) - len(pairs[-1]) % 2]:
            one = one + Area(width - 1, carry=carries(width))
    one = one + Area(acc_bits, acc_bits, carry=carries(acc_bits))
    area = one * pes
    for begin in range(0, pes, packing.count):
        count = min(packing.count, pes - begin)
        area = area + Area(inverted * (count - 1), dsp=lanes)
        if signed:  # weights borrow of those two fields above
            bits = width_of(*weight) + 1
            area = area + Area(bits * max(0, count - 2) * lanes)
    return area


def _wide_dot_product(
    act: tuple[int, bool], weight: tuple[int, bool], acc_bits: int, simd: int
) -> Area:
    """Products too wide for one slice, which are left to Yosys; slices hold their registers."""
    bits = act[0] + weight[0]
    area = Area(dsp=dsp_slices(act, weight) * simd)
    nodes, level = simd, 0
    while nodes > 1:
        level += 1
        width, pairs = bits + level, nodes // 2
        area = area + Area(width, width, carry=carries(width)) * pairs
        area = area + Area(ff=(width - 1) * (nodes % 2))
        nodes -= pairs
    return area + Area(acc_bits, acc_bits, carry=carries(acc_bits))
