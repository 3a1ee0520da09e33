# amaranth: UnusedElaboratable=no
"""Thresholds against counting."""

import random

import pytest
from amaranth.hdl import Shape, signed, unsigned

from nn2rtl.primitives.credits import CreditedPipe
from nn2rtl.primitives.pipe import shape_bounds
from nn2rtl.primitives.thresholds import Thresholds


def check(bench, pack, unpack, shapes, lanes, thresholds, low, decreasing, accs=None, depth=None,
          **options):  # fmt: skip
    in_shape, out_shape = (Shape.cast(shape) for shape in shapes)
    pipe = Thresholds(in_shape, out_shape, lanes, thresholds, low, decreasing, **options)
    channels = max(len(thresholds), len(decreasing))
    if accs is None:
        least, greatest = options.get("in_range") or shape_bounds(in_shape)
        accs = [acc for acc in range(least, greatest + 1) for _ in range(channels)]
    accs = accs[: len(accs) // lanes * lanes]
    words = [pack(accs[k : k + lanes], in_shape.width) for k in range(0, len(accs), lanes)]
    dut = CreditedPipe(pipe, depth) if depth else pipe
    run = bench(dut, {"i": words}, {"o": len(words)}, idle=0.2,
                backpressure=0.3 if depth else 0, seed=lanes)  # fmt: skip
    wanted = []
    for k, acc in enumerate(accs):
        row = thresholds[k % len(thresholds)]
        down = decreasing[k % len(decreasing)]
        wanted.append(low + sum(acc <= t if down else acc >= t for t in row))
    got = [v for w in run.data["o"] for v in unpack(w, lanes, out_shape.width, out_shape.signed)]
    assert got == wanted
    if not depth:
        assert run.time["o"] == [cycle + pipe.latency for cycle in run.time["i"]]
    return pipe


@pytest.mark.parametrize("in_shape", [signed(4), unsigned(4)])
@pytest.mark.parametrize("in_range", [None, (3, 5), (0, 7), (2, 2)])
@pytest.mark.parametrize("decreasing", [[False], [True], [False, True], [True, True, False, False]])
@pytest.mark.parametrize(
    "row", [[0], [-30], [30], [3, 4], [-8, 0, 7], [5, 5, 5, 5], [-9, -8, 0, 3, 6, 7, 16]]
)
def test_every_accumulator(stream_bench, pack, unpack, in_shape, in_range, decreasing, row):
    pipe = check(stream_bench, pack, unpack, (in_shape, signed(5)), 2, [row], -8, decreasing,
                 in_range=in_range)  # fmt: skip
    assert pipe.latency == len(row).bit_length()


@pytest.mark.parametrize("count", [1, 2, 3, 6, 15])
@pytest.mark.parametrize(("lanes", "channels"), [(1, 5), (2, 6), (3, 3)])
def test_channels(stream_bench, pack, unpack, count, lanes, channels):
    rng = random.Random(count)
    rows = [sorted(rng.randint(-36, 36) for _ in range(count)) for _ in range(channels)]
    check(stream_bench, pack, unpack, (signed(6), signed(5)), lanes, rows, -7,
          [rng.random() < 0.5 for _ in range(channels)])  # fmt: skip


@pytest.mark.parametrize(
    ("folds", "latency"),
    [(16, 1 + 1 + 1 + 2), (64, 1 + 2 + 2 + 2), (65, 8), (300, 8)],
)
def test_fetched_thresholds(stream_bench, pack, unpack, folds, latency):
    rng = random.Random(folds)
    rows = [sorted(rng.randint(-2100, 2100) for _ in range(15)) for _ in range(2 * folds)]
    decreasing = [rng.random() < 0.5 for _ in rows]
    accs = [rng.randint(-2048, 2047) for _ in range(max(600, 5 * folds))]
    pipe = check(stream_bench, pack, unpack, (signed(12), unsigned(4)), 2, rows, 0, decreasing,
                 accs)  # fmt: skip
    assert pipe.latency == latency


def test_many_levels(stream_bench, pack, unpack):
    row = [3 * k - 380 for k in range(255)]
    pipe = check(stream_bench, pack, unpack, (signed(10), signed(8)), 1, [row], -128, [False])
    assert pipe.latency == 9  # the last of 8 stages selects among 128


@pytest.mark.parametrize("depth", [1, 4])
def test_credited(stream_bench, pack, unpack, depth):
    check(stream_bench, pack, unpack, (signed(5), unsigned(2)), 1, [[-3, 0, 4], [1, 2, 3]], 0,
          [False, True], depth=depth)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lanes": 0}, "lanes"),
        ({"thresholds": []}, "at least one"),
        ({"thresholds": [[], []]}, "at least one"),
        ({"thresholds": [[1], [1, 2]]}, "equally many"),
        ({"thresholds": [[2, 1]]}, "not decrease"),
        ({"thresholds": [[1]] * 3}, "3 of 2"),
        ({"decreasing": [True, False], "thresholds": [[1]] * 4}, "1 or 4"),
        ({"thresholds": [[1, 2, 3, 4]]}, "0, 4"),
        ({"in_range": (0, 8)}, "0, 8"),
    ],
)
def test_refusals(changes, message):
    settings = {"in_shape": signed(4), "out_shape": unsigned(2), "lanes": 2, "thresholds": [[1]],
                "low": 0, "decreasing": [False], **changes}  # fmt: skip
    with pytest.raises(ValueError, match=message):
        Thresholds(**settings)
