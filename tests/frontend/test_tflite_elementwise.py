"""TensorFlow Lite's arithmetic and activations against its reference kernels."""

import numpy as np
import pytest
from tflite_cases import NONE, RELU, RELU6, SAMPLES, Case, check, emulated, window
from tflite_models import run_reference

from nn2rtl.design import Emulator, integer_graph
from nn2rtl.frontend import load


@pytest.mark.parametrize("op", ["ADD", "SUB", "MUL"])
@pytest.mark.parametrize(
    ("shape", "fused"), [((1, 4, 3, 2), RELU), ((1, 1, 1, 2), NONE), ((1, 4, 3, 1), RELU6)]
)
def test_arithmetic(tmp_path, op, shape, fused):
    """Of the input and what a pooling makes of it."""
    case = Case()
    x = case.x(1, 4, 3, 2)
    other = x
    if shape[1] == 1:
        other = case.apply("MEAN", [x, case.numbers(1, 2)], shape, "ReducerOptions", KeepDims=1)
    elif shape[3] == 1:
        other = case.apply("MEAN", [x, case.numbers(3)], shape, "ReducerOptions", KeepDims=1)
    else:
        other = case.apply("LOGISTIC", [x], shape, scale=1 / 256, zero_point=-128)
    inputs = [other, x] if op == "SUB" else [x, other]
    y = case.apply(
        op, inputs, (1, 4, 3, 2), f"{op.title()}Options", scale=0.037, zero_point=-9,
        FusedActivationFunction=fused,
    )  # fmt: skip
    check(tmp_path, case, x, y)


@pytest.mark.parametrize("op", ["ADD", "SUB", "MUL"])
@pytest.mark.parametrize("shape", [(1, 4, 3, 2), (2,), ()])
def test_arithmetic_with_a_constant(tmp_path, op, shape):
    case = Case()
    x = case.x(1, 4, 3, 2)
    values = case.random.integers(-128, 128, shape).astype(np.int8)
    constant = case.file.constant(np.asarray(values), 0.02, -5)
    y = case.apply(op, [x, constant], (1, 4, 3, 2), f"{op.title()}Options", scale=0.1)
    check(tmp_path, case, x, y)


@pytest.mark.parametrize(
    ("op", "scale", "zero_point"),
    [
        ("RELU", 0.05, 3),
        ("RELU", 0.021, -128),
        ("RELU6", 0.0235, -128),
        ("RELU_N1_TO_1", 0.05, 3),
        ("LOGISTIC", 1 / 256, -128),
        ("TANH", 1 / 128, 0),
        ("ELU", 0.04, -100),
        ("HARD_SWISH", 0.03, -116),
        ("GELU", 0.03, -120),
    ],
)
def test_activations(tmp_path, op, scale, zero_point):
    options = "GeluOptions" if op == "GELU" else ""
    # The reference kernels are without ELU; the others use the same table.
    kernels = "BUILTIN_WITHOUT_DEFAULT_DELEGATES" if op == "ELU" else "BUILTIN_REF"
    for own in (0.05, 0.011, 0.3):
        case = Case()
        x = case.x(1, 16, 16, 4, scale=own)  # all values occur
        y = case.apply(op, [x], (1, 16, 16, 4), options, scale=scale, zero_point=zero_point)
        check(tmp_path, case, x, y, kernels)


@pytest.mark.parametrize("slope", [0.1, 0.0, -0.3, 1.7])
def test_leaky_relu(tmp_path, slope):
    case = Case()
    x = case.x(1, 16, 16, 4)
    y = case.apply("LEAKY_RELU", [x], (1, 16, 16, 4), "LeakyReluOptions", scale=0.08, Alpha=slope)
    check(tmp_path, case, x, y)


@pytest.mark.parametrize("shape", [(1, 1, 4), (1,)])
def test_prelu(tmp_path, shape):
    case = Case()
    x = case.x(1, 16, 16, 4)
    slopes = case.file.constant(
        np.array([-100, 20, 3, 127][-shape[-1] :], dtype=np.int8).reshape(shape), 0.01
    )
    check(tmp_path, case, x, case.apply("PRELU", [x, slopes], (1, 16, 16, 4), scale=0.08))


def test_changes_of_scale(tmp_path):
    case = Case()
    x = case.x(1, 16, 16, 4)
    for scale, zero_point in ((0.07, -4), (0.0123, 100), (0.05, 3)):
        y = case.apply("QUANTIZE", [x], (1, 16, 16, 4), scale=scale, zero_point=zero_point)
        check(tmp_path, case, x, y)


def test_unsigned_input_and_output(tmp_path):
    """As converters wrap an int8 network for uint8 data."""
    case = Case()
    x = case.file.tensor((1, 6, 6, 3), 0.05, 131, kind="UINT8")
    inside = case.apply("QUANTIZE", [x], (1, 6, 6, 3))
    inside = case.apply("MAX_POOL_2D", [inside], (1, 3, 3, 3), "Pool2DOptions", FilterHeight=2,
                        FilterWidth=2, **window((2, 2)))  # fmt: skip
    y = case.file.tensor((1, 3, 3, 3), 0.05, 131, kind="UINT8")
    case.file.operator("QUANTIZE", [inside], [y])
    data = case.file.write([x], [y])
    inputs = case.random.integers(0, 256, (SAMPLES, 6, 6, 3)).astype(np.uint8)
    result = emulated(tmp_path / "model.tflite", data, inputs)
    np.testing.assert_array_equal(result, run_reference(data, inputs))


def test_float_input_and_output(tmp_path):
    case = Case()
    x = case.file.tensor((1, 12), kind="FLOAT32")
    inside = case.apply("QUANTIZE", [x], (1, 12))
    weight = case.weight(5, 12, channels=False)
    inside = case.apply("FULLY_CONNECTED", [inside, weight, case.bias(5)], (1, 5),
                        "FullyConnectedOptions", scale=0.3)  # fmt: skip
    y = case.file.tensor((1, 5), kind="FLOAT32")
    case.file.operator("DEQUANTIZE", [inside], [y])
    data = case.file.write([x], [y])
    inputs = case.random.uniform(-8, 8, (SAMPLES, 12)).astype(np.float32)
    path = tmp_path / "model.tflite"
    path.write_bytes(data)
    result = Emulator(integer_graph(load(path))).emulate(inputs)
    np.testing.assert_allclose(result, run_reference(data, inputs), rtol=1e-6)


@pytest.mark.parametrize("op", ["MINIMUM", "MAXIMUM"])
def test_bounds(tmp_path, op):
    """As Keras clips: hard sigmoid and ReLU with a greatest value."""
    case = Case()
    x = case.x(1, 4, 4, 2)
    bound = case.file.constant(np.array(-20, dtype=np.int8), 0.05, 3)
    y = case.apply(op, [bound, x], (1, 4, 4, 2))
    check(tmp_path, case, x, y)
