# amaranth: UnusedElaboratable=no
"""Fold counters and tables of constants under random strobes and resets."""

import random

import pytest
from amaranth.hdl import Module, ResetInserter, Signal, signed, unsigned
from amaranth.sim import Simulator

from nn2rtl.primitives.constants import ConstantTable, FoldCounter


def run(dut, output, cycles, seed):
    """Strobe at random, reset now and then in the second half.

    Return (beats since reset, output) of each beat; `output` has one value for each lane.
    """
    rng = random.Random(seed)
    reset = Signal()
    top = Module()
    top.submodules.dut = ResetInserter(reset)(dut)
    seen = []

    async def bench(ctx):
        beats = 0
        for cycle in range(cycles):
            strobe, clear = rng.random() < 0.7, cycle > cycles / 2 and rng.random() < 0.03
            ctx.set(dut.next, strobe)
            ctx.set(reset, clear)
            if strobe:
                seen.append((beats, [ctx.get(value) for value in output]))
                beats += 1
            if clear:
                beats = 0
            await ctx.tick()

    simulator = Simulator(top)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return seen


@pytest.mark.parametrize("folds", [2, 3, 8])
def test_fold_counter(folds):
    dut = FoldCounter(folds)
    seen = run(dut, [dut.fold], 300, folds)
    assert all(fold == [beats % folds] for beats, fold in seen)


@pytest.mark.parametrize(
    ("folds", "lanes", "shape"),
    [(2, 2, unsigned(3)), (5, 3, signed(7)), (256, 2, signed(5)), (257, 2, signed(9))],
)
def test_table(folds, lanes, shape):
    rng = random.Random(folds)
    limit = 1 << (shape.width - 1)
    rows = [[rng.randint(-limit if shape.signed else 0, limit - 1) for _ in range(folds)]
            for _ in range(lanes)]
    dut = ConstantTable(rows, shape)
    seen = run(dut, dut.value, 1500, folds)
    assert max(beats for beats, _ in seen) > folds
    assert all(value == [row[beats % folds] for row in rows] for beats, value in seen)


def test_equal_constants_need_no_register():
    dut = ConstantTable([[3, 3], [-4, -4]], signed(3))
    top = Module()
    top.submodules.dut = dut
    simulator = Simulator(top)  # no clock

    async def bench(ctx):
        assert list(ctx.get(dut.value)) == [3, -4]

    simulator.add_testbench(bench)
    simulator.run()


def test_refusals():
    with pytest.raises(ValueError, match="not 0"):
        FoldCounter(0)
    with pytest.raises(ValueError, match=r"\[2, 1\]"):
        ConstantTable([[1, 2], [1]], signed(3))
    with pytest.raises(ValueError, match="equally many"):
        ConstantTable([], signed(3))
    with pytest.raises(ValueError, match="not 4"):
        ConstantTable([[4]], signed(3))
