# amaranth: UnusedElaboratable=no
"""Weight ROM: order, latency, refusals."""

import random

import pytest
from amaranth.hdl import ClockDomain, Module
from amaranth.sim import Simulator

from nn2rtl.primitives.rom import WeightRom, rom_memory


@pytest.mark.parametrize("depth", [1, 2, 3, 8, 13, 70])
@pytest.mark.parametrize(
    "options", [{}, {"output_register": True}, {"hold": True}], ids=["plain", "register", "hold"]
)
def test_words_in_order(depth, options):
    rng = random.Random(depth)
    words = [rng.getrandbits(9) for _ in range(depth)]
    dut = WeightRom(words, 9, **options)
    held = None

    async def bench(ctx):
        nonlocal held
        expected = [None] * dut.latency
        count = 0
        for _ in range(3 * depth + 20):
            step = rng.random() < 0.7
            ctx.set(dut.next, step)
            expected.append(words[count % depth] if step else None)
            count += step
            _, _, data = await ctx.tick().sample(dut.data)
            wanted = expected.pop(0)
            if wanted is None and "hold" in options:
                wanted = held
            held = wanted
            assert wanted is None or data == wanted

    m = Module()
    m.domains.sync = ClockDomain()  # a single word is a constant, which has no clock of its own
    m.submodules.dut = dut
    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


def test_memory_choice():
    assert rom_memory(64) == "distributed"
    assert rom_memory(65) == "block"
    assert rom_memory(65, "distributed") == "distributed"


@pytest.mark.parametrize(
    ("words", "memory", "message"),
    [
        ([], "auto", "at least one"),
        ([1, 16], "auto", "16"),
        ([-1], "auto", "-1"),
        ([1], "lut", "lut"),
    ],
)
def test_refusals(words, memory, message):
    with pytest.raises(ValueError, match=message):
        WeightRom(words, 4, memory=memory)


def test_a_register_does_not_hold():
    with pytest.raises(ValueError, match="hold"):
        WeightRom([1, 2], 4, output_register=True, hold=True)
