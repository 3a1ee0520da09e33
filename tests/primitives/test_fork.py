# amaranth: UnusedElaboratable=no
"""Fork: its truth table, and its beats behind FIFOs."""

import itertools

import pytest
from amaranth.hdl import Module, signed
from amaranth.lib import stream, wiring
from amaranth.lib.data import ArrayLayout
from amaranth.lib.wiring import Component, In, Out
from amaranth.sim import Simulator

from nn2rtl.primitives.fifo import Fifo
from nn2rtl.primitives.fork import Fork

LAYOUT = ArrayLayout(signed(4), 2)


class BufferedFork(Component):
    """A fork with a Fifo of another depth in each branch."""

    def __init__(self, depths):
        self.depths = depths
        super().__init__({
            "i": In(stream.Signature(LAYOUT)),
            "o": Out(stream.Signature(LAYOUT)).array(len(depths)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.fork = fork = Fork(LAYOUT, len(self.depths))
        wiring.connect(m, wiring.flipped(self.i), fork.i)
        for k, depth in enumerate(self.depths):
            m.submodules[f"fifo{k}"] = fifo = Fifo(LAYOUT, depth)
            wiring.connect(m, fork.o[k], fifo.i)
            wiring.connect(m, fifo.o, wiring.flipped(self.o[k]))
        return m


@pytest.mark.parametrize("branches", [1, 2, 3])
def test_handshake(branches):
    dut = Fork(8, branches)

    async def bench(ctx):
        for valid, *ready in itertools.product((0, 1), repeat=1 + branches):
            ctx.set(dut.i.valid, valid)
            ctx.set(dut.i.payload, 77 + valid)
            for port, value in zip(dut.o, ready, strict=True):
                ctx.set(port.ready, value)
            assert ctx.get(dut.i.ready) == all(ready)
            for k, port in enumerate(dut.o):
                assert ctx.get(port.valid) == (valid and all(ready[:k] + ready[k + 1 :]))
                assert ctx.get(port.payload) == 77 + valid

    simulator = Simulator(dut)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize("depths", [[2], [1, 3], [2, 2, 2]])
@pytest.mark.parametrize(("idle", "backpressure"), [(0, 0), (0.5, 0), (0, 0.5), (0.5, 0.5)])
def test_every_branch_gets_every_beat(stream_bench, depths, idle, backpressure):
    data = [*range(40)]
    names = [f"o[{k}]" for k in range(len(depths))]
    result = stream_bench(
        BufferedFork(depths), {"i": data}, dict.fromkeys(names, 40),
        idle=idle, backpressure=backpressure,
    )  # fmt: skip
    assert all(result.data[name] == data for name in names)


def test_latency(stream_bench):
    """Without a register a branch sees the beat in the cycle in which it is offered."""
    result = stream_bench(Fork(8, 2), {"i": [*range(20)]}, {"o[0]": 20, "o[1]": 20}, idle=0.5)
    assert result.time["i"] == result.time["o[0]"] == result.time["o[1]"]
    assert result.data["o[0]"] == result.data["o[1]"] == [*range(20)]


def test_bad_arguments():
    with pytest.raises(ValueError, match="branches must be at least 1, not 0"):
        Fork(8, 0)
    with pytest.raises(TypeError, match=r"branches must be an integer, not 2\.0"):
        Fork(8, 2.0)
