"""The chosen multiplier, bias and shift equal the step function on the whole range."""

import time
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nn2rtl.ir import functions as fn
from nn2rtl.ir import integer as ig
from nn2rtl.ir.model import Rounding
from nn2rtl.ir.thresholds import thresholds
from nn2rtl.ir.types import IntTensor, IntType
from nn2rtl.passes.requantize import choose_requantizers, requantizer, split_levels
from nn2rtl.passes.scaling import StepFunctions
from nn2rtl.passes.scaling_search import find_scaling


def one(thresholds, base, low, high, decreasing=False):
    """A single channel's step function."""
    return StepFunctions(base, thresholds[None], *np.array([[low], [high]]), np.array([decreasing]))


def steps(thresholds, base, x, decreasing):
    reached = x[:, None] <= thresholds if decreasing else x[:, None] >= thresholds
    return base + reached.sum(axis=1)


def thresholds_of(x, y, base, levels, decreasing=False):
    """Thresholds straight from the values of a function."""
    ordered, values = (x[::-1], y[::-1]) if decreasing else (x, y)
    never = x[0] - 1 if decreasing else x[-1] + 1
    return np.array(
        [
            ordered[np.argmax(values >= level)] if values[-1] >= level else never
            for level in range(base + 1, base + levels + 1)
        ]
    )


@settings(max_examples=300, deadline=None)
@given(
    numerator=st.integers(1, 4000),
    denominator=st.integers(1, 4000),
    offset=st.integers(-5000, 5000),
    base=st.integers(-130, 3),
    levels=st.integers(1, 260),
    low=st.integers(-3000, 0),
    size=st.integers(1, 5000),
    decreasing=st.booleans(),
)
def test_scaled_functions_are_reproduced(
    numerator, denominator, offset, base, levels, low, size, decreasing
):
    x = np.arange(low, low + size + 1)
    sign = -1 if decreasing else 1
    exact = (2 * (sign * x * numerator + offset) + denominator) // (2 * denominator)
    y = np.clip(exact, base, base + levels)
    thresholds = thresholds_of(x, y, base, levels, decreasing)
    assert (steps(thresholds, base, x, decreasing) == y).all()
    scaling = find_scaling(one(thresholds, base, low, low + size, decreasing))
    assert scaling is not None
    result = (x * scaling.multiplier + scaling.bias) >> scaling.shift
    assert (np.clip(result, base, base + levels) == y).all()


@settings(max_examples=200, deadline=None)
@given(
    scale=st.sampled_from([2, 4, 16, 6, 10, 48]),
    offset=st.integers(-100, 100),
    base=st.integers(-20, 2),
    levels=st.integers(16, 300),
    low=st.integers(-3000, 0),
    size=st.integers(1, 5000),
)
def test_rounding_half_to_even_is_reproduced(scale, offset, base, levels, low, size):
    x = np.arange(low, low + size + 1)
    y = np.clip(np.rint((x + offset) / scale), base, base + levels).astype(int)
    values = thresholds_of(x, y, base, levels)[None]
    op = ig.Thresholds(base, values, np.array([False]))
    found = requantizer(op, np.array([low]), np.array([low + size]))
    if found is None:
        # Ties of a scale with an odd factor alternate, but no multiplier meets them exactly.
        assert scale & (scale - 1)
        return
    total = x * found.multiplier[0] + found.bias[0]
    result = total >> found.shift
    if found.half_even:
        result = np.where(result << found.shift == total, result & ~1, result)
    assert (np.clip(result, found.low, found.high) == y).all()


def test_a_power_of_two_is_a_shift():
    x = np.arange(-1000, 1000)
    thresholds = np.array([16 * level - 8 for level in range(-7, 8)])
    scaling = find_scaling(one(thresholds, -8, -1000, 999))
    assert scaling is not None
    assert (scaling.multiplier, scaling.shift) == (1, 4)
    result = np.clip((x + scaling.bias) >> 4, -8, 7)
    assert (result == steps(thresholds, -8, x, False)).all()


def test_irregular_steps_have_no_scaling():
    assert find_scaling(one(np.array([0, 1, 100, 101, 500]), 0, -1000, 1000)) is None


