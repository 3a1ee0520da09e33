"""Softmax in integers against TensorFlow Lite's outputs, and against exact arithmetic."""

from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest

from nn2rtl.frontend import tflite_fixed_point
from nn2rtl.ir import fixed_point, softmax
from nn2rtl.ir import integer as ig
from nn2rtl.ir.exact import round_exact
from nn2rtl.ir.model import Rounding


def kernel_tables(scale, beta=1.0):
    prepared = tflite_fixed_point.softmax(beta, scale)
    return softmax.kernel_tables(
        prepared.multiplier, prepared.left_shift, prepared.diff_min, 255
    )


def kernel(scale, beta=1.0):
    tables = kernel_tables(float(np.float32(scale)), beta)
    return ig.Softmax(*tables, -128, -128, 127, ig.Division.RECIPROCAL)


def real_softmax(x, scale):
    """Softmax to 60 digits."""
    with localcontext() as context:
        context.prec = 70
        s = Decimal(scale.numerator) / Decimal(scale.denominator)
        powers = [((int(v) - int(max(x))) * s).exp() for v in x]
        total = sum(powers)
        return [Fraction(p / total) for p in powers]


@pytest.mark.parametrize(
    ("model", "vectors"),
    [
        ("kws_ref_model", "kws01_int8_1000"),
        ("pretrainedResnet_quant", "ic_random_int8_io"),
        ("vww_96_int8", "vww_random_int8_io"),
    ],
)
def test_equals_the_outputs_of_tflite(shared, model, vectors):
    tflite = pytest.importorskip("tflite")
    folder = shared / "tflite_mlperf_tiny"
    network = tflite.Model.GetRootAsModel((folder / f"{model}.tflite").read_bytes(), 0)
    graph = network.Subgraphs(0)
    (scale,) = (
        graph.Tensors(node.Inputs(0)).Quantization().Scale(0)
        for node in map(graph.Operators, range(graph.OperatorsLength()))
        if network.OperatorCodes(node.OpcodeIndex()).DeprecatedBuiltinCode()
        == tflite.BuiltinOperator.SOFTMAX
    )
    data = np.load(folder / f"{vectors}.npz")
    result = softmax.evaluate(kernel(scale), data["tflite_ref_logits"].astype(np.int64))
    assert np.array_equal(result, data["tflite_ref_out"])


def test_exponential_and_reciprocal_are_close():
    for x in (*range(-(1 << 31), 1, 99999991), -1, 0):
        exact = (Decimal(x) / (1 << 26)).exp() * (1 << 31)
        assert abs(fixed_point.exponential(x) - exact) < 600  # what the polynomial leaves out
    totals = np.array([1 << 19, (1 << 19) + 1, 3 << 18, (1 << 31) - 1, 123456789, 7])
    mantissa, exponent = fixed_point.reciprocal(totals)
    assert mantissa.max() == (1 << 31) - 1
    for total, m, e in zip(totals.tolist(), mantissa.tolist(), exponent.tolist(), strict=True):
        exact = Fraction(1 << 19, total) * 2**31 * Fraction(2) ** e
        assert abs(m - exact) < 16
        assert m > (1 << 30) - 16


def test_one_hot_and_equal_operands_of_the_kernel():
    op = kernel(0.25)
    assert softmax.evaluate(op, np.array([-128, 127, -128])).tolist() == [-128, 127, -128]
    assert softmax.evaluate(op, np.array([5, 5, 5, 5])).tolist() == [-64] * 4
    assert softmax.evaluate(op, np.array([9])).tolist() == [127]


def exact(scale, step, channels, differences, **more):
    tables = softmax.exact_tables(scale, step, channels, differences)
    settings = {"zero": 0, "low": 0, "high": 1 << 20, **more}
    return ig.Softmax(*tables, **settings)


def single(number):
    """The nearest float32."""
    return Fraction(float(np.float32(number)))


