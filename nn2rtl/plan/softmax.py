"""Softmax: its stage, component, timing and cost."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from amaranth.hdl import Shape

from nn2rtl.ir import integer as ig
from nn2rtl.ir.model import Rounding
from nn2rtl.ir.softmax import odd_zero
from nn2rtl.ir.types import IntArray, IntType
from nn2rtl.plan.cost_parts import (
    Area,
    bits_for,
    block_ram,
    carries,
    counter,
    credits,
    delay_line,
    fifo,
    lut_ram,
)
from nn2rtl.plan.cost_pipes import lut_multiplier
from nn2rtl.plan.schedule import Dependence, Process
from nn2rtl.plan.stages import SoftmaxStage, StreamType
from nn2rtl.primitives.divide import QuotientRounding
from nn2rtl.primitives.softmax import Softmax

_ROUNDING: dict[Rounding, QuotientRounding] = {
    Rounding.HALF_EVEN: "half_even",
    Rounding.HALF_UP: "half_up",
    Rounding.HALF_DOWN: "half_down",
    Rounding.FLOOR: "floor",
}
_TABLE_IN_LUTS = 256
_MEMORY_IN_LUTS = 64


def softmax_slots(op: ig.Softmax, operand: StreamType, channels: int, result: StreamType) -> int:
    """Vectors that the hardware keeps: enough to work on all of them without a pause.

    Of a tensor with a single position there are two, such that one is taken in while the one
    before is worked on.
    """
    if operand.beats == channels:
        return 2
    part = softmax_component(
        SoftmaxStage("", "", (), result, 2, operand, op, channels, 2)
    )
    part._MustUse__silence = True
    period = part.division_steps + channels
    # Written, added up, and divided; with the ways between them.
    busy = 2 * channels + part.sum_latency + 2 + period
    slots = -(-busy // period)
    return max(2, 1 << int(slots - 1).bit_length())


def softmax_component(stage: SoftmaxStage) -> Any:
    """The hardware of a softmax."""
    op, kind = stage.op, stage.operand.type
    rounding: QuotientRounding | None = None
    if op.division is ig.Division.EXACT:
        rounding = _ROUNDING[op.rounding]
        if rounding == "half_even" and odd_zero(op):
            rounding = "half_odd"
    return Softmax(
        Shape(kind.width, kind.signed), Shape(stage.result.type.width, stage.result.type.signed),
        stage.channels, op.numerators.tolist(), op.denominators.tolist(), op.zero, op.low, op.high,
        rounding=rounding, slots=stage.slots, depth=stage.depth, in_range=(kind.low, kind.high),
    )  # fmt: skip


@lru_cache(maxsize=256)
def _latencies(stage: SoftmaxStage) -> tuple[int, int]:
    part = softmax_component(stage)
    part._MustUse__silence = True
    return part.sum_latency, part.division_steps


def softmax_steps(stage: SoftmaxStage) -> int:
    """Steps of the dividing process in an inference."""
    _, division = _latencies(stage)
    return stage.operand.beats // stage.channels * (division + stage.channels)


def softmax_schedule(
    stage: SoftmaxStage, write: Process, total: Process, result: Process
) -> IntArray:
    """Join the processes of a softmax, as `nn2rtl.primitives.softmax` describes them.

    Returns
    -------
    int64 array
        Steps of `result` that issue an output.
    """
    n = stage.channels
    latency, division = _latencies(stage)
    vectors: IntArray = np.arange(write.steps // n, dtype=np.int64)
    first, last = vectors * n, vectors * n + n - 1
    begin = vectors * (division + n)
    total.waits.append(Dependence(first, write.name, last, 1))
    result.waits.append(Dependence(begin, total.name, last, latency))
    # A slot is free once the vector that was in it is divided.
    again = vectors[stage.slots :]
    before = begin[: len(again)] + division + n - 1
    write.waits.append(Dependence(again * n, result.name, before, 1))
    return (begin[:, None] + division + np.arange(n)).ravel()


def softmax_area(stage: SoftmaxStage) -> Area:
    """Resources of a softmax."""
    op, kind, n = stage.op, stage.operand.type, stage.channels
    width, entries = kind.width, len(op.numerators)
    address = max(1, bits_for(entries))
    numerator, denominator = (int(t[0]).bit_length() for t in (op.numerators, op.denominators))
    total = (n * int(op.denominators[0])).bit_length()
    clips = kind.high - kind.low > entries - 1
    slot, index = bits_for(stage.slots), max(1, bits_for(n))
    elements = stage.slots << index
    # Control: three processes, and what waits between them.
    area = counter(n) * 4 + counter(stage.slots) * 4 + Area(6, 2 * (slot + 1)) * 2
    area = area + credits(stage.depth) + credits(stage.slots) + fifo(stage.depth, stage.result.bits)
    # The maximum, and each of two reads of the elements: difference, clipping, table.
    area = area + Area(1.5 * width, width, carry=carries(width) // 2)
    for bits in (denominator, numerator):
        area = area + _memory(elements, width) + _memory(stage.slots, width)
        area = area + Area(width, width + 3, carry=carries(width))
        if clips:
            area = area + Area(width / 2 + address, address + 1)
        area = area + _table(entries, address, bits)
    area = area + Area(1.2 * total, total, carry=carries(total)) + _memory(stage.slots, total)
    area = area + _result(stage.result.type)
    if op.division is ig.Division.EXACT:
        return area + _divider(int(op.numerators[0]), int(op.denominators[0]), total, numerator)
    return area + _reciprocal()


def _memory(depth: int, width: int) -> Area:
    if depth <= _MEMORY_IN_LUTS:
        return Area(lut_ram(max(2, depth), width), width)
    return block_ram(depth, width)


def _table(entries: int, address: int, bits: int) -> Area:
    if 1 << address > _TABLE_IN_LUTS:
        return block_ram(1 << address, bits) + Area(ff=bits + 2)
    return Area(bits * max(1.0, entries / 64) * 1.1, bits + 1)


def _result(kind: IntType) -> Area:
    return Area(2 * kind.width + 2, kind.width + 1, carry=2 * carries(kind.width))


def _divider(numerator: int, denominator: int, total: int, width: int) -> Area:
    stages = max(1, (2 * numerator // denominator).bit_length())
    # The start's bits, those of the numerator that are left, and the total wait in each stage.
    held = sum(k + max(0, stages - 1 - k) for k in range(stages))
    one = Area(total + 1, total + 1, carry=carries(total + 2))
    area = one * stages + Area(ff=float(total * (stages - 1) + held + stages))
    return area + Area(total / 6 + stages, stages, carry=carries(stages))


def _reciprocal() -> Area:
    multiplier, cycles = lut_multiplier((32, True), (32, True))
    steps = Area(32 * 6, 32 * 3 + 16, carry=30) + Area(31 * 2, 31 * 2)
    return multiplier + steps + Area(ff=float(cycles + 3)) + delay_line(1, cycles) + Area(40, 50)
