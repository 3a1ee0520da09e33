"""Exact rounding, roots and quantization of constants."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nn2rtl.frontend.quantization import quantize_constant
from nn2rtl.ir.exact import exact_sqrt, round_exact
from nn2rtl.ir.model import Rounding
from nn2rtl.ir.types import exact_array

TIES = {  # of -1.5, -0.5, 0.5, 1.5, 2.5
    Rounding.HALF_EVEN: [-2, 0, 0, 2, 2],
    Rounding.HALF_UP: [-1, 0, 1, 2, 3],
    Rounding.HALF_DOWN: [-2, -1, 0, 1, 2],
    Rounding.HALF_AWAY: [-2, -1, 1, 2, 3],
    Rounding.HALF_TO_ZERO: [-1, 0, 0, 1, 2],
    Rounding.UP: [-2, -1, 1, 2, 3],
    Rounding.DOWN: [-1, 0, 0, 1, 2],
    Rounding.CEIL: [-1, 0, 1, 2, 3],
    Rounding.FLOOR: [-2, -1, 0, 1, 2],
}


@pytest.mark.parametrize("mode", Rounding)
def test_ties_and_integers(mode):
    assert [round_exact(Fraction(k, 2), mode) for k in (-3, -1, 1, 3, 5)] == TIES[mode]
    assert [round_exact(Fraction(k), mode) for k in (-3, 0, 4)] == [-3, 0, 4]


@pytest.mark.parametrize("mode", [mode for mode in Rounding if mode.value.startswith("half")])
def test_beside_ties_half_modes_agree(mode):
    tiny = Fraction(1, 10**30)
    assert round_exact(Fraction(1, 2) - tiny, mode) == 0
    assert round_exact(Fraction(1, 2) + tiny, mode) == 1
    assert round_exact(Fraction(-1, 2) - tiny, mode) == -1


@given(st.fractions(min_value=0), st.integers(-900, 900))
def test_sqrt(value, exponent):
    value *= Fraction(2) ** exponent
    assert exact_sqrt(value * value) == value
    root = exact_sqrt(value)
    assert root**2 <= value
    assert (root * (1 + Fraction(1, 2**320))) ** 2 >= value


def test_sqrt_of_negative_number():
    with pytest.raises(ValueError, match="negative"):
        exact_sqrt(Fraction(-1))


number = st.one_of(
    st.floats(-40, 40, width=32),
    st.integers(-60, 60).map(lambda k: k * 0.05),  # near boundaries of the scale 0.1
    st.integers(-60, 60).map(lambda k: k * 0.375 / 2),
    st.sampled_from([1e38, -1e300, 5e-324, -1e-320, 0.0]),
)


@settings(max_examples=300)
@given(
    st.lists(number, min_size=1, max_size=6),
    st.sampled_from([0.1, 0.375, float(np.float32(0.1)), 1e-3, 1e-310, 1e308]),
    st.sampled_from([0, 3, -(1 << 20)]),
    st.sampled_from(list(Rounding)),
)
def test_constants_are_quantized_exactly(values, scale, zero_point, mode):
    low, high = -128, 127
    given_values = quantize_constant(
        np.array(values), exact_array(scale), exact_array(zero_point), low, high, mode
    )
    wanted = [round_exact(Fraction(v) / Fraction(scale) + zero_point, mode) for v in values]
    assert given_values.tolist() == [min(max(w, low), high) for w in wanted]


def test_fractions_beyond_float64_are_quantized():
    values = np.array([Fraction(10) ** 400, Fraction(-(10**400), 3)], dtype=object)
    scale = exact_array([Fraction(10) ** 399, Fraction(10) ** 400])
    result = quantize_constant(values, scale, exact_array(0), -8, 20, Rounding.HALF_EVEN)
    assert result.tolist() == [10, 0]
