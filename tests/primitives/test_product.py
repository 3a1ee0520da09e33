# amaranth: UnusedElaboratable=no
"""Products against plain integers."""

from itertools import product

import pytest
from amaranth.hdl import signed, unsigned

from nn2rtl.primitives.credits import CreditedPipe
from nn2rtl.primitives.pipe import shape_bounds
from nn2rtl.primitives.product import Product


@pytest.mark.parametrize("depth", [0, 3])
@pytest.mark.parametrize("use_dsp", [False, True])
@pytest.mark.parametrize("offsets", [(0, 0), (3, -9), (0, 4)])
@pytest.mark.parametrize(
    ("shapes", "ranges"),
    [
        ((signed(4), signed(3)), (None, None)),
        ((unsigned(3), signed(4)), ((1, 6), (-7, -2))),
        ((unsigned(1), unsigned(4)), (None, (0, 9))),
    ],
)
def test_every_pair(stream_bench, pack, unpack, shapes, ranges, offsets, use_dsp, depth):
    a, b = shapes
    ends = [given or shape_bounds(shape) for given, shape in zip(ranges, shapes, strict=True)]
    pairs = list(product(*(range(low, high + 1) for low, high in ends)))
    beats = [(pairs[k], pairs[-1 - k]) for k in range(len(pairs))]
    words = [
        pack([beat[0][0], beat[1][0]], a.width)
        | pack([beat[0][1], beat[1][1]], b.width) << 2 * a.width
        for beat in beats
    ]
    pipe = Product(shapes, signed(10), 2, offsets, in_ranges=ranges, use_dsp=use_dsp)
    if use_dsp:
        assert pipe.latency == 2
    dut = CreditedPipe(pipe, depth) if depth else pipe
    run = stream_bench(dut, {"i": words}, {"o": len(words)}, idle=0.2,
                       backpressure=0.4 if depth else 0)  # fmt: skip
    assert [unpack(word, 2, 10, True) for word in run.data["o"]] == [
        [(p + offsets[0]) * (q + offsets[1]) for p, q in beat] for beat in beats
    ]
    if not depth:
        assert run.time["o"] == [cycle + pipe.latency for cycle in run.time["i"]]


def test_refusals():
    with pytest.raises(ValueError, match="lanes"):
        Product((signed(3), signed(3)), signed(4), 0)
    with pytest.raises(ValueError, match="two offsets"):
        Product((signed(3), signed(3)), signed(4), 1, (1, 1, 1))
    with pytest.raises(ValueError, match="two shapes"):
        Product((signed(3),), signed(4), 1)
    with pytest.raises(ValueError, match="0, 9"):
        Product((unsigned(3), signed(3)), signed(4), 1, in_ranges=((0, 9), None))
