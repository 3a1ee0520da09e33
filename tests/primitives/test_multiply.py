# amaranth: UnusedElaboratable=no
"""LUT multipliers against plain integers."""

import random
from itertools import product

import pytest
from amaranth.hdl import Shape, signed, unsigned

from nn2rtl.primitives.multiply import LutMultiplier, lut_multiplier_latency
from nn2rtl.primitives.pipe import shape_bounds, shape_containing


def check(stream_bench, pack, unpack, a_shape, b_shape, c_shape, beats, **options):
    dut = LutMultiplier(a_shape, b_shape, c_shape, **options)
    words = []
    for a, b, c in beats:
        word = pack([a], a_shape.width) | pack([b], b_shape.width) << a_shape.width
        if c_shape:
            word |= pack([c], c_shape.width) << (a_shape.width + b_shape.width)
        words.append(word)
    run = stream_bench(dut, {"i": words}, {"o": len(words)}, idle=0.05)
    out = dut.out_shape
    assert [unpack(word, 1, out.width, out.signed)[0] for word in run.data["o"]] == [
        a * b + c for a, b, c in beats
    ]
    assert run.time["o"] == [cycle + dut.latency for cycle in run.time["i"]]
    return dut


SMALL = [unsigned(1), signed(1), unsigned(2), signed(2), unsigned(3), signed(3), signed(4)]


@pytest.mark.parametrize(("a", "b"), list(product(SMALL, repeat=2)))
def test_every_product(stream_bench, pack, unpack, a, b):
    values = [range(low, high + 1) for low, high in (shape_bounds(a), shape_bounds(b))]
    check(stream_bench, pack, unpack, a, b, None, [(p, q, 0) for p, q in product(*values)])


@pytest.mark.parametrize("c", [unsigned(1), signed(6), unsigned(9)])
@pytest.mark.parametrize(
    ("a", "b"), [(signed(3), unsigned(2)), (unsigned(3), signed(2)), (unsigned(1), signed(3))]
)
def test_summand(stream_bench, pack, unpack, a, b, c):
    ranges = [range(low, high + 1) for low, high in map(shape_bounds, (a, b))]
    low, high = shape_bounds(c)
    beats = list(product(*ranges, (low, -1 if low else 1, high // 2, high)))
    check(stream_bench, pack, unpack, a, b, c, beats)


@pytest.mark.parametrize("rows_per_stage", [1, 2, 3])
@pytest.mark.parametrize(
    ("a", "b", "c"),
    [
        (signed(21), unsigned(17), signed(30)),
        (unsigned(9), signed(24), None),
        (unsigned(16), unsigned(16), unsigned(40)),
        (signed(8), signed(8), signed(8)),
    ],
)
def test_wide(stream_bench, pack, unpack, a, b, c, rows_per_stage):
    rng = random.Random(rows_per_stage)

    def value(shape):
        low, high = shape_bounds(shape)
        return rng.choice([low, high, rng.randint(low, high), rng.randint(low, high)])

    beats = [(value(a), value(b), value(c) if c else 0) for _ in range(150)]
    dut = check(stream_bench, pack, unpack, a, b, c, beats, rows_per_stage=rows_per_stage)
    assert dut.latency == lut_multiplier_latency(a, b, rows_per_stage=rows_per_stage)


def test_latency():
    assert lut_multiplier_latency(signed(20), signed(8)) == 2
    assert lut_multiplier_latency(signed(8), signed(20)) == 2
    assert lut_multiplier_latency(signed(20), unsigned(8)) == 3
    assert lut_multiplier_latency(signed(20), unsigned(1)) == 1


def test_out_shape():
    assert LutMultiplier(signed(4), signed(4)).out_shape == shape_containing(-56, 64)
    assert LutMultiplier(unsigned(2), unsigned(2), signed(3)).out_shape == signed(5)


def test_refusals():
    with pytest.raises(ValueError, match="bits"):
        LutMultiplier(signed(4), Shape(0))
    with pytest.raises(ValueError, match="rows_per_stage"):
        LutMultiplier(signed(4), signed(4), rows_per_stage=0)
