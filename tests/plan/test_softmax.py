"""Planned softmax: places for vectors, timing, cost."""

from dataclasses import replace
from fractions import Fraction

import pytest

from nn2rtl.ir import integer as ig
from nn2rtl.ir import softmax
from nn2rtl.ir.types import IntType
from nn2rtl.plan.schedule import Process, solve
from nn2rtl.plan.softmax import softmax_area, softmax_schedule, softmax_slots, softmax_steps
from nn2rtl.plan.stages import SoftmaxStage, StreamType

INT8, UINT8 = IntType(-128, 127), IntType(0, 255)


def stage(kind, channels, vectors, step, result=INT8, slots=None, scale=Fraction(1, 9)):
    if step is None:
        op = ig.Softmax(
            *softmax.kernel_tables(1242899200, 24, -124, 255), -128, -128, 127,
            ig.Division.RECIPROCAL,
        )  # fmt: skip
    else:
        tables = softmax.exact_tables(scale, step, channels, kind.high - kind.low)
        op = ig.Softmax(*tables, result.low, result.low, result.high)
    beats = channels * vectors
    operand, output = StreamType(kind, 1, beats), StreamType(result, 1, beats)
    slots = slots or softmax_slots(op, operand, channels, output)
    return SoftmaxStage("s", "s", ("x",), output, 18, operand, op, channels, slots)


STEP = Fraction(1, 256)


@pytest.mark.parametrize(
    ("stage", "lut", "ff", "bram36", "carry"),
    [
        # As Yosys 0.70 has them.
        (stage(INT8, 10, 1, STEP), 999, 1055, 0, 139),
        (stage(INT8, 12, 1, None), 1182, 958, 0, 208),
        (stage(INT8, 100, 1, STEP), 1103, 1183, 1, 156),
        (stage(IntType(-512, 511), 5, 9, Fraction(1, 255), UINT8, 8, Fraction(1, 50)),
         618, 966, 2.5, 128),
    ],
)  # fmt: skip
def test_cost(stage, lut, ff, bram36, carry):
    found = softmax_area(stage).resources()
    assert (found.bram36, found.dsp) == (bram36, 0)
    assert found.lut == pytest.approx(lut, rel=0.1)
    assert found.ff == pytest.approx(ff, rel=0.2)
    assert found.carry == pytest.approx(carry, rel=0.1)


def interval(planned):
    """Cycles between two vectors, far from the beginning."""
    write, total = (Process(name, planned.operand.beats) for name in ("write", "sum"))
    result = Process("result", softmax_steps(planned))
    issues = softmax_schedule(planned, write, total, result)
    assert len(issues) == planned.operand.beats
    ends = solve([write, total, result])["result"][issues][planned.channels - 1 :: planned.channels]
    return (ends[-1] - ends[50]) / (len(ends) - 51)


@pytest.mark.parametrize(("channels", "step"), [(2, STEP), (3, None), (21, STEP), (200, None)])
def test_slots_keep_all_processes_busy(channels, step):
    assert stage(INT8, channels, 1, step).slots == 2
    busy = stage(INT8, channels, 100, step)
    assert interval(busy) == softmax_steps(busy) // 100
    if busy.slots > 2:
        assert interval(replace(busy, slots=busy.slots // 2)) > interval(busy)
