"""TensorFlow Lite's layers and poolings, one by one, against its reference kernels."""

import numpy as np
import pytest
from tflite_cases import (
    N1_TO_1,
    NONE,
    RELU,
    RELU6,
    SAME,
    VALID,
    Case,
    check,
    emulated,
    result_size,
    window,
)
from tflite_models import run_reference


@pytest.mark.parametrize(
    ("size", "kernel", "fields", "channels", "groups"),
    [
        ((7, 6), (3, 2), window((2, 2), SAME, RELU, (1, 1)), True, 1),
        ((8, 7), (3, 3), window((1, 1), VALID, NONE, (2, 3)), True, 1),
        ((5, 5), (4, 4), window((3, 2), SAME, RELU6, (1, 1)), False, 1),
        ((5, 4), (3, 3), window((1, 1), SAME, N1_TO_1, (1, 1)), True, 2),
        ((4, 4), (1, 1), window((2, 3), SAME, NONE, (1, 1)), True, 1),
        ((1, 9), (1, 3), window((1, 2), VALID, NONE, (1, 1)), True, 1),
    ],
)
def test_convolution(tmp_path, size, kernel, fields, channels, groups):
    case = Case()
    x = case.x(1, *size, 4)
    weight = case.weight(6, *kernel, 4 // groups, channels=channels)
    shape = result_size(size, kernel, fields)
    y = case.apply(
        "CONV_2D", [x, weight, case.bias(6)], (1, *shape, 6), "Conv2DOptions", scale=0.2, **fields
    )
    check(tmp_path, case, x, y)


@pytest.mark.parametrize(
    ("multiplier", "fields", "channels"),
    [
        (1, window((1, 1), SAME, RELU, (1, 1)), True),
        (2, window((2, 2), SAME, NONE, (1, 1)), True),
        (3, window((1, 1), VALID, RELU6, (2, 1)), False),
    ],
)
def test_depthwise_convolution(tmp_path, multiplier, fields, channels):
    case, size, kernel = Case(), (7, 5), (3, 3)
    x = case.x(1, *size, 3, zero_point=-20)
    outputs = 3 * multiplier
    weight = case.weight(1, *kernel, outputs, axis=3, channels=channels)
    y = case.apply(
        "DEPTHWISE_CONV_2D", [x, weight, case.bias(outputs)],
        (1, *result_size(size, kernel, fields), outputs), "DepthwiseConv2DOptions",
        scale=0.1, DepthMultiplier=multiplier, **fields,
    )  # fmt: skip
    check(tmp_path, case, x, y)


@pytest.mark.parametrize("stride, padding, size", [(2, SAME, 8), (2, VALID, 9), (3, VALID, 12)])
def test_transposed_convolution(tmp_path, stride, padding, size):
    case = Case()
    x = case.x(1, 4, 4, 3)
    weight = case.weight(5, 3, 3, 3)
    shape = (1, size, size, 5)
    y = case.apply(
        "TRANSPOSE_CONV", [case.numbers(*shape), weight, x, case.bias(5)], shape,
        "TransposeConvOptions", scale=0.2, **window((stride, stride), padding),
    )  # fmt: skip
    check(tmp_path, case, x, y)


@pytest.mark.parametrize(
    ("shape", "keep", "biased", "channels", "zero_point"),
    [
        ((1, 12), False, True, False, 0),
        ((1, 12), False, True, False, 5),
        ((1, 3, 12), True, False, True, 0),
        ((1, 6, 4), False, True, True, 0),
    ],
)
def test_fully_connected(tmp_path, shape, keep, biased, channels, zero_point):
    """As TensorFlow 2.15's kernel, which multiplies and shifts, with two roundings.

    LiteRT 2's reference kernel multiplies in float64 instead and rounds once. That differs by one
    where the two roundings add up (in 1 % of the results of the keyword network's last layer).
    """
    case = Case()
    x = case.x(*shape)
    weight = case.weight(7, 12, channels=channels)
    case.file.tensors[weight]["zero_point"] += zero_point
    bias = case.bias(7) if biased else -1
    result = (*shape[:-1], 7) if keep else (int(np.prod(shape)) // 12, 7)
    y = case.apply(
        "FULLY_CONNECTED", [x, weight, bias], result, "FullyConnectedOptions", scale=0.3,
        KeepNumDims=keep, FusedActivationFunction=RELU,
    )  # fmt: skip
    data = case.file.write([x], [y])
    inputs = case.random.integers(-128, 128, (1000, *shape[1:])).astype(np.int8)
    actual = emulated(tmp_path / "model.tflite", data, inputs)

    weights = case.file.tensors[weight]
    sums = (inputs.astype(int).reshape(-1, 12) - 3) @ (weights["data"].astype(int) - zero_point).T
    if biased:
        sums += case.file.tensors[bias]["data"]
    # One scale for all is multiplied in float32, one for each channel in float64.
    kind = np.float64 if channels else np.float32
    scales = kind(np.float32(0.05)) * weights["scale"].astype(kind)
    scales = np.resize(scales.astype(float) / float(np.float32(0.3)), 7)
    levels = np.stack([requantized(*pair) for pair in zip(sums.T, scales)], axis=1)
    levels = np.clip(levels + 3, 3, 127).reshape(actual.shape)
    np.testing.assert_array_equal(actual, levels)
    difference = np.abs(actual - run_reference(data, inputs).reshape(actual.shape))
    assert difference.max() <= 1
    assert difference.mean() < 0.02


def requantized(sums, scale):
    """gemmlowp's definition: a product that rounds, then a shift that rounds."""
    mantissa, shift = np.frexp(scale)
    product = sums * int(np.floor(mantissa * 2**31 + 0.5))
    nudged = product + np.where(product >= 0, 1 << 30, 1 - (1 << 30))
    high = np.where(nudged >= 0, nudged // (1 << 31), -(-nudged // (1 << 31)))
    mask = (1 << -shift) - 1
    remainder, threshold = high & mask, (mask >> 1) + (high < 0)
    return (high >> -shift) + (remainder > threshold)


def test_weights_of_four_bits(tmp_path):
    case = Case()
    x = case.x(1, 3, 3, 3)
    values = case.random.integers(-7, 8, (5, 1, 1, 3)).astype(np.int8)
    flat = np.append(values.ravel(), 0).astype(np.uint8) & 15  # 15 values
    packed = flat[::2] | flat[1::2] << 4
    weight = case.file.constant(packed, 0.05, kind="INT4", shape=values.shape)
    y = case.apply(
        "CONV_2D", [x, weight, case.bias(5)], (1, 3, 3, 5), "Conv2DOptions", scale=0.04,
        **window(dilation=(1, 1)),
    )  # fmt: skip
    check(tmp_path, case, x, y)


@pytest.mark.parametrize("op", ["AVERAGE_POOL_2D", "MAX_POOL_2D"])
@pytest.mark.parametrize(
    ("kernel", "fields"),
    [
        ((3, 3), window((2, 2), SAME)),
        ((2, 3), window((1, 1), VALID, RELU)),
        ((4, 2), window((3, 1), SAME, RELU6)),
        ((7, 6), window((1, 1), VALID)),
    ],
)
def test_pooling(tmp_path, op, kernel, fields):
    case, size = Case(), (7, 6)
    x = case.x(1, *size, 3)
    y = case.apply(
        op, [x], (1, *result_size(size, kernel, fields), 3), "Pool2DOptions",
        FilterHeight=kernel[0], FilterWidth=kernel[1], **fields,
    )  # fmt: skip
    check(tmp_path, case, x, y)


@pytest.mark.parametrize(
    ("axes", "keep", "shape"),
    [
        ((1, 2), 1, (1, 1, 1, 4)),
        ((2, 1), 0, (1, 4)),
        ((-1,), 0, (1, 5, 3)),
        ((1,), 1, (1, 1, 3, 4)),
        ((1, 3), 0, (1, 3)),
    ],
)
def test_reductions(tmp_path, axes, keep, shape):
    case = Case()
    x = case.x(1, 5, 3, 4)
    y = case.apply(
        "MEAN", [x, case.numbers(*axes)], shape, "ReducerOptions", scale=0.02, KeepDims=keep
    )
    check(tmp_path, case, x, y)
    case = Case()
    x = case.x(1, 5, 3, 4)
    y = case.apply("REDUCE_MAX", [x, case.numbers(*axes)], shape, "ReducerOptions", KeepDims=keep)
    check(tmp_path, case, x, y)
