"""Chains of exact functions: evaluation and composition."""

import math
from fractions import Fraction

import pytest

from nn2rtl.ir import functions as fn
from nn2rtl.ir.model import Function, Rounding
from nn2rtl.ir.real_functions import MONOTONE, inverse


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


def test_affine_steps_merge():
    first = fn.affine((Fraction(2), Fraction(3)), (Fraction(1),))
    chain = fn.extend((first,), fn.affine((Fraction(5),), (Fraction(7), Fraction(8))))
    assert chain == (fn.AffineStep((Fraction(10), Fraction(15)), (Fraction(12), Fraction(13))),)


def test_increasing_counts_signs():
    minus, relu = fn.affine((Fraction(-1),), (Fraction(0),)), fn.FunctionStep(Function.RELU)
    assert not fn.increases((minus, relu))
    assert fn.increases((minus, relu, minus))


@pytest.mark.parametrize("x", [-7.5, -0.5, 0.0, 0.375, 1.0, 6.25])
def test_values_of_the_irrational_functions(x):
    expected = {
        Function.SIGMOID: 1 / (1 + math.exp(-x)),
        Function.TANH: math.tanh(x),
        Function.EXP: math.exp(x),
        Function.SOFTPLUS: math.log1p(math.exp(x)),
        Function.ELU: x if x >= 0 else math.expm1(x) / 2,
        Function.ERF: math.erf(x),
    }
    for function, number in expected.items():
        step = fn.FunctionStep(function, (Fraction(1, 2),))
        value = fn.evaluate((step,), Fraction(x), 0)
        assert float(value) == pytest.approx(number, rel=1e-14), function
        if function in MONOTONE:
            back = inverse(function, Fraction(1, 2), value)
            assert abs(back - Fraction(x)) < Fraction(1, 10**58), function


def test_products_of_functions_of_one_number():
    half = fn.affine((Fraction(1, 2),), (Fraction(1),))
    product = fn.CombineStep(fn.Combination.PRODUCT, (), (half,))
    assert fn.evaluate((product,), Fraction(4), 0) == 12
    assert not fn.is_monotone((product,))
