# amaranth: UnusedElaboratable=no
"""Tables against lists."""

import random

import pytest
from amaranth.hdl import signed, unsigned

from nn2rtl.primitives.credits import CreditedPipe
from nn2rtl.primitives.lookup import Lookup
from nn2rtl.primitives.pipe import shape_bounds


@pytest.mark.parametrize("depth", [0, 4])
@pytest.mark.parametrize(
    ("i", "o", "lanes", "latency"),
    [
        (unsigned(1), unsigned(3), 1, 1),
        (signed(1), signed(3), 2, 1),
        (signed(4), signed(5), 3, 1),
        (unsigned(8), signed(8), 2, 1),
        (signed(9), unsigned(4), 3, 2),
        (unsigned(12), signed(10), 2, 2),
    ],
)
def test_every_value(stream_bench, pack, unpack, i, o, lanes, latency, depth):
    rng = random.Random(i.width)
    table = [rng.randint(*shape_bounds(o)) for _ in range(1 << i.width)]
    low, high = shape_bounds(i)
    values = list(range(low, high + 1))
    values += values[: -len(values) % lanes]
    beats = [values[k : k + lanes] for k in range(0, len(values), lanes)]
    pipe = Lookup(i, o, lanes, table)
    assert pipe.latency == latency
    dut = CreditedPipe(pipe, depth) if depth else pipe
    run = stream_bench(dut, {"i": [pack(beat, i.width) for beat in beats]}, {"o": len(beats)},
                       idle=0.2, backpressure=0.3 if depth else 0)  # fmt: skip
    assert [unpack(word, lanes, o.width, o.signed) for word in run.data["o"]] == [
        [table[value - low] for value in beat] for beat in beats
    ]
    if not depth:
        assert run.time["o"] == [cycle + latency for cycle in run.time["i"]]


def test_refusals():
    with pytest.raises(ValueError, match="1 to 12 bits"):
        Lookup(unsigned(13), unsigned(1), 1, [0] * (1 << 13))
    with pytest.raises(ValueError, match="8 results, not 7"):
        Lookup(signed(3), unsigned(1), 1, [0] * 7)
    with pytest.raises(ValueError, match="not 2"):
        Lookup(unsigned(1), unsigned(1), 1, [0, 2])
    with pytest.raises(ValueError, match="lanes"):
        Lookup(unsigned(1), unsigned(1), 0, [0, 1])
