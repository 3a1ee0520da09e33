"""TensorFlow Lite's layers with weights: convolutions and FULLY_CONNECTED."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite

import numpy as np

from nn2rtl.frontend import tflite_fixed_point as fixed
from nn2rtl.frontend.context import MAX_WEIGHTS
from nn2rtl.frontend.tflite_context import OperatorContext, handles
from nn2rtl.frontend.tflite_fixed_point import Multiplier
from nn2rtl.frontend.tflite_requantize import check_sums, clipped, multiplied, prepared
from nn2rtl.frontend.tflite_values import REQUANTIZE, Activation, Quantization, sample
from nn2rtl.frontend.tflite_windows import to_channels_first, to_channels_last, window
from nn2rtl.ir.model import Conv, ConvTranspose, MatMul
from nn2rtl.ir.types import IntArray, IntType, QuantizedConstant, exact_array

Scales = tuple[float, ...]


@handles(
    "CONV_2D",
    supported="int8 with int8 or int4 weights, one scale or one for each channel; any stride and "
    "dilation, SAME and VALID padding, groups, fused activation",
)
def conv(context: OperatorContext) -> Activation:
    x, _ = context.integers(0)
    channels = context.image(x)[2]
    weight, scales = _weight(context, 1, 0)
    if weight.ndim != 4 or channels % weight.shape[3]:
        raise context.invalid(f"weight of shape {list(weight.shape)} for {channels} channels")
    groups = channels // weight.shape[3]
    if weight.shape[0] % groups:
        raise context.invalid(f"{weight.shape[0]} filters in {groups} groups")
    return _convolution(context, weight.transpose(0, 3, 1, 2), scales, groups)


@handles(
    "DEPTHWISE_CONV_2D",
    supported="as CONV_2D, with any depth multiplier",
)
def depthwise_conv(context: OperatorContext) -> Activation:
    x, _ = context.integers(0)
    channels = context.image(x)[2]
    weight, scales = _weight(context, 1, 3)
    if weight.ndim != 4 or weight.shape[0] != 1 or weight.shape[3] % channels:
        raise context.invalid(f"weight of shape {list(weight.shape)} for {channels} channels")
    if context.integer("DepthMultiplier") not in (0, weight.shape[3] // channels):
        raise context.invalid(f"depth multiplier {context.integer('DepthMultiplier')}")
    return _convolution(context, weight.transpose(3, 0, 1, 2), scales, channels)


def _convolution(
    context: OperatorContext, weight: IntArray, scales: Scales, groups: int
) -> Activation:
    """`weight` is [outputs, inputs / groups, kernel height, kernel width]."""
    x, given = context.integers(0)
    kernel = (weight.shape[2], weight.shape[3])
    area = window(context, context.image(x)[:2], kernel, dilated=True)
    shape = context.check_shape((1, *area.result, len(weight)))
    bias = _bias(context, 2, len(weight))
    multipliers = _multipliers(context, given, scales, fixed.convolution)
    _check(context, given, weight.reshape(len(weight), -1), bias, multipliers)
    node = context.affine(to_channels_first(context, x.node), 1, -given.zero_point, "centred")
    op = Conv(_integers(weight), exact_array(bias), area.strides, area.pads, area.dilations, groups)
    node = context.emit(op, (node,), (len(weight), *area.result))
    return _finish(context, node, multipliers, shape)


@handles(
    "TRANSPOSE_CONV",
    supported="int8, one scale or one for each channel; any stride, SAME and VALID padding",
)
def transpose_conv(context: OperatorContext) -> Activation:
    x, given = context.integers(2)
    height, width, channels = context.image(x)
    weight, scales = _weight(context, 1, 0)
    size = context.whole_numbers(0)
    if size.shape != (4,) or weight.ndim != 4 or weight.shape[3] != channels:
        raise context.invalid(f"weight of shape {list(weight.shape)} for {channels} channels")
    outputs, *kernel = weight.shape[:3]
    shape = context.check_shape((1, int(size[1]), int(size[2]), outputs))
    # The padding is that of the convolution which would lead back to the operand.
    area = window(context, (shape[1], shape[2]), (kernel[0], kernel[1]), dilated=False)
    if area.result != (height, width):
        raise context.invalid(f"a result of shape {list(shape)} for input {list(x.shape)}")
    whole = [(n - 1) * s + k for n, s, k in zip(area.result, area.strides, kernel)]
    cut = [w - area.pads[a] - shape[1 + a] for a, w in enumerate(whole)]
    bias = _bias(context, 3, outputs)
    multipliers = _multipliers(context, given, scales, fixed.convolution)
    _check(context, given, weight.reshape(outputs, -1), bias, multipliers)
    node = context.affine(to_channels_first(context, x.node), 1, -given.zero_point, "centred")
    op = ConvTranspose(
        _integers(weight.transpose(3, 0, 1, 2)),
        exact_array(bias),
        area.strides,
        (*area.pads[:2], max(cut[0], 0), max(cut[1], 0)),
        (1, 1),
        1,
        (max(-cut[0], 0), max(-cut[1], 0)),
    )
    node = context.emit(op, (node,), (outputs, shape[1], shape[2]))
    return _finish(context, node, multipliers, shape)


@handles(
    "FULLY_CONNECTED",
    supported="int8 with int8 or int4 weights, one scale or one for each channel; fused activation",
)
def fully_connected(context: OperatorContext) -> Activation:
    x, given = context.integers(0)
    weight, scales = _weight(context, 1, 0)
    if context.integer("WeightsFormat") != 0:
        raise context.unsupported("shuffled weights", REQUANTIZE)
    elements = int(np.prod(x.shape))
    if weight.ndim != 2 or elements % weight.shape[1]:
        raise context.invalid(f"weight of shape {list(weight.shape)} for input {list(x.shape)}")
    outputs, inputs = weight.shape
    rows = elements // inputs
    keep = context.integer("KeepNumDims")
    if keep and x.shape[-1:] != (inputs,):
        raise context.invalid(f"weight of shape {list(weight.shape)} for input {list(x.shape)}")
    shape = context.check_shape((*x.shape[:-1], outputs) if keep else (rows, outputs))
    bias = _bias(context, 2, outputs)
    form = fixed.fully_connected if len(scales) == 1 else fixed.convolution
    multipliers = _multipliers(context, given, scales, form)
    _check(context, given, weight, bias, multipliers)
    rest = sample(shape)[:-1]
    node = context.reshaped(x.node, (*rest, inputs))
    node = context.affine(node, 1, -given.zero_point, "centred")
    node = context.emit(MatMul(_integers(weight.T)), (node,), (*rest, outputs))
    node = context.affine(node, 1, exact_array(bias), "biased")
    node = multiplied(context, node, multipliers, channels=(outputs,))
    return _result(context, node, shape)


def _finish(
    context: OperatorContext, node: str, multipliers: list[Multiplier], shape: tuple[int, ...]
) -> Activation:
    channels = (context.graph.types[node].shape[0], 1, 1)
    node = multiplied(context, node, multipliers, channels=channels)
    return _result(context, node, shape, channels_first=True)


def _result(
    context: OperatorContext, node: str, shape: tuple[int, ...], channels_first: bool = False
) -> Activation:
    result = context.quantization()
    node = clipped(context, node, result, context.fused())
    if channels_first:
        node = to_channels_last(context, node)
    return Activation(node, shape, result)


def _weight(context: OperatorContext, index: int, axis: int) -> tuple[IntArray, Scales]:
    """Integers without their zero point, and scales: one, or one for each channel on `axis`."""
    constant = context.constant(index)
    data = constant.data
    if data.type not in ("INT8", "INT4"):
        raise context.unsupported(f"weights of type {data.type}", REQUANTIZE)
    if constant.values.size > MAX_WEIGHTS:
        raise context.unsupported(f"{constant.values.size} weights")
    count = len(data.scales)
    if count > 1 and (
        data.axis != axis or axis >= constant.values.ndim or count != constant.shape[axis]
    ):
        raise context.invalid(f"{count} scales along axis {data.axis} of its weights")
    if count == 0 or len(data.zero_points) not in (0, 1, count):
        raise context.invalid(f"weights with {count} scales", REQUANTIZE)
    if not all(isfinite(scale) and scale >= 0 for scale in data.scales):
        raise context.invalid("a scale of its weights is not a positive number")
    values = constant.values.astype(np.int64)
    zero_points = data.zero_points
    if np.any(zero_points != 0):
        # Convolutions ignore it, so no converter writes one.
        if context.operator.op != "FULLY_CONNECTED" or count > 1 or abs(zero_points[0]) > 128:
            raise context.unsupported("weights with zero points other than 0", REQUANTIZE)
        values = values - int(zero_points[0])
    return values, tuple(map(float, data.scales))


def _integers(values: IntArray) -> QuantizedConstant:
    least, greatest = int(values.min()), int(values.max())
    span = IntType.of_width(IntType(min(least, -1), greatest).width, signed=True)
    return QuantizedConstant(np.ascontiguousarray(values), exact_array(1), exact_array(0), span)


def _bias(context: OperatorContext, index: int, outputs: int) -> IntArray:
    if context.optional(index) is None:
        return np.zeros(outputs, dtype=np.int64)
    constant = context.constant(index)
    if constant.data.type != "INT32" or constant.values.size != outputs:
        raise context.invalid(
            f"bias of type {constant.data.type} and shape {list(constant.shape)}", REQUANTIZE
        )
    return constant.values.astype(np.int64).ravel()


def _multipliers(
    context: OperatorContext,
    given: Quantization,
    scales: Scales,
    form: Callable[[float, float, float], Multiplier],
) -> list[Multiplier]:
    result = context.quantization()
    return prepared(context, lambda: [form(given.scale, scale, result.scale) for scale in scales])


def _check(
    context: OperatorContext,
    given: Quantization,
    weight: IntArray,
    bias: IntArray,
    multipliers: list[Multiplier],
) -> None:
    """Of [outputs, weights of each]."""
    low, high = given.low - given.zero_point, given.high - given.zero_point
    rising = np.maximum(weight, 0).sum(axis=1)
    falling = np.minimum(weight, 0).sum(axis=1)
    check_sums(
        context, bias + low * rising + high * falling, bias + high * rising + low * falling,
        multipliers,
    )  # fmt: skip
