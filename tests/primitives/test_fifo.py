# amaranth: UnusedElaboratable=no
"""Fifo against a small model of its timing rule, cycle by cycle."""

import random

import pytest
from amaranth.hdl import signed
from amaranth.lib import stream
from amaranth.lib.data import ArrayLayout

from nn2rtl.primitives.fifo import Fifo, fifo_latency, fifo_memory

WIDTH = 9
DEPTHS = [(depth, "auto") for depth in (1, 2, 3, 4, 7, 16, 64, 65, 100)] + [
    (5, "registers"), (1, "distributed"), (2, "distributed"), (70, "distributed"),
    (1, "block"), (2, "block"), (3, "block"), (4, "block"),
]  # fmt: skip


def words(count, width=WIDTH):
    rng = random.Random(count)
    return [rng.getrandbits(width) for _ in range(count)]


@pytest.fixture
def check_rule(queue_model):
    def check(fifo, result):
        """Check ready and valid in every cycle, from the times of the accepted beats alone."""
        level, valid = queue_model(
            result.time["i"], result.time["o"], fifo.latency, result.cycles
        )
        assert result.valid["o"] == valid
        assert result.ready["i"] == [int(words < fifo.depth) for words in level]

    return check


@pytest.mark.parametrize(("depth", "memory"), DEPTHS)
@pytest.mark.parametrize(
    ("idle", "backpressure"), [(0, 0), (0.5, 0), (0, 0.5), (0.5, 0.5)]
)
def test_random(stream_bench, check_rule, depth, memory, idle, backpressure):
    fifo = Fifo(WIDTH, depth, memory=memory)
    data = words(3 * min(depth, 40) + 20)
    result = stream_bench(
        fifo, {"i": data}, {"o": len(data)}, idle=idle, backpressure=backpressure, seed=depth
    )
    assert result.data["o"] == data
    check_rule(fifo, result)


@pytest.mark.parametrize(("depth", "memory"), DEPTHS)
def test_fill_and_drain(stream_bench, check_rule, depth, memory):
    """Exactly `depth` words fit, and a full FIFO takes the next word after the first pop."""
    fifo = Fifo(WIDTH, depth, memory=memory)
    data = words(2 * depth + 5)
    release = depth + 7
    result = stream_bench(
        fifo, {"i": data}, {"o": len(data)}, backpressure=lambda cycle: cycle < release
    )
    assert result.data["o"] == data
    assert result.time["i"][: depth + 1] == [*range(depth), release + 1]
    check_rule(fifo, result)


@pytest.mark.parametrize(("depth", "memory"), [(2, "auto"), (3, "auto"), (3, "block")])
def test_full_rate(stream_bench, depth, memory):
    fifo = Fifo(WIDTH, depth, memory=memory)
    data = words(50)
    result = stream_bench(fifo, {"i": data}, {"o": 50})
    assert result.time["i"] == [*range(50)]
    assert result.time["o"] == [*range(fifo.latency, 50 + fifo.latency)]


@pytest.mark.parametrize("depth", [2, 4, 80])
def test_structured_payload(stream_bench, depth):
    data = words(20, 15)
    result = stream_bench(Fifo(ArrayLayout(signed(5), 3), depth), {"i": data}, {"o": 20}, idle=0.5)
    assert result.data["o"] == data


@pytest.mark.parametrize("memory", ["registers", "distributed", "block"])
def test_level(stream_bench, memory):
    """The level counts a word from the cycle after its write to that of its pop."""

    class Observed(Fifo):
        def elaborate(self, platform):
            m = super().elaborate(platform)
            m.d.comb += self.seen.valid.eq(1), self.seen.payload.eq(self.level)
            return m

    fifo = Observed(WIDTH, 5, memory=memory)
    fifo.seen = stream.Signature(range(6), always_ready=True).create()
    result = stream_bench(
        fifo, {"i": words(30)}, {"o": 30, "seen": 100}, backpressure=0.4, settle=0
    )
    for cycle, level in enumerate(result.data["seen"]):
        writes = sum(time < cycle for time in result.time["i"])
        pops = sum(time < cycle for time in result.time["o"])
        assert level == writes - pops


def test_memory_choice():
    assert [fifo_memory(depth) for depth in (1, 2, 3, 64, 65)] == [
        "registers", "registers", "distributed", "distributed", "block",
    ]  # fmt: skip
    assert [fifo_latency(depth) for depth in (2, 3, 64, 65)] == [1, 1, 1, 2]
    assert fifo_latency(2, "block") == 2
    assert fifo_memory(100, "registers") == "registers"
    fifo = Fifo(8, 100, memory="distributed")
    assert (fifo.depth, fifo.memory, fifo.latency) == (100, "distributed", 1)


@pytest.mark.parametrize("depth", [2.0, "4", None, True])
def test_depth_type(depth):
    with pytest.raises(TypeError, match=f"depth must be an integer, not {depth!r}"):
        Fifo(8, depth)


def test_bad_values():
    with pytest.raises(ValueError, match="depth must be at least 1, not 0"):
        Fifo(8, 0)
    with pytest.raises(ValueError, match="not 'ultra'"):
        Fifo(8, 4, memory="ultra")
    with pytest.raises(ValueError, match="not 3"):
        fifo_memory(4, 3)
