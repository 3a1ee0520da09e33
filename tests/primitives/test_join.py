# amaranth: UnusedElaboratable=no
"""Streams side by side: order and sign of the lanes, exact timing."""

import random

import pytest
from amaranth.hdl import signed, unsigned

from nn2rtl.primitives.join import Join

WIDTH = 6
TRAFFIC = [(0, 0), (0.5, 0), (0, 0.5), (0.4, 0.4)]
SHAPES = [signed(4), unsigned(5), signed(6)]
RANGES = [(-8, 7), (0, 31), (-32, 31)]


@pytest.mark.parametrize(("lanes", "depth"), [((1, 1), 1), ((2, 3), 2), ((3, 1, 2), 4)])
@pytest.mark.parametrize(("idle", "backpressure"), TRAFFIC)
def test_lanes_side_by_side(stream_bench, queue_model, pack, lanes, depth, idle, backpressure):
    dut = Join(SHAPES[: len(lanes)], signed(WIDTH), lanes, depth)
    rng = random.Random(sum(lanes))
    count = 40
    words = [
        [[rng.randint(*span) for _ in range(own)] for _ in range(count)]
        for span, own in zip(RANGES, lanes)
    ]
    beats = {
        f"i{k}": [pack(word, shape.width) for word in own]
        for k, (own, shape) in enumerate(zip(words, SHAPES))
    }
    result = stream_bench(dut, beats, {"o": count}, idle=idle, backpressure=backpressure)
    expected = [[v for own in words for v in own[beat]] for beat in range(count)]
    assert result.data["o"] == [pack(word, WIDTH) for word in expected]
    for name in beats:
        assert result.time[name] == result.time["i0"]

    pops, places, steps = set(result.time["o"]), depth, []
    for cycle in range(result.cycles):
        valid = [result.valid[name][cycle] for name in beats]
        for k, name in enumerate(beats):
            assert result.ready[name][cycle] == (places > 0 and all(valid[:k] + valid[k + 1 :]))
        if places > 0 and all(valid):
            steps.append(cycle)
            places -= 1
        places += cycle in pops
    assert result.valid["o"] == queue_model(
        steps, result.time["o"], dut.latency, result.cycles
    )[1]


@pytest.mark.parametrize(("arguments", "message"), [
    (([4], 4, (1,)), "lanes of each"),
    (([4, 4], 4, (1, 2, 3)), "lanes of each"),
    (([4, 4], 4, (1, 0)), "lanes must be at least 1"),
    (([4, signed(4)], 5, (1, 1)), "does not hold"),
    (([4, 4], 4, (1, 1), 0), "depth must be at least 1"),
])  # fmt: skip
def test_refusals(arguments, message):
    with pytest.raises(ValueError, match=message):
        Join(*arguments)
