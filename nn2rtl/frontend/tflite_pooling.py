"""TensorFlow Lite's pooling: windows, and reductions over axes."""

from __future__ import annotations

from fractions import Fraction
from math import prod

import numpy as np

from nn2rtl.frontend import tflite_fixed_point as fixed
from nn2rtl.frontend.tflite_context import OperatorContext, handles
from nn2rtl.frontend.tflite_requantize import check_sums, clipped, multiplied, prepared
from nn2rtl.frontend.tflite_values import REQUANTIZE, Activation, sample
from nn2rtl.frontend.tflite_windows import Window, to_channels_first, to_channels_last, window
from nn2rtl.ir.model import AveragePool, MaxPool, Round, Rounding


@handles("MAX_POOL_2D", supported="int8; any stride, SAME and VALID padding, fused activation")
def max_pool(context: OperatorContext) -> Activation:
    x, _ = context.integers(0)
    kernel, area = _window(context, x)
    node = to_channels_first(context, x.node)
    op = MaxPool(kernel, area.strides, area.pads)
    node = context.emit(op, (node,), (x.shape[3], *area.result))
    if context.fused() != "NONE":
        node = clipped_only(context, node)
    return context.result(to_channels_last(context, node), x, (1, *area.result, x.shape[3]))


@handles("AVERAGE_POOL_2D", supported="int8; any stride, SAME and VALID padding, fused activation")
def average_pool(context: OperatorContext) -> Activation:
    x, _ = context.integers(0)
    kernel, area = _window(context, x)
    shape = (x.shape[3], *area.result)
    node = to_channels_first(context, x.node)
    # The integers themselves are averaged, with their zero point; padding does not count.
    op = AveragePool(kernel, area.strides, area.pads, (0, 0, 0, 0))
    node = context.emit(op, (node,), shape)
    node = context.emit(Round(Rounding.HALF_AWAY), (node,), shape, "rounded")
    node = to_channels_last(context, clipped_only(context, node))
    return context.result(node, x, (1, *area.result, x.shape[3]))


@handles("MEAN", supported="int8, over constant axes other than the batch")
def mean(context: OperatorContext) -> Activation:
    x, given = context.integers(0)
    result = context.quantization()
    node, kernel, shape = _reduction(context, x)
    count = prod(kernel)
    multiplier = prepared(context, lambda: fixed.mean(given.scale, result.scale, count))
    low, high = (count * (end - given.zero_point) for end in (given.low, given.high))
    check_sums(context, np.array([low]), np.array([high]), [multiplier])
    node = context.affine(node, 1, -given.zero_point, "centred")
    rank = len(kernel)
    op = AveragePool(kernel, (1,) * rank, (0,) * (2 * rank))
    channels = context.graph.types[node].shape[0]
    node = context.emit(op, (node,), (channels,) + (1,) * rank)
    node = multiplied(context, node, [multiplier], unit=Fraction(count))
    node = clipped(context, node, result)
    return Activation(context.reshaped(node, sample(shape)), shape, result)


@handles("REDUCE_MAX", supported="int8, over constant axes other than the batch")
def reduce_max(context: OperatorContext) -> Activation:
    x, given = context.integers(0)
    context.same_quantization(given)
    node, kernel, shape = _reduction(context, x)
    rank = len(kernel)
    op = MaxPool(kernel, (1,) * rank, (0,) * (2 * rank))
    channels = context.graph.types[node].shape[0]
    node = context.emit(op, (node,), (channels,) + (1,) * rank)
    return context.result(context.reshaped(node, sample(shape)), x, shape)


def clipped_only(context: OperatorContext, node: str) -> str:
    """Integers of the result's own zero point, clipped to its fused activation."""
    result = context.quantization()
    shifted = context.affine(node, 1, -result.zero_point, "centred")
    return clipped(context, shifted, result, context.fused())


def _window(context: OperatorContext, x: Activation) -> tuple[tuple[int, int], Window]:
    size = context.image(x)
    given = x.quantization
    assert given is not None  # the callers asked for integers
    context.same_quantization(given)
    kernel = context.integer("FilterHeight"), context.integer("FilterWidth")
    area = window(context, size[:2], kernel, dilated=False)
    context.check_shape((1, *area.result, size[2]))
    return kernel, area


def _reduction(
    context: OperatorContext, x: Activation
) -> tuple[str, tuple[int, ...], tuple[int, ...]]:
    """The operand as [channels, reduced axes], the size of these, and the result's shape."""
    given = {context.axis(int(axis), x.shape) for axis in context.whole_numbers(1).ravel()}
    # The batch has one element, unless a reshape has used its axis.
    reduced = [axis for axis in sorted(given) if x.shape[axis] > 1]
    keep = context.integer("KeepDims")
    shape = tuple(
        1 if axis in given else size
        for axis, size in enumerate(x.shape)
        if keep or axis not in given
    )
    context.check_shape(shape)
    if not given:
        raise context.unsupported("the mean over no axis", "remove the operator")
    dropped = len(x.shape) - len(sample(x.shape))
    inner = [axis - dropped for axis in reduced]
    kernel = tuple(x.shape[axis] for axis in reduced) or (1,)
    kept = [axis for axis in range(len(sample(x.shape))) if axis not in inner]
    node = context.permuted(x.node, (*kept, *inner), "channels_first")
    channels = prod(sample(x.shape)) // prod(kernel)
    if len(kernel) > 2:
        raise context.unsupported(f"the mean over {len(kernel)} axes", REQUANTIZE)
    return context.reshaped(node, (channels, *kernel)), kernel, shape
