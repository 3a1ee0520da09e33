# amaranth: UnusedElaboratable=no
"""ArgMax against Python's own, with many equal elements."""

import random

import pytest
from amaranth.hdl import Shape, signed, unsigned
from amaranth.lib.data import ArrayLayout

from nn2rtl.primitives.argmax import ArgMax
from nn2rtl.primitives.credits import CreditedPipe

SIZES = [(1, 1), (2, 1), (3, 1), (10, 1), (1, 10), (2, 5), (5, 2), (7, 3), (4, 4), (1, 2)]


def elements(shape, count, rng):
    """Return elements; few different values make ties, the ends of the range are among them."""
    if shape.signed:
        low, high = -(1 << (shape.width - 1)), (1 << (shape.width - 1)) - 1
    else:
        low, high = 0, (1 << shape.width) - 1
    kind = rng.randrange(4)
    if kind == 0:
        return [rng.randint(low, high) for _ in range(count)]
    return [rng.choice((low, high, 0)[:kind] if kind > 1 else (low,)) for _ in range(count)]


@pytest.mark.parametrize(("lanes", "beats"), SIZES)
@pytest.mark.parametrize(
    ("shape", "idle"), [(signed(4), 0), (signed(4), 0.5), (unsigned(3), 0.5), (signed(1), 0)]
)
def test_argmax(stream_bench, pack, lanes, beats, shape, idle):
    shape = Shape.cast(shape)
    rng = random.Random(lanes)
    groups = [elements(shape, lanes * beats, rng) for _ in range(30)]
    words = [group[b * lanes :][:lanes] for group in groups for b in range(beats)]
    dut = ArgMax(shape, lanes, beats, unsigned(7))
    assert dut.latency == (lanes - 1).bit_length() + (beats > 1)
    result = stream_bench(
        dut, {"i": [pack(word, shape.width) for word in words]}, {"o": 30}, idle=idle
    )
    assert result.data["o"] == [group.index(max(group)) for group in groups]
    assert result.time["o"] == [t + dut.latency for t in result.time["i"][beats - 1 :: beats]]


def test_behind_credits(stream_bench, pack):
    rng = random.Random(3)
    groups = [[rng.randint(-8, 7) for _ in range(6)] for _ in range(30)]
    words = [pack(group[k : k + 2], 4) for group in groups for k in (0, 2, 4)]
    dut = CreditedPipe(ArgMax(signed(4), 2, 3, 3), 2, inputs_per_output=3)
    result = stream_bench(dut, {"i": words}, {"o": 30}, idle=0.3, backpressure=0.7)
    assert result.data["o"] == [group.index(max(group)) for group in groups]


def test_shapes():
    dut = ArgMax(signed(4), 3, 2, signed(4))
    assert dut.i.payload.shape() == ArrayLayout(signed(4), 3)
    assert dut.o.payload.shape() == ArrayLayout(signed(4), 1)
    ArgMax(8, 1, 1, unsigned(0))


def test_bad_arguments():
    with pytest.raises(ValueError, match="lanes must be at least 1, not 0"):
        ArgMax(8, 0, 1, 8)
    with pytest.raises(TypeError, match=r"beats must be an integer, not 1\.5"):
        ArgMax(8, 1, 1.5, 8)
    with pytest.raises(ValueError, match=r"must hold 9, not unsigned\(3\)"):
        ArgMax(8, 5, 2, unsigned(3))
    with pytest.raises(ValueError, match=r"must hold 9, not signed\(4\)"):
        ArgMax(8, 10, 1, signed(4))
