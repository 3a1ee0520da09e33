"""Joint weights equal a quantized sum for all pairs of operands."""

from fractions import Fraction

import numpy as np
import pytest

from nn2rtl.ir import functions as fn
from nn2rtl.ir import integer as ig
from nn2rtl.ir.model import Rounding
from nn2rtl.ir.thresholds import thresholds
from nn2rtl.ir.types import IntTensor, IntType
from nn2rtl.ir.verify import verify
from nn2rtl.passes.joint_scaling import find_joint_scaling, signed_digits
from nn2rtl.passes.requantize import choose_requantizers, split_levels
from nn2rtl.reference import Reference

INT8 = np.arange(-128, 128)


def high_multiplied(x, factor):
    """Rounding doubling high multiplication of 32-bit integers (gemmlowp)."""
    return (x * factor + (1 << 30)) >> 31


def divided(x, exponent):
    """Division by a power of two, half away from zero."""
    return np.sign(x) * ((np.abs(x) + (1 << exponent >> 1)) >> exponent)


def fixed_point(real):
    mantissa, exponent = np.frexp(real)
    return round(mantissa * 2**31), -int(exponent)


def lite_tables(rng):
    """The two tables of TensorFlow Lite's int8 addition, and the function of their sum."""
    scales = rng.uniform(0.01, 0.1, 2)
    result = rng.uniform(0.5, 1.2) * scales.sum()
    zeros = rng.integers(-128, 128, 3)
    twice = 2 * max(scales)
    tables = []
    for scale, zero in zip(scales, zeros, strict=False):
        factor, exponent = fixed_point(scale / twice)
        tables.append(divided(high_multiplied((INT8 - zero) << 20, factor), exponent))
    factor, exponent = fixed_point(twice / (result * (1 << 20)))

    chain = (
        fn.affine((Fraction(factor, 1 << 31),), fn.ZERO),
        fn.RoundStep(Rounding.HALF_UP),
        fn.affine((Fraction(1, 1 << exponent),), fn.ZERO),
        fn.RoundStep(Rounding.HALF_AWAY),
        fn.affine((Fraction(1),), (Fraction(int(zeros[2])),)),
    )
    quantizer = fn.Quantizer((Fraction(1),), fn.ZERO, -128, 127, Rounding.HALF_EVEN)
    total = tables[0][:, None] + tables[1]
    levels = np.clip(divided(high_multiplied(total, factor), exponent) + zeros[2], -128, 127)
    return tables, levels, ig.Definition(chain, quantizer)


def computed(found, a, b, low, high):
    total = a[:, None] * found.weights[0] + b * found.weights[1] + found.scaling.bias[0]
    if found.scaling.step is not None:
        total = total + (total >> found.scaling.shift >= found.scaling.split) * found.scaling.step
    result = total >> found.scaling.shift
    if found.scaling.half_even:
        result = np.where(result << found.scaling.shift == total, result & ~1, result)
    return np.clip(result, low, high)


@pytest.mark.parametrize("seed", range(8))
def test_lite_addition(seed):
    _, levels, definition = lite_tables(np.random.default_rng(seed))
    (zero,) = split_levels(definition)
    found = find_joint_scaling(INT8, INT8, levels, -128, 127)
    if found is None:
        found = find_joint_scaling(INT8, INT8, levels, -128, 127, split=zero)
    assert found is not None
    np.testing.assert_array_equal(computed(found, INT8, INT8, -128, 127), levels)
    assert max(map(abs, found.weights)) < 1 << 23


@pytest.mark.parametrize(("p", "q"), [(3, 5), (-3, 5), (7, -1), (-4, -9)])
@pytest.mark.parametrize("form", ["plain", "half_even", "split"])
def test_every_form_and_sign(p, q, form):
    a, b = np.arange(-20, 21), np.arange(0, 16)
    scale = p * a[:, None] + q * b
    levels = {
        "plain": (scale + 3) >> 4,
        "half_even": np.rint(scale / 16).astype(int),
        "split": np.trunc(scale / 16 + np.sign(scale) * 0.5).astype(int),
    }[form]
    levels = np.clip(levels, -8, 7)
    options = {"plain": {}, "half_even": {"half_even": True}, "split": {"split": 0}}[form]
    found = find_joint_scaling(a, b, levels, -8, 7, **options)
    assert found is not None
    assert found.scaling.shift <= 4
    np.testing.assert_array_equal(computed(found, a, b, -8, 7), levels)


def test_no_joint_weights():
    a = np.arange(16)
    assert find_joint_scaling(a, a, (a[:, None] * a) >> 4, 0, 15) is None  # not linear
    assert find_joint_scaling(a, a, np.abs(a[:, None] - 8) + a, 0, 23) is None  # not monotone


@pytest.mark.parametrize(("number", "digits"), [(0, 0), (1, 1), (7, 2), (-24, 2), (45, 4)])
def test_signed_digits(number, digits):
    assert signed_digits(number) == digits


def network(rng):
    """Two tensors (of one input) that are looked up and added."""
    shape = (2, 2, 3)
    tables, _, definition = lite_tables(rng)
    graph = ig.IntegerGraph("sum", outputs=["result"])
    graph.append("x", ig.Input(), (), IntTensor(shape, IntType(-128, 127)))
    table = rng.permutation(256) - 128
    graph.append("y", ig.Lookup(-128, table), ("x",), IntTensor(shape, IntType(-128, 127)))
    for name, source, values in zip("ab", "xy", tables, strict=True):
        kind = IntType(int(values.min()), int(values.max()))
        op = ig.Lookup(-128, values)
        graph.append(name, op, (source,), IntTensor(shape, kind))
    low, high = (sum(int(end(values)) for values in tables) for end in (np.min, np.max))
    total = IntTensor(shape, IntType(low, high))
    graph.append("total", ig.WeightedSum((1, 1)), ("a", "b"), total)
    steps, down = thresholds(definition.chain, definition.quantizer, 0, low, high)
    op = ig.Thresholds(-128, steps[None], np.array([down]), definition)
    graph.append("result", op, ("total",), IntTensor(shape, IntType(-128, 127)))
    size = 12
    order = np.arange(size)
    channel = np.zeros(size, dtype=np.int64)
    graph.input = ig.InputSpec("x", (size,), order, (), None, channel)
    graph.output = ig.OutputSpec("y", (size,), order, (), channel)
    return graph


def test_a_network_loses_its_tables():
    rng = np.random.default_rng(3)
    graph = network(rng)
    chosen = choose_requantizers(graph)
    verify(chosen, "requantize")
    names = [node.name for node in chosen]
    assert names == ["x", "y", "total", "result"]
    assert chosen["total"].inputs == ("x", "y")
    assert isinstance(chosen["result"].op, ig.Requantize)
    samples = rng.integers(-128, 128, (500, 12))
    np.testing.assert_array_equal(Reference(chosen).run(samples), Reference(graph).run(samples))


def test_a_sum_that_something_else_reads_stays():
    graph = network(np.random.default_rng(3))
    graph.append("again", graph["result"].op, ("total",), graph.types["result"])
    graph.outputs = ["again"]
    assert "a" in [node.name for node in choose_requantizers(graph)]
