# amaranth: UnusedElaboratable=no
"""Lane-wise maximum and sum against plain integers."""

import random

import pytest
from amaranth.hdl import Shape, signed, unsigned

from nn2rtl.primitives.credits import CreditedPipe
from nn2rtl.primitives.pipe import shape_bounds
from nn2rtl.primitives.reduce import LaneReduce

CASES = [
    (signed(4), signed(7), 2, 5, "add", None),
    (signed(4), signed(4), 2, 5, "max", None),
    (signed(1), signed(3), 1, 4, "add", None),
    (unsigned(4), unsigned(4), 3, 4, "max", None),
    (unsigned(4), unsigned(6), 1, 4, "add", (3, 10)),
    (signed(5), signed(5), 1, 2, "add", (-8, 7)),
    (signed(5), unsigned(4), 1, 3, "max", (0, 15)),
    (signed(5), signed(7), 2, 3, "add", (-16, -9)),
    (unsigned(3), signed(4), 2, 1, "add", None),
    (signed(4), signed(4), 2, 1, "max", None),
]


@pytest.mark.parametrize("depth", [0, 1, 4])
@pytest.mark.parametrize(("i", "o", "lanes", "taps", "operation", "in_range"), CASES)
def test_reduce(stream_bench, pack, unpack, i, o, lanes, taps, operation, in_range, depth):
    pipe = LaneReduce(i, o, lanes, taps, operation, in_range=in_range)
    low, high = in_range or shape_bounds(i)
    rng = random.Random(taps)
    windows = [
        [[rng.choice([low, high, rng.randint(low, high)]) for _ in range(lanes)]
         for _ in range(taps)]
        for _ in range(60)
    ]  # fmt: skip
    windows[:2] = [[[end] * lanes] * taps for end in (low, high)]
    words = [pack(tap, i.width) for window in windows for tap in window]
    dut = CreditedPipe(pipe, depth, inputs_per_output=taps) if depth else pipe
    run = stream_bench(dut, {"i": words}, {"o": len(windows)}, idle=0.2,
                       backpressure=0.4 if depth else 0, seed=depth)  # fmt: skip
    function = max if operation == "max" else lambda values: sum(values)
    wanted = [[function(values) for values in zip(*window)] for window in windows]
    assert [unpack(word, lanes, o.width, Shape.cast(o).signed) for word in run.data["o"]] == wanted
    assert pipe.latency == 1
    if not depth:
        assert run.time["o"] == [cycle + 1 for cycle in run.time["i"][taps - 1 :: taps]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lanes": 0}, "lanes"),
        ({"taps": 0}, "taps"),
        ({"operation": "min"}, "'min'"),
        ({"in_range": (0, 8)}, "0, 8"),
        ({"operation": "add", "taps": 2}, "-16, 14"),
        ({"out_shape": unsigned(4)}, "-8, 7"),
    ],
)
def test_refusals(changes, message):
    settings = {"in_shape": signed(4), "out_shape": signed(4), "lanes": 1, "taps": 3,
                "operation": "max", **changes}  # fmt: skip
    with pytest.raises(ValueError, match=message):
        LaneReduce(**settings)
