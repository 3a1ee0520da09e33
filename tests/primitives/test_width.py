# amaranth: UnusedElaboratable=no
"""Upsizer and Downsizer: order of lanes, exact timing."""

import random

import pytest
from amaranth.hdl import signed
from amaranth.lib.data import ArrayLayout

from nn2rtl.primitives.width import Downsizer, Upsizer, UpsizerPipe

WIDTH = 5
TRAFFIC = [(0, 0), (0.5, 0), (0, 0.5), (0.5, 0.5)]


def groups(count, lanes, ratio):
    """Return `count` wide beats as lists of elements, and as lists of narrow beats."""
    rng = random.Random(lanes * ratio)
    wide = [[rng.randint(-16, 15) for _ in range(lanes * ratio)] for _ in range(count)]
    return wide, [beat[k * lanes :][:lanes] for beat in wide for k in range(ratio)]


@pytest.mark.parametrize(("lanes", "ratio"), [(1, 1), (2, 1), (1, 4), (3, 2), (2, 5)])
@pytest.mark.parametrize("idle", [0, 0.5])
def test_upsizer_pipe(stream_bench, pack, lanes, ratio, idle):
    dut = UpsizerPipe(signed(WIDTH), lanes, ratio)
    wide, narrow = groups(12, lanes, ratio)
    result = stream_bench(dut, {"i": [pack(beat, WIDTH) for beat in narrow]}, {"o": 12}, idle=idle)
    assert result.data["o"] == [pack(beat, WIDTH) for beat in wide]
    assert result.time["o"] == [t + dut.latency for t in result.time["i"][ratio - 1 :: ratio]]


@pytest.mark.parametrize(
    ("lanes", "ratio", "depth"), [(1, 1, 2), (2, 3, 1), (1, 4, 2), (3, 2, 3), (1, 2, 70)]
)
@pytest.mark.parametrize(("idle", "backpressure"), TRAFFIC)
def test_upsizer(stream_bench, queue_model, pack, lanes, ratio, depth, idle, backpressure):
    dut = Upsizer(signed(WIDTH), lanes, ratio, depth)
    wide, narrow = groups(30, lanes, ratio)
    result = stream_bench(
        dut, {"i": [pack(beat, WIDTH) for beat in narrow]}, {"o": 30},
        idle=idle, backpressure=backpressure,
    )  # fmt: skip
    assert result.data["o"] == [pack(beat, WIDTH) for beat in wide]
    completed = result.time["i"][ratio - 1 :: ratio]
    _, valid = queue_model(completed, result.time["o"], dut.latency, result.cycles)
    assert result.valid["o"] == valid
    if not idle and not backpressure and (depth > dut.latency or ratio > dut.latency):
        assert result.time["i"] == [*range(30 * ratio)]


@pytest.mark.parametrize(
    ("lanes", "ratio", "depth", "memory"),
    [(1, 1, 4, "auto"), (2, 3, 1, "auto"), (1, 4, 2, "auto"), (3, 2, 4, "auto"),
     (1, 3, 3, "block"), (1, 5, 70, "auto")],
)  # fmt: skip
@pytest.mark.parametrize(("idle", "backpressure"), TRAFFIC)
def test_downsizer(
    stream_bench, queue_model, pack, lanes, ratio, depth, memory, idle, backpressure
):
    dut = Downsizer(signed(WIDTH), lanes, ratio, depth, memory=memory)
    wide, narrow = groups(30, lanes, ratio)
    count = len(narrow)
    result = stream_bench(
        dut, {"i": [pack(beat, WIDTH) for beat in wide]}, {"o": count},
        idle=idle, backpressure=backpressure,
    )  # fmt: skip
    assert result.data["o"] == [pack(beat, WIDTH) for beat in narrow]

    steps, ready, pops = [], [], set(result.time["o"])
    credits = depth
    for cycle in range(result.cycles):
        first = len(steps) % ratio == 0
        ready.append(int(first and credits > 0))
        if credits > 0 and (result.valid["i"][cycle] or not first):
            steps.append(cycle)
            credits -= 1
        credits += cycle in pops
    assert result.ready["i"] == ready
    assert result.valid["o"] == queue_model(
        steps, result.time["o"], dut.latency, result.cycles
    )[1]
    if not idle and not backpressure and depth > dut.latency:
        assert result.time["i"] == [*range(0, count, ratio)]
        assert result.time["o"] == [*range(dut.latency, dut.latency + count)]


def test_attributes():
    up = Upsizer(signed(WIDTH), 2, 3, 4)
    assert (up.shape, up.lanes, up.ratio, up.depth) == (signed(WIDTH), 2, 3, 4)
    assert (up.inputs_per_output, up.latency, up.memory) == (3, 2, "distributed")
    assert up.o.payload.shape() == ArrayLayout(signed(WIDTH), 6)
    assert Upsizer(signed(WIDTH), 2, 3, 4, memory="block").latency == 3
    down = Downsizer(signed(WIDTH), 2, 3)
    assert (down.lanes, down.ratio, down.depth, down.latency) == (2, 3, 4, 2)
    assert down.memory == "distributed"
    assert down.i.payload.shape() == ArrayLayout(signed(WIDTH), 6)


@pytest.mark.parametrize("build", [lambda *a: Upsizer(8, *a, 4), lambda *a: Downsizer(8, *a)])
def test_bad_arguments(build):
    with pytest.raises(ValueError, match="lanes must be at least 1, not 0"):
        build(0, 2)
    with pytest.raises(ValueError, match="ratio must be at least 1, not -1"):
        build(2, -1)
    with pytest.raises(TypeError, match="ratio must be an integer, not '2'"):
        build(2, "2")
    with pytest.raises(ValueError, match="depth must be at least 1, not 0"):
        Upsizer(8, 1, 2, 0)
    with pytest.raises(ValueError, match="depth must be at least 1, not 0"):
        Downsizer(8, 1, 2, 0)
