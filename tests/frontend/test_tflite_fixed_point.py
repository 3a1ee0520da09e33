"""Fixed-point parameters of TensorFlow Lite's kernels."""

from fractions import Fraction

import numpy as np
import pytest

from nn2rtl.frontend import tflite_fixed_point as fixed
from nn2rtl.frontend.tflite_fixed_point import Multiplier


@pytest.mark.parametrize(
    ("real", "mantissa", "shift"),
    [
        (0.0, 0, 0),
        (0.5, 1 << 30, 0),
        (1.0, 1 << 30, 1),
        (0.75 * 2**-9, 3 << 29, -9),
        (1 - 2**-33, 1 << 30, 1),  # the mantissa rounds up to 2^31
        (2**-32, 1 << 30, -31),
        (2**-33, 0, 0),  # as all below 2^-32
        (-0.3, -1288490189, -1),
        (0.5 + 2**-32, (1 << 30) + 1, 0),  # a tie of the mantissa
    ],
)
def test_multiplier_of_a_real_number(real, mantissa, shift):
    assert fixed.quantize_multiplier(real) == Multiplier(mantissa, shift)


def test_refused_numbers():
    for value in (float("inf"), float("nan")):
        with pytest.raises(ValueError, match="ratio"):
            fixed.quantize_multiplier(value)
    with pytest.raises(ValueError, match="between 0 and 1"):
        fixed.addition(1.0, 1.0, 1e-9)
    with pytest.raises(ValueError, match="too small"):
        fixed.softmax(1.0, 1e-9)


def test_both_roundings_of_a_product():
    half = Multiplier(1 << 30, 0)
    assert [half.apply(x) for x in (-3, -1, 1, 3)] == [-1, 0, 1, 2]  # half up
    quarter = Multiplier((1 << 31) - 1, -2)
    assert [quarter.apply(x) for x in (-6, -2, 2, 6)] == [-2, -1, 1, 2]  # half away from zero
    assert Multiplier(1 << 30, 3).apply(5) == 20
    product = [Multiplier(1395864371, -7).apply(x) for x in (-100_000, 99_999)]
    exact = [x * 1395864371 / 2**38 for x in (-100_000, 99_999)]
    assert product == [round(x) for x in exact]
    assert half.product * half.quotient == Fraction(1, 2)
    assert quarter.quotient == Fraction(1, 4)


def test_which_products_are_of_float32():
    a, b, c = (float(np.float32(x)) for x in (0.0235294122248888, 0.0036129, 0.1712345))
    assert fixed.convolution(a, b, c) == fixed.quantize_multiplier(a * b / c)
    once = float(np.float32(a) * np.float32(b))
    assert fixed.fully_connected(a, b, c) == fixed.quantize_multiplier(once / c)
    assert fixed.fully_connected(a, b, c) != fixed.convolution(a, b, c)
    twice = float(np.float32(once) / np.float32(c))
    assert fixed.multiplication(a, b, c) == fixed.quantize_multiplier(twice)


def test_addition_scales_the_larger_operand_by_a_half():
    left, right, result = fixed.addition(0.25, 0.0625, 0.5)
    assert left == Multiplier(1 << 30, 0)
    assert right == Multiplier(1 << 30, -2)
    assert result == Multiplier(1 << 30, -19)


def test_mean_divides_within_the_multiplier():
    whole = fixed.quantize_multiplier(0.5)
    assert fixed.mean(0.5, 1.0, 12) == Multiplier((whole.mantissa << 3) // 12, -3)
    assert fixed.mean(0.5, 1.0, 1) == whole


def test_softmax_parameters():
    given = fixed.softmax(1.0, 0.25)
    assert (given.multiplier, given.left_shift) == (1 << 30, 25)
    assert given.diff_min == -(31 * 2**26 // 2**25)
    assert fixed.softmax(1e9, 1.0).left_shift == 31  # capped


@pytest.mark.parametrize(
    ("activation", "levels"),
    [("NONE", (-128, 127)), ("RELU", (3, 127)), ("RELU6", (3, 63)), ("RELU_N1_TO_1", (-7, 13))],
)
def test_range_of_a_fused_activation(activation, levels):
    kept = fixed.clip_range(activation, 0.1, 3, -128, 127)
    assert (kept[0], kept[-1]) == levels


def test_rounding_away_from_zero():
    assert [fixed.round_away(x) for x in (-2.5, -0.5, -0.4, 0.49999999999999994, 0.5, 2.5)] == [
        -3, -1, 0, 0, 1, 3,
    ]  # fmt: skip
    with pytest.raises(OverflowError):
        fixed.round_away(float("inf"))
