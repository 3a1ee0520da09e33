"""Thresholds against the definition of the functions, in rational arithmetic."""

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from nn2rtl.ir import functions as fn
from nn2rtl.ir.model import Rounding
from nn2rtl.ir.real_functions import MONOTONE
from nn2rtl.ir.thresholds import thresholds

NUMBERS = st.fractions(-20, 20, max_denominator=64)
SLOPES = st.fractions(0, 3, max_denominator=8)
STEPS = st.one_of(
    st.builds(lambda a, b: fn.AffineStep((a,), (b,)), NUMBERS, NUMBERS),
    st.builds(
        lambda function, slope: fn.FunctionStep(function, (slope,)),
        st.sampled_from(sorted(MONOTONE, key=str)),
        SLOPES,
    ),
    st.builds(fn.RoundStep, st.sampled_from(list(Rounding))),
)


def reached(value, row, decreasing):
    return sum(value <= t if decreasing else value >= t for t in row)


def check(chain, quantizer, start, size):
    row, decreasing = thresholds(tuple(chain), quantizer, 0, start, start + size)
    for x in range(start, start + size + 1):
        expected = fn.quantize(quantizer, fn.evaluate(tuple(chain), Fraction(x), 0), 0)
        assert quantizer.low + reached(x, row, decreasing) == expected


@settings(max_examples=200, deadline=None)
@given(
    chain=st.lists(STEPS, max_size=4),
    scale=st.fractions(Fraction(1, 64), 8, max_denominator=64),
    zero=st.integers(-3, 3),
    low=st.integers(-9, 1),
    levels=st.integers(1, 20),
    rounding=st.sampled_from(list(Rounding)),
    zero_after=st.booleans(),
    start=st.integers(-40, 0),
    size=st.integers(0, 60),
)
def test_thresholds_equal_the_function(
    chain, scale, zero, low, levels, rounding, zero_after, start, size
):
    quantizer = fn.Quantizer(
        (scale,), (Fraction(zero),), low, low + levels, rounding, zero_after
    )
    check(chain, quantizer, start, size)


@settings(max_examples=50, deadline=None)
@given(
    chain=st.lists(STEPS, max_size=2),
    steps=st.lists(NUMBERS, min_size=1, max_size=9),
    start=st.integers(-40, 0),
)
def test_thresholds_of_given_steps(chain, steps, start):
    check(chain, fn.StepQuantizer((tuple(sorted(steps)),)), start, 50)


def test_sign_quantizer_takes_zero_as_positive():
    row, decreasing = thresholds((), fn.SignQuantizer(), 0, -5, 5)
    assert (row.tolist(), decreasing) == ([0], False)
