# amaranth: UnusedElaboratable=no
"""Width helpers, and the base class of the pipes."""

import pytest
from amaranth.hdl import Module, signed, unsigned

from nn2rtl.primitives.pipe import (
    Pipe,
    channel_rows,
    checked_range,
    shape_bounds,
    shape_containing,
)


class Delay(Pipe):
    """Registers only; bit 0 of the output tells whether the second-last cycle was valid."""

    def __init__(self, latency):
        super().__init__(unsigned(4), unsigned(4), latency)

    def elaborate(self, platform):
        m = Module()
        assert len(self._valid_chain(m)) == self.latency + 1
        value = self.i.payload
        for _ in range(self.latency):
            following = type(value)(4, reset_less=True)
            m.d.sync += following.eq(value)
            value = following
        m.d.comb += self.o.payload.eq(value)
        return m


@pytest.mark.parametrize("shape", [unsigned(1), unsigned(7), signed(1), signed(2), signed(9)])
def test_bounds_and_containing_are_inverse(shape):
    assert shape_containing(*shape_bounds(shape)) == shape


@pytest.mark.parametrize(
    ("low", "high", "shape"),
    [
        (0, 0, unsigned(1)),
        (3, 4, unsigned(3)),
        (-1, -1, signed(1)),
        (-1, 0, signed(1)),
        (-1, 1, signed(2)),
        (-2, 2, signed(3)),
        (-129, -5, signed(9)),
        (-3, 128, signed(9)),
    ],
)
def test_containing(low, high, shape):
    assert shape_containing(low, high) == shape


def test_containing_refuses_empty_range():
    with pytest.raises(ValueError, match="2 to 1"):
        shape_containing(2, 1)


def test_checked_range():
    assert checked_range(signed(4), None) == (-8, 7)
    assert checked_range(signed(4), (-3, 7)) == (-3, 7)
    for given in [(-9, 0), (0, 8), (1, 0)]:
        with pytest.raises(ValueError, match="within -8 to 7"):
            checked_range(signed(4), given)


def test_channel_rows():
    assert channel_rows([1, 2, 3, 4, 5, 6], 2, 6) == [[1, 3, 5], [2, 4, 6]]
    assert channel_rows([9], 3, 6) == [[9, 9]] * 3
    with pytest.raises(ValueError, match="5 of 2"):
        channel_rows([0] * 5, 2, 5)
    with pytest.raises(ValueError, match="1 or 4 values"):
        channel_rows([0, 0], 2, 4)


@pytest.mark.parametrize("latency", [0, 1, 3])
def test_latency(stream_bench, latency):
    pipe = Delay(latency)
    run = stream_bench(pipe, {"i": list(range(16))}, {"o": 16}, idle=0.4, seed=latency)
    assert run.data["o"] == list(range(16))
    assert run.time["o"] == [cycle + latency for cycle in run.time["i"]]


def test_refuses_negative_latency():
    with pytest.raises(ValueError, match="-1"):
        Delay(-1)
