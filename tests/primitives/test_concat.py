# amaranth: UnusedElaboratable=no
"""Concatenation: order and sign of the words, exact timing."""

import random

import pytest
from amaranth.hdl import signed, unsigned

from nn2rtl.primitives.concat import Concat

WIDTH = 6
TRAFFIC = [(0, 0), (0.5, 0), (0, 0.5), (0.4, 0.4)]
SHAPES = [signed(4), unsigned(5), signed(6), unsigned(1)]
RANGES = [(-8, 7), (0, 31), (-32, 31), (0, 1)]


@pytest.mark.parametrize(
    ("chunks", "lanes", "depth"),
    [((1, 1), 2, 4), ((3, 3), 1, 2), ((4, 1), 2, 4), ((2, 5, 1), 1, 4), ((1, 1, 1, 1), 3, 1),
     ((7, 2, 3, 1), 1, 70)],
)  # fmt: skip
@pytest.mark.parametrize(("idle", "backpressure"), TRAFFIC)
def test_chunks_in_turn(stream_bench, queue_model, pack, chunks, lanes, depth, idle, backpressure):
    dut = Concat(SHAPES[: len(chunks)], signed(WIDTH), lanes, chunks, depth)
    rng = random.Random(sum(chunks))
    rounds = 6
    words = [
        [[rng.randint(*span) for _ in range(lanes)] for _ in range(rounds * size)]
        for span, size in zip(RANGES, chunks)
    ]
    beats = {
        f"i{k}": [pack(word, shape.width) for word in own]
        for k, (own, shape) in enumerate(zip(words, SHAPES))
    }
    expected, order = [], []
    for turn in range(rounds):
        for k, size in enumerate(chunks):
            expected += words[k][turn * size :][:size]
            order += [k] * size
    result = stream_bench(
        dut, beats, {"o": len(expected)}, idle=idle, backpressure=backpressure
    )
    assert result.data["o"] == [pack(word, WIDTH) for word in expected]

    steps, pops, credits = [], set(result.time["o"]), depth
    ready = {name: [] for name in beats}
    for cycle in range(result.cycles):
        now = f"i{order[len(steps) % len(order)]}"
        for name, seen in ready.items():
            seen.append(int(name == now and credits > 0))
        if credits > 0 and result.valid[now][cycle]:
            steps.append(cycle)
            credits -= 1
        credits += cycle in pops
    for name, seen in ready.items():
        assert result.ready[name] == seen
    assert result.valid["o"] == queue_model(
        steps, result.time["o"], dut.latency, result.cycles
    )[1]
    if not idle and not backpressure and depth > dut.latency:
        assert result.time["o"] == [*range(dut.latency, dut.latency + len(expected))]


@pytest.mark.parametrize(("arguments", "message"), [
    (([4], 4, 1, (1,)), "chunk of each"),
    (([4, 4], 4, 1, (1, 2, 3)), "chunk of each"),
    (([4, 4], 4, 1, (1, 0)), "chunk must be at least 1"),
    (([4, signed(4)], 5, 1, (1, 1)), "does not hold"),
    (([4, 4], signed(4), 1, (1, 1)), "does not hold"),
    (([4, 4], 4, 0, (1, 1)), "lanes must be at least 1"),
])  # fmt: skip
def test_refusals(arguments, message):
    with pytest.raises(ValueError, match=message):
        Concat(*arguments)
