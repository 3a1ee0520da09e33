"""TensorFlow Lite's operators on shapes: reshaping, transposing, joining, padding."""

from __future__ import annotations

from fractions import Fraction
from math import prod

import numpy as np

from nn2rtl.frontend.tflite_context import OperatorContext, handles
from nn2rtl.frontend.tflite_moves import (
    computed,
    pad_sizes,
    places,
    rearranged,
    reshaped,
    single,
)
from nn2rtl.frontend.tflite_values import (
    REQUANTIZE,
    Activation,
    Constant,
    Value,
    quantization_of,
    sample,
)
from nn2rtl.ir.model import Concat, Pad


@handles("RESHAPE", supported="constant shape, with at most one -1", behind_tail=True)
def reshape(context: OperatorContext) -> Value:
    x = context.value(0)
    if context.optional(1) is not None:
        wanted = [int(size) for size in context.whole_numbers(1).ravel()]
    else:
        option = context.operator.options.get("NewShape", ())
        wanted = list(option) if isinstance(option, tuple) else []
    size = prod(x.shape)
    if wanted.count(-1) == 1:
        known = prod(n for n in wanted if n != -1)
        wanted[wanted.index(-1)] = size // known if known > 0 else 0
    shape = tuple(wanted)
    if prod(shape) != size or any(n < 1 for n in shape):
        raise context.invalid(f"shape {list(shape)} for an operand of shape {list(x.shape)}")
    return reshaped(context, x, shape)


@handles("SQUEEZE", "EXPAND_DIMS", supported="constant axes", behind_tail=True)
def insert_or_remove_axes(context: OperatorContext) -> Value:
    x = context.value(0)
    sizes = list(x.shape)
    if context.operator.op == "EXPAND_DIMS":
        axis = int(single(context, 1))
        sizes.insert(context.axis(axis, (*sizes, 1)), 1)
        return reshaped(context, x, tuple(sizes))
    option = context.operator.options["SqueezeDims"]
    axes = (
        {context.axis(int(axis), x.shape) for axis in option} if isinstance(option, tuple) else ()
    )
    removed = axes or {axis for axis, size in enumerate(sizes) if size == 1}
    if any(sizes[axis] != 1 for axis in removed):
        raise context.invalid(f"axes {sorted(removed)} of shape {list(x.shape)}")
    shape = tuple(size for axis, size in enumerate(sizes) if axis not in removed)
    return reshaped(context, x, shape)


@handles("TRANSPOSE", supported="constant permutation")
def transpose(context: OperatorContext) -> Value:
    x = context.value(0)
    rank = len(x.shape)
    permutation = tuple(
        context.axis(int(axis), x.shape) for axis in context.whole_numbers(1).ravel()
    )
    if sorted(permutation) != list(range(rank)):
        raise context.invalid(f"permutation {list(permutation)} of {rank} axes")
    shape = tuple(x.shape[axis] for axis in permutation)
    dropped = rank - len(sample(x.shape))
    if isinstance(x, Activation) and permutation[:dropped] == tuple(range(dropped)):
        inner = tuple(axis - dropped for axis in permutation[dropped:])
        node = context.permuted(x.node, inner, "")
        return context.result(context.reshaped(node, sample(shape)), x, context.check_shape(shape))
    return rearranged(context, x, places(context, x).transpose(permutation))


@handles("CONCATENATION", supported="int8 of one quantization, any axis but the batch")
def concatenation(context: OperatorContext) -> Value:
    values = [context.value(index) for index in range(len(context.inputs))]
    if not values or context.fused() != "NONE":
        raise context.unsupported("no operands, or a fused activation")
    axis = context.axis(context.integer("Axis"), values[0].shape)
    rest = {(*v.shape[:axis], *v.shape[axis + 1 :]) for v in values}
    if len(rest) > 1 or len({len(v.shape) for v in values}) > 1:
        raise context.invalid(f"operands of shapes {[list(v.shape) for v in values]}")
    constants = [value.values for value in values if isinstance(value, Constant)]
    if len(constants) == len(values):
        return computed(context, np.concatenate(constants, axis=axis))
    if constants:
        raise context.unsupported("one operand is a constant", "pad the other one instead")
    tensors = [context.integers(index)[0] for index in range(len(values))]
    for tensor in tensors:
        assert tensor.quantization is not None
        context.same_quantization(tensor.quantization)
    total = sum(tensor.shape[axis] for tensor in tensors)
    shape = (*tensors[0].shape[:axis], total, *tensors[0].shape[axis + 1 :])
    if len(tensors) == 1:
        return context.result(tensors[0].node, tensors[0], context.check_shape(shape))
    inner = context.sample_axis(axis, tensors[0].shape)
    nodes = tuple(tensor.node for tensor in tensors)
    node = context.emit(Concat(inner), nodes, sample(context.check_shape(shape)))
    return context.result(node, tensors[0], shape)


@handles("PAD", "PADV2", supported="int8, constant sizes, any axis but the batch")
def pad(context: OperatorContext) -> Value:
    x, given = context.integers(0)
    context.same_quantization(given)
    sizes = pad_sizes(context, x)
    shape = tuple(int(n + before + after) for n, (before, after) in zip(x.shape, sizes))
    context.check_shape(shape)
    fill = given.zero_point
    if context.operator.op == "PADV2":
        constant = context.constant(2)
        if constant.data.type != "INT8" or quantization_of(constant.data) != given:
            raise context.unsupported("a fill value of another scale", REQUANTIZE)
        fill = int(single(context, 2))
    inner = sizes[len(x.shape) - len(sample(x.shape)) :]
    if len(inner) < len(sizes) and sizes[0].any():
        raise context.unsupported("it pads the batch dimension", "use another axis")
    if not sizes.any():
        return context.result(x.node, x, shape)
    pads = (*(int(n) for n in inner[:, 0]), *(int(n) for n in inner[:, 1]))
    node = context.emit(Pad(pads, Fraction(fill)), (x.node,), sample(shape))
    return context.result(node, x, shape)


@handles("SHAPE", supported="as a constant")
def shape_of(context: OperatorContext) -> Value:
    x = context.value(0)
    return computed(context, np.array(x.shape, dtype=np.int64))


@handles("PACK", supported="of constants")
def pack(context: OperatorContext) -> Value:
    values = [context.constant(index).values for index in range(len(context.inputs))]
    if not values or len({value.shape for value in values}) > 1:
        raise context.invalid("operands of several shapes, or none")
    axis = context.axis(context.integer("Axis"), (*values[0].shape, 1))
    return computed(context, np.stack(values, axis=axis))