CASES = [
    (Fraction(1, 8), Fraction(1, 256), 10),
    (single(0.1), single(1 / 255), 3),
    (Fraction(0.3), Fraction(0.01), 2),  # a wide numerator
    (Fraction(1, 512), Fraction(1, 65536), 9),
    (Fraction(3), Fraction(1, 15), 200),
    (Fraction(1, 2), Fraction(1, 1 << 20), 1000),  # bounded by the width of the tables
]


@pytest.mark.parametrize(("scale", "step", "channels"), CASES)
def test_exact_division_is_as_close_as_the_bound(scale, step, channels):
    rng = np.random.default_rng(1)
    op = exact(scale, step, channels, 255)
    bound = softmax.error_bound(op, step, channels)
    wide = channels / step**2 > 1 << 36
    assert bound <= Fraction(1, 1 << (8 if wide else softmax.ERROR_BITS))
    rows = [rng.integers(0, high + 1, channels) for high in (255, 40, 5, 1) * 3]
    rows += [np.zeros(channels, np.int64), np.arange(channels) % 256, np.arange(channels) // -2]
    worst = Fraction(0)
    for x in rows[: 6 if channels > 100 else None]:
        result = softmax.evaluate(op, x)
        difference = np.minimum(x.max() - x, len(op.numerators) - 1)
        total = int(op.denominators[difference].sum())
        for d, p, q in zip(difference, real_softmax(x, scale), result, strict=True):
            error = abs(Fraction(int(op.numerators[d]), total) - p / step)
            worst = max(worst, error)
            if round_exact(p / step, Rounding.HALF_EVEN) != q:
                nearest = abs(p / step - int(p / step) - Fraction(1, 2))
                assert nearest <= bound
    assert worst <= bound


def test_bound_is_not_idle():
    """Coarse tables are off by more than half of what the bound allows."""
    scale, step = Fraction(1, 8), Fraction(1, 4)
    numerators, denominators = softmax.exact_tables(scale, step, 8, 60)
    shift = 18
    op = ig.Softmax(numerators >> shift, denominators >> shift, 0, 0, 255)
    fine = ig.Softmax(numerators, denominators, 0, 0, 255)
    bound = 2 * softmax.error_bound(op, step, 8)  # these tables are rounded down
    worst = 0.0
    for low in range(1, 30):
        x = np.array([low, *[0] * 7])

        def quotient(of, x=x):
            return float(of.numerators[0] / of.denominators[x.max() - x].sum())

        worst = max(worst, abs(quotient(op) - quotient(fine)))
    assert float(bound) / 5 < worst <= float(bound)


@pytest.mark.parametrize(
    ("rounding", "zero", "after", "wanted"),
    [
        (Rounding.HALF_EVEN, 0, False, 0),
        (Rounding.HALF_EVEN, 1, False, 2),  # 1.5
        (Rounding.HALF_EVEN, 1, True, 1),
        (Rounding.HALF_EVEN, -128, True, -128),
        (Rounding.HALF_UP, 0, False, 1),
        (Rounding.HALF_DOWN, 1, False, 1),
        (Rounding.FLOOR, 0, False, 0),
    ],
)
def test_ties(rounding, zero, after, wanted):
    """32 equal operands and steps of 1/16: half a step."""
    op = exact(
        Fraction(1, 10), Fraction(1, 16), 32, 255,
        zero=zero, low=-128, high=127, rounding=rounding, zero_after=after,
    )  # fmt: skip
    assert (softmax.evaluate(op, np.full(32, 77)) == wanted).all()
    # 31 of them are above the tie.
    more = 0 if rounding is Rounding.FLOOR else 1
    assert (softmax.evaluate(op, np.full(31, -3)) == zero + more).all()


def test_tables_end_where_nothing_is_left():
    numerators, denominators = softmax.exact_tables(Fraction(4), Fraction(1, 256), 10, 4095)
    assert len(numerators) < 20
    assert numerators[-1] == denominators[-1] == 0
    assert numerators[0] == 256 * denominators[0]
    tables = kernel_tables(1.0)
    assert [len(table) for table in tables] == [17, 17]
    assert tables[0][-1] == 0 != tables[0][-2]
