"""Area of the multiply-accumulate array, in LUTs and in DSP slices.

See `cost_parts` for where the coefficients come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import ceil, log2

import numpy as np

from nn2rtl.plan.cost_parts import MIN_SRL, Area, bits_for, carries, delay_line, width_of
from nn2rtl.primitives.dot_product import TABLE_INPUTS, plan_dot_product

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
) -> Area:
    """`MacArray`: products, adder tree, accumulators, and the delay of the control bits.

    `lanes` are those of a dot product, if blocks have less than all `simd`.
    """
    lanes = simd if lanes is None else lanes
    if use_dsp:
        one, latency = _dsp_dot_product(act, weight, acc_bits, lanes)
        shared = Area(ff=0 if dsp_slices(act, weight) else act[0] * simd)
    else:
        dot = dot_product(act, weight, lanes)
        latency, shared = dot.levels + 1, Area()
        one = dot.area + Area(acc_bits - dot.shift, acc_bits, carry=carries(acc_bits - dot.shift))
        if dot.levels == 0:
            one = one + Area(sum(inputs > 1 for inputs in dot.table_inputs))
    control = delay_line(2, latency - 1) + Area(1, latency)
    return one * pe + shared + control


def _dsp_dot_product(
    act: tuple[int, bool], weight: tuple[int, bool], acc_bits: int, simd: int
) -> tuple[Area, int]:
    """Products in DSP slices, which also hold the registers and the first level of the tree."""
    latency = 3 + bits_for(simd)
    slices = dsp_slices(act, weight)
    bits = act[0] + weight[0]
    if slices and simd == 1:
        # The slice accumulates, too.
        return Area(dsp=slices), latency
    area = Area(dsp=slices * simd)
    if not slices:
        # Left to the synthesiser, a narrow product takes about 1.5 LUTs for each pair of bits.
        area = Area(1.5 * act[0] * weight[0], weight[0] + bits) * simd
    nodes, level = simd, 0
    while nodes > 1:
        level += 1
        width, pairs = bits + level, nodes // 2
        if level > 1 or not slices:
            area = area + Area(width, width, carry=carries(width)) * pairs
            area = area + Area(ff=(width - 1) * (nodes % 2))
        nodes -= pairs
    return area + Area(acc_bits, acc_bits, carry=carries(acc_bits)), latency
