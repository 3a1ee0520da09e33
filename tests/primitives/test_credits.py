# amaranth: UnusedElaboratable=no
"""Credits, and pipes behind them, against a model of their timing."""

import random

import pytest
from amaranth.hdl import Module, Signal, Value, signed
from amaranth.lib import stream
from amaranth.lib.data import ArrayLayout
from amaranth.lib.wiring import Component, In, Out
from amaranth.sim import Simulator

from nn2rtl.primitives.credits import CreditedPipe, Credits
from nn2rtl.primitives.width import UpsizerPipe


class Delay(Component):
    """Pipe of `latency` registers that inverts its data."""

    def __init__(self, latency, shape=8):
        self.latency = latency
        super().__init__({
            "i": In(stream.Signature(shape, always_ready=True)),
            "o": Out(stream.Signature(shape, always_ready=True)),
        })

    def elaborate(self, platform):
        m = Module()
        valid, data = self.i.valid, ~Value.cast(self.i.payload)
        for k in range(self.latency):
            next_valid = Signal(name=f"valid{k}")
            next_data = Signal(len(data), name=f"data{k}", reset_less=True)
            m.d.sync += [next_valid.eq(valid), next_data.eq(data)]
            valid, data = next_valid, next_data
        m.d.comb += [self.o.valid.eq(valid), Value.cast(self.o.payload).eq(data)]
        return m


@pytest.fixture
def check_rule(queue_model):
    def check(dut, result):
        """Check ready and valid in every cycle, from the times of the accepted beats alone."""
        n = dut.inputs_per_output
        used, valid = queue_model(
            result.time["i"][n - 1 :: n], result.time["o"], dut.latency, result.cycles
        )
        assert result.valid["o"] == valid
        accepted = set(result.time["i"])
        index, ready = 0, []
        for cycle in range(result.cycles):
            ready.append(int(index != n - 1 or used[cycle] < dut.depth))
            index = (index + (cycle in accepted)) % n
        assert result.ready["i"] == ready

    return check


@pytest.mark.parametrize("taken", [1, 2, 3, 8])
@pytest.mark.parametrize("spare", [0, 1, 2, 3, 6, 7, 8])
def test_credits(taken, spare):
    depth = taken + spare
    dut, rng = Credits(depth, taken), random.Random(depth)

    async def bench(ctx):
        count = depth
        for cycle in range(200):
            assert ctx.get(dut.available) == (count >= taken)
            likely = 0.8 if cycle // 20 % 2 else 0.2
            take = count >= taken and rng.random() < likely
            give = count < depth and rng.random() > likely
            ctx.set(dut.take, take)
            ctx.set(dut.give, give)
            assert ctx.get(dut.available) == (count >= taken)
            await ctx.tick()
            count += give - take * taken

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize(
    ("latency", "depth", "memory"),
    [(0, 1, "auto"), (1, 2, "auto"), (3, 1, "auto"), (2, 3, "auto"), (3, 7, "auto"),
     (4, 3, "block"), (1, 70, "auto")],
)  # fmt: skip
@pytest.mark.parametrize(("idle", "backpressure"), [(0, 0), (0.5, 0), (0, 0.5), (0.5, 0.5)])
def test_pipe(stream_bench, check_rule, latency, depth, memory, idle, backpressure):
    dut = CreditedPipe(Delay(latency), depth, memory=memory)
    data = [*range(100)]
    result = stream_bench(
        dut, {"i": data}, {"o": 100}, idle=idle, backpressure=backpressure, seed=depth
    )
    assert result.data["o"] == [255 - value for value in data]
    check_rule(dut, result)


@pytest.mark.parametrize(("latency", "depth", "memory"), [(0, 2, "auto"), (2, 4, "auto"),
                                                         (3, 6, "block")])  # fmt: skip
def test_full_rate(stream_bench, latency, depth, memory):
    """`latency + 1` credits give an output in every cycle, one credit less does not."""
    dut = CreditedPipe(Delay(latency), depth, memory=memory)
    assert depth == dut.latency + 1
    result = stream_bench(dut, {"i": [0] * 40}, {"o": 40})
    assert result.time["o"] == [*range(dut.latency, dut.latency + 40)]
    slower = CreditedPipe(Delay(latency), depth - 1, memory=memory)
    assert stream_bench(slower, {"i": [0] * 40}, {"o": 40}).time["i"][-1] > 39


def test_blocked_output(stream_bench, check_rule):
    """As many inputs as there are credits enter; a pop lets the next one in a cycle later."""
    dut = CreditedPipe(Delay(2), 3)
    result = stream_bench(dut, {"i": [*range(5)]}, {"o": 5}, backpressure=lambda c: c < 20)
    assert result.time["i"] == [0, 1, 2, 21, 22]
    check_rule(dut, result)


@pytest.mark.parametrize("inputs_per_output", [2, 3, 4])
@pytest.mark.parametrize(("idle", "backpressure"), [(0, 0), (0.5, 0.5), (0, 0.8)])
def test_inputs_per_output(stream_bench, check_rule, inputs_per_output, idle, backpressure):
    """Only the last input of an output takes a credit."""
    pipe = UpsizerPipe(8, 1, inputs_per_output)
    dut = CreditedPipe(pipe, 2, inputs_per_output=inputs_per_output)
    count = 30 * inputs_per_output
    result = stream_bench(
        dut, {"i": [*range(count)]}, {"o": 30}, idle=idle, backpressure=backpressure
    )
    check_rule(dut, result)


def test_attributes():
    pipe = Delay(3, ArrayLayout(signed(4), 2))
    dut = CreditedPipe(pipe, 100, inputs_per_output=5)
    assert dut.pipe is pipe
    assert (dut.depth, dut.memory, dut.latency, dut.inputs_per_output) == (100, "block", 5, 5)
    assert dut.i.payload.shape() == ArrayLayout(signed(4), 2)
    assert Credits(3).depth == 3


def test_bad_arguments():
    with pytest.raises(ValueError, match="Credits depth must be at least 1, not 0"):
        Credits(0)
    with pytest.raises(ValueError, match="at least taken = 3"):
        Credits(2, 3)
    with pytest.raises(TypeError, match=r"depth must be an integer, not 1\.0"):
        CreditedPipe(Delay(1), 1.0)
    with pytest.raises(ValueError, match="inputs_per_output must be at least 1, not 0"):
        CreditedPipe(Delay(1), 1, inputs_per_output=0)
    with pytest.raises(ValueError, match="not 'ultra'"):
        CreditedPipe(Delay(1), 1, memory="ultra")
    with pytest.raises(TypeError, match="always ready stream i"):
        CreditedPipe(CreditedPipe(Delay(1), 1), 1)
    with pytest.raises(TypeError, match="integer latency, not '1'"):
        CreditedPipe(_with_latency("1"), 1)


def _with_latency(latency):
    pipe = Delay(1)
    pipe.latency = latency
    return pipe
