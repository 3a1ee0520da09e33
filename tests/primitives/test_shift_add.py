# amaranth: UnusedElaboratable=no
"""Sums of constant multiples against plain integers."""

import random
from itertools import pairwise, product

import pytest
from amaranth.hdl import Const, Module, Value, signed, unsigned
from amaranth.lib.data import ArrayLayout

from nn2rtl.primitives.pipe import Pipe, shape_bounds, shape_containing
from nn2rtl.primitives.shift_add import (
    canonical_digits,
    constant_sum,
    constant_sum_bounds,
    constant_sum_depth,
)


class Sum(Pipe):
    """A constant sum as a pipe, of numbers within `bounds`."""

    def __init__(self, shape, bounds, factors, offset, latency):
        self.bounds, self.factors, self.offset = bounds, factors, offset
        super().__init__(ArrayLayout(shape, len(factors)), signed(24), latency)

    def elaborate(self, platform):
        m = Module()
        self._valid_chain(m)
        values = [self.i.payload[k] for k in range(len(self.factors))]
        total = constant_sum(m, values, self.bounds, self.factors, self.offset, self.latency)
        self.width = len(total)
        m.d.comb += self.o.payload.eq(total)
        return m


@pytest.mark.parametrize("factor", [*range(-130, 131), 0x5555, -0x7FFF, 12345678901])
def test_digits(factor):
    digits = canonical_digits(factor)
    assert sum(digit << shift for shift, digit in digits) == factor
    assert all(digit in (1, -1) for _, digit in digits)
    assert all(second - first > 1 for (first, _), (second, _) in pairwise(digits))


def test_depth():
    assert constant_sum_depth([0]) == constant_sum_depth([8]) == constant_sum_depth([], 7) == 0
    assert constant_sum_depth([-1]) == constant_sum_depth([3]) == constant_sum_depth([4], 1) == 1
    assert constant_sum_depth([3, -5]) == 2
    assert constant_sum_depth([0x55]) == 2
    assert constant_sum_depth([0x55], -3) == 3


@pytest.mark.parametrize("shape", [unsigned(3), signed(3)])
@pytest.mark.parametrize(
    ("factors", "offset"),
    [
        ([0, 0], 0), ([0, 0], -5), ([1, 0], 0), ([-1, 0], 0), ([8, 0], 0), ([-8, 0], 0),
        ([-8, -2], 0), ([-1, -1], 0), ([-4, -8], 3), ([7, -3], 0), ([3, 5], -100), ([-5, -11], 0),
        ([-21, -42], 0), ([85, 683], 17), ([4, -1], 0), ([-1, 4], 0), ([1, -4], 0), ([-85, 0], 0),
    ],
)  # fmt: skip
def test_sum(stream_bench, pack, unpack, shape, factors, offset):
    low, high = shape_bounds(shape)
    beats = list(product(range(low, high + 1), repeat=2))
    depth = constant_sum_depth(factors, offset)
    for latency in (depth, depth + 2):
        pipe = Sum(shape, [(low, high)] * 2, factors, offset, latency)
        run = stream_bench(
            pipe, {"i": [pack(beat, 3) for beat in beats]}, {"o": len(beats)}, idle=0.1
        )
        wanted = [factors[0] * a + factors[1] * b + offset for a, b in beats]
        assert [unpack(word, 1, 24, True)[0] for word in run.data["o"]] == wanted
        assert run.time["o"] == [cycle + latency for cycle in run.time["i"]]
        bounds = constant_sum_bounds([(low, high)] * 2, factors, offset)
        assert bounds == (min(wanted), max(wanted))


def test_random_sums_with_narrow_bounds(stream_bench, pack, unpack):
    rng = random.Random(1)
    for _ in range(15):
        factors = [rng.randint(-300, 300) for _ in range(3)]
        offset = rng.choice([0, rng.randint(-1000, 1000)])
        bounds = [sorted((rng.randint(-128, 127), rng.randint(-128, 127))) for _ in range(3)]
        beats = [[rng.randint(*bound) for bound in bounds] for _ in range(40)]
        pipe = Sum(signed(8), bounds, factors, offset, constant_sum_depth(factors, offset))
        run = stream_bench(pipe, {"i": [pack(beat, 8) for beat in beats]}, {"o": len(beats)})
        wanted = [sum(f * v for f, v in zip(factors, beat)) + offset for beat in beats]
        assert [unpack(word, 1, 24, True)[0] for word in run.data["o"]] == wanted
        assert pipe.width == shape_containing(*constant_sum_bounds(bounds, factors, offset)).width


def test_refusals():
    value: Value = Const(1, 4)
    with pytest.raises(ValueError, match="at least 1, not 0"):
        constant_sum(Module(), [value], [(0, 15)], [3], 0, 0)
    with pytest.raises(ValueError, match="2, 1 and 1"):
        constant_sum(Module(), [value, value], [(0, 15)], [3], 0, 1)