def lite(rng, zero, bits, channels, exponents):
    """TensorFlow Lite's requantization of accumulators of some bits."""
    quantizer = fn.Quantizer((Fraction(1),), fn.ZERO, -128, 127, Rounding.HALF_EVEN)
    count = channels
    factors = [Fraction(int(rng.integers(1 << 30, 1 << 31)), 1 << 31) for _ in range(count)]
    shifts = [Fraction(1, 1 << int(rng.integers(*exponents))) for _ in range(count)]
    high = rng.integers(1 << (bits - 2), 1 << (bits - 1), count)
    biases = [factors[c] * int(rng.integers(-high[c] // 2, high[c] // 2)) for c in range(count)]
    chain = (
        fn.affine(tuple(factors), tuple(biases)),
        fn.RoundStep(Rounding.HALF_UP),
        fn.affine(tuple(shifts), fn.ZERO),
        fn.RoundStep(Rounding.HALF_AWAY),
        fn.affine((Fraction(1),), (Fraction(zero),)),
    )
    rows = [
        thresholds(chain, quantizer, c, -int(high[c]), int(high[c]))[0] for c in range(count)
    ]
    definition = ig.Definition(chain, quantizer)
    op = ig.Thresholds(-128, np.array(rows), np.zeros(count, dtype=np.bool_), definition)
    return op, -high, high


@pytest.mark.parametrize(
    ("zero", "bits", "exponents", "two_pieces"),
    [
        (-128, 21, (8, 12), False),
        (127, 20, (8, 11), False),
        (3, 19, (5, 10), True),
        (-77, 23, (10, 13), True),
        (90, 21, (0, 13), True),
        (3, 19, (0, 1), False),
    ],
)
def test_lite_requantization(zero, bits, exponents, two_pieces):
    rng = np.random.default_rng(bits)
    op, low, high = lite(rng, zero, bits, 24, exponents)
    assert split_levels(op.definition) == [zero]
    found = requantizer(op, low, high)
    assert found is not None
    assert (found.step is not None) == two_pieces
    for channel in range(24):
        x = np.arange(low[channel], high[channel] + 1)
        if channel:  # every sum of one channel, the surroundings of all steps of the others
            x = np.concatenate([op.values[channel] - 1, op.values[channel]])
            x = np.clip(x, low[channel], high[channel])
        total = x * found.multiplier[channel] + found.bias[channel]
        if found.step is not None:
            step = found.step[channel % len(found.step)]
            total += np.where(total >> found.shift >= found.split, step, 0)
        expected = -128 + np.searchsorted(op.values[channel], x, side="right")
        result = np.clip(total >> found.shift, found.low, found.high)
        np.testing.assert_array_equal(result, expected)


def test_many_channels_are_quick():
    """A thousand channels of 255 levels; a network of five thousand must not take long."""
    op, low, high = lite(np.random.default_rng(1), 5, 21, 1000, (8, 12))
    start = time.perf_counter()
    assert requantizer(op, low, high) is not None
    assert time.perf_counter() - start < 3  # 0.2 s on a quiet machine


@pytest.mark.parametrize("decreasing", [False, True])
def test_channels_share_a_multiplier_if_they_can(decreasing):
    rows = np.array(
        [[int(np.ceil((level - 0.5) * 7.3 + 11 * k)) for level in range(1, 64)] for k in range(9)]
    )
    ends = np.full(9, 2000)
    functions = StepFunctions(0, -rows if decreasing else rows, -ends, ends,
                              np.full(9, decreasing))  # fmt: skip
    found = find_scaling(functions)
    assert found is not None
    assert len(set(found.multiplier.tolist())) == 1
    assert (found.multiplier[0] < 0) == decreasing


def test_symmetric_rounding_is_split_at_its_zero():
    one = (Fraction(1),)
    away = fn.Quantizer(one, (Fraction(4),), 0, 15, Rounding.HALF_AWAY, zero_after=True)
    even = fn.Quantizer(one, (Fraction(4),), 0, 15, Rounding.HALF_EVEN)
    chain = (fn.RoundStep(Rounding.HALF_AWAY), fn.affine(one, (Fraction(3),)))
    assert split_levels(ig.Definition((), away)) == [4]
    assert split_levels(ig.Definition(chain, even)) == [7]
    assert split_levels(ig.Definition(chain[1:], even)) == []
    assert split_levels(None) == []


@pytest.mark.parametrize("levels", [3, 15, 16, 255])
def test_few_levels_are_compared_many_are_multiplied(levels):
    values = np.array([[int(level * 7.3) for level in range(1, levels + 1)]])
    op = ig.Thresholds(0, values, np.array([False]))
    found = requantizer(op, np.array([0]), np.array([4000]))
    assert (found is None) == (levels <= 15)


def test_channels_share_the_shift():
    rows = np.array(
        [
            [int(np.ceil((level - 0.5) * scale)) for level in range(1, 256)]
            for scale in (3.7, 11.3, 64.0)
        ]
    )
    op = ig.Thresholds(0, rows, np.zeros(3, dtype=bool))
    found = requantizer(op, np.full(3, -20000), np.full(3, 20000))
    assert found is not None
    x = np.arange(-20000, 20001)
    for channel in range(3):
        y = (x * found.multiplier[channel] + found.bias[channel]) >> found.shift
        assert (np.clip(y, 0, 255) == steps(rows[channel], 0, x, False)).all()


@pytest.mark.parametrize("constant", [5000, -5000])
def test_a_channel_with_a_constant_result_shares_the_shift(constant):
    rows = np.array([[8 + 16 * level for level in range(20)], [constant] * 20])
    op = ig.Thresholds(0, rows, np.zeros(2, dtype=bool))
    found = requantizer(op, np.full(2, -400), np.full(2, 400))
    assert found is not None
    assert (found.multiplier == 1).all()
    x = np.arange(-400, 401)
    result = np.clip((x + found.bias[1]) >> found.shift, found.low, found.high)
    assert (result == (0 if constant > 0 else 20)).all()


def test_sums_beyond_64_bits_are_compared():
    """Far from zero and finely scaled, the product would need more bits than the integers have."""
    far, levels = 27_345_678_901, np.arange(4095)
    rows = np.array([4 + 8 * levels, [far + round(218.0123456789 * n) for n in levels]])
    op = ig.Thresholds(-2048, rows, np.zeros(2, dtype=np.bool_))
    assert requantizer(op, np.full(2, -(1 << 35)), np.full(2, 1 << 35)) is None
    near = ig.Thresholds(-2048, rows - [[0], [far]], op.decreasing)
    assert requantizer(near, np.full(2, -(1 << 25)), np.full(2, 1 << 25)) is not None


@pytest.mark.parametrize(("high", "op"), [(255, ig.Thresholds), (256, ig.Requantize)])
def test_a_function_of_eight_bits_is_left_to_a_table(high, op):
    graph = ig.IntegerGraph("table", outputs=["y"])
    graph.append("x", ig.Input(), (), IntTensor((1, 1, 4), IntType(0, high)))
    values = np.array([[int(np.ceil(level * 7.3)) for level in range(1, 30)]])
    steps = ig.Thresholds(0, values, np.array([False]))
    graph.append("y", steps, ("x",), IntTensor((1, 1, 4), IntType(0, 29)))
    assert isinstance(choose_requantizers(graph)["y"].op, op)
