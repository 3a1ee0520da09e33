# amaranth: UnusedElaboratable=no
"""The stream bench notices what it has to notice."""

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out


class Broken(Component):
    """A register stage that breaks the rule called `fault`, if any."""

    def __init__(self, fault=None):
        self.fault = fault
        super().__init__({"i": In(stream.Signature(8)), "o": Out(stream.Signature(8))})

    def elaborate(self, platform):
        m = Module()
        count = Signal(8)
        m.d.sync += count.eq(count + 1)
        m.d.comb += self.i.ready.eq(~self.o.valid | self.o.ready)
        if self.fault == "lazy":
            m.d.comb += self.i.ready.eq(0)
        with m.If(self.i.ready):
            m.d.sync += self.o.valid.eq(self.i.valid)
            with m.If(self.i.valid):
                m.d.sync += self.o.payload.eq(self.i.payload)
        if self.fault == "drops":
            with m.If(~self.o.ready):
                m.d.sync += self.o.valid.eq(0)
        if self.fault == "changes":
            m.d.sync += self.o.payload.eq(count)
        if self.fault == "repeats":
            with m.If(count == 50):
                m.d.sync += self.o.valid.eq(1)
        return m


DATA = [*range(100, 120)]


@pytest.mark.parametrize(("idle", "backpressure"), [(0, 0), (0.5, 0), (0, 0.5), (0.5, 0.5)])
def test_register_stage(stream_bench, idle, backpressure):
    result = stream_bench(Broken(), {"i": DATA}, {"o": 20}, idle=idle, backpressure=backpressure)
    assert result.data == {"i": DATA, "o": DATA}
    for port, times in result.time.items():
        accepted = zip(result.valid[port], result.ready[port], strict=True)
        assert times == [cycle for cycle, both in enumerate(accepted) if both == (1, 1)]
        assert len(result.valid[port]) == result.cycles
    assert all(o > i for i, o in zip(result.time["i"], result.time["o"], strict=True))
    if not idle and not backpressure:
        assert result.time == {"i": [*range(20)], "o": [*range(1, 21)]}
    assert (0 in result.valid["i"][: result.time["i"][-1]]) == bool(idle)
    assert (0 in result.ready["o"]) == bool(backpressure)


def test_backpressure_by_cycle(stream_bench):
    result = stream_bench(
        Broken(), {"i": DATA}, {"o": 20}, backpressure=lambda cycle: cycle % 4 != 3
    )
    assert result.time["o"] == [*range(3, 83, 4)]


def test_same_seed_same_run(stream_bench):
    def times(seed):
        return stream_bench(
            Broken(), {"i": DATA}, {"o": 20}, idle=0.5, backpressure=0.5, seed=seed
        ).time

    assert times(1) == times(1) != times(2)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("drops", "o: valid fell"),
        ("changes", "o: payload changed"),
        ("repeats", "o: extra beat 0x77 in cycle 51, expected 20"),
        ("lazy", "not finished after 300 cycles: i 0 of 20, o 0 of 20"),
    ],
)
def test_faults(stream_bench, fault, message):
    with pytest.raises(AssertionError, match=message):
        stream_bench(
            Broken(fault), {"i": DATA}, {"o": 20}, backpressure=0.5 * (fault != "repeats"),
            max_cycles=300, settle=40,
        )  # fmt: skip


def test_pack(pack, unpack):
    assert pack([1, -1, 15], 4) == 0xFF1
    assert unpack(0xFF1, 3, 4, True) == [1, -1, -1]
    assert unpack(0xFF1, 3, 4, False) == [1, 15, 15]
    with pytest.raises(ValueError, match="16 does not fit 4 bits"):
        pack([16], 4)
