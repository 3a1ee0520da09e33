"""Thresholds against the definition of the functions, in rational arithmetic."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nn2rtl.ir import functions as fn
from nn2rtl.ir.model import Function, Rounding

NUMBERS = st.fractions(-20, 20, max_denominator=64)
STEPS = st.one_of(
    st.builds(lambda a, b: fn.AffineStep((a,), (b,)), NUMBERS, NUMBERS),
    st.sampled_from([fn.FunctionStep(function) for function in Function]),
)


def reached(value, row, decreasing):
    return sum(value <= t if decreasing else value >= t for t in row)


@settings(max_examples=150, deadline=None)
@given(
    chain=st.lists(STEPS, max_size=3),
    scale=st.fractions(Fraction(1, 64), 8, max_denominator=64),
    zero=st.integers(-3, 3),
    low=st.integers(-9, 1),
    levels=st.integers(1, 20),
    rounding=st.sampled_from(list(Rounding)),
    start=st.integers(-40, 0),
    size=st.integers(0, 60),
)
def test_thresholds_equal_the_function(chain, scale, zero, low, levels, rounding, start, size):
    quantizer = fn.Quantizer((scale,), (Fraction(zero),), low, low + levels, rounding)
    row, decreasing = fn.thresholds(tuple(chain), quantizer, 0, start, start + size)
    for x in range(start, start + size + 1):
        expected = fn.quantize(quantizer, fn.evaluate(tuple(chain), Fraction(x), 0), 0)
        assert low + reached(x, row, decreasing) == expected


@pytest.mark.parametrize(
    ("rounding", "expected"),
    [
        (Rounding.HALF_EVEN, [-2, -2, -2, 0, 0, 0, 2, 2, 2]),
        (Rounding.HALF_UP, [-2, -1, -1, 0, 0, 1, 1, 2, 2]),
        (Rounding.HALF_DOWN, [-2, -2, -1, -1, 0, 0, 1, 1, 2]),
        (Rounding.HALF_AWAY, [-2, -2, -1, -1, 0, 1, 1, 2, 2]),
        (Rounding.HALF_TO_ZERO, [-2, -1, -1, 0, 0, 0, 1, 1, 2]),
        (Rounding.FLOOR, [-2, -2, -1, -1, 0, 0, 1, 1, 2]),
        (Rounding.CEIL, [-2, -1, -1, 0, 0, 1, 1, 2, 2]),
        (Rounding.UP, [-2, -2, -1, -1, 0, 1, 1, 2, 2]),
        (Rounding.DOWN, [-2, -1, -1, 0, 0, 0, 1, 1, 2]),
    ],
)
def test_ties_of_each_rounding(rounding, expected):
    quantizer = fn.Quantizer((Fraction(1),), (Fraction(0),), -8, 8, rounding)
    assert [fn.quantize(quantizer, Fraction(k, 2), 0) for k in range(-4, 5)] == [
        round(k / 2) if rounding is Rounding.HALF_EVEN else e
        for k, e in zip(range(-4, 5), expected)
    ]


def test_sign_quantizer_takes_zero_as_positive():
    row, decreasing = fn.thresholds((), fn.SignQuantizer(), 0, -5, 5)
    assert (row, decreasing) == ([0], False)


def test_affine_steps_merge():
    first = fn.affine((Fraction(2), Fraction(3)), (Fraction(1),))
    chain = fn.extend((first,), fn.affine((Fraction(5),), (Fraction(7), Fraction(8))))
    assert chain == (fn.AffineStep((Fraction(10), Fraction(15)), (Fraction(12), Fraction(13))),)


def test_increasing_counts_signs():
    minus, relu = fn.affine((Fraction(-1),), (Fraction(0),)), fn.FunctionStep(Function.RELU)
    assert not fn.increases((minus, relu))
    assert fn.increases((minus, relu, minus))
