"""Nodes that compute constants: shapes, indices and parameters."""

from __future__ import annotations

from math import prod

import numpy as np

from nn2rtl.frontend.constants import as_exact
from nn2rtl.frontend.context import MAX_EXACT, NodeContext
from nn2rtl.frontend.onnx_tensors import numpy_type
from nn2rtl.frontend.registry import handles
from nn2rtl.frontend.shapes import axes_of, axis_of
from nn2rtl.frontend.source import Array, is_integral
from nn2rtl.frontend.values import Constant, Tensor, Value


@handles("Constant", supported="dense tensors, numbers and lists of numbers")
def constant(context: NodeContext) -> Value:
    if context.has("value"):
        return Constant(context.tensor_attribute("value"))
    if context.has("value_int"):
        return Constant(np.array(context.integer("value_int", 0), dtype=np.int64))
    if context.has("value_float"):
        return Constant(np.array(context.real("value_float", 0.0), dtype=np.float32))
    if context.has("value_ints"):
        return Constant(np.array(context.integers("value_ints"), dtype=np.int64))
    floats = context.node.attributes.get("value_floats")
    if isinstance(floats, tuple) and all(isinstance(number, float) for number in floats):
        return Constant(np.array(floats, dtype=np.float32))
    raise context.unsupported("it holds neither a tensor nor numbers", "use a dense tensor")


@handles("ConstantOfShape", supported="constant shapes")
def constant_of_shape(context: NodeContext) -> Value:
    shape = context.whole_numbers(0)
    fill: Array = np.zeros(1, dtype=np.float32)
    if context.has("value"):
        fill = context.tensor_attribute("value")
    if any(size < 0 for size in shape) or fill.size != 1 or len(shape) > 16:
        raise context.invalid(f"cannot fill shape {list(shape)} with {fill.size} numbers")
    if prod(max(size, 1) for size in shape) > MAX_EXACT:
        raise context.unsupported(f"a constant of shape {list(shape)} is too large")
    return Constant(np.full(shape, fill.reshape(-1)[0]))


@handles("Shape", supported="any tensor; its batch is one")
def shape(context: NodeContext) -> Value:
    value = context.value(0)
    sizes = value.batched if isinstance(value, Tensor) else value.shape
    start = context.integer("start", 0)
    end = context.integer("end", len(sizes))
    return Constant(np.array(sizes[start:end], dtype=np.int64))


@handles("Gather", supported="constants, such as shapes")
def gather(context: NodeContext) -> Value:
    values, indices = context.numbers(0), context.numbers(1)
    axis = axis_of(context, context.integer("axis", 0), values.ndim)
    size = values.shape[axis]
    if not is_integral(indices) or np.any((indices < -size) | (indices >= size)):
        raise context.invalid(f"its indices do not fit axis {axis} of size {size}")
    if indices.size * max(values.size // max(size, 1), 1) > MAX_EXACT:
        raise context.unsupported("its result is too large")
    return Constant(np.asarray(np.take(values, indices, axis)))


@handles("Concat", supported="constants, such as shapes")
def concat(context: NodeContext) -> Value:
    parts = [context.numbers(index) for index in range(len(context.inputs))]
    if not parts or not parts[0].ndim:
        raise context.invalid("it has nothing to join")
    axis = axis_of(context, context.integer("axis", 0), parts[0].ndim)
    if sum(part.size for part in parts) > MAX_EXACT:
        raise context.unsupported("its result is too large")
    try:
        return Constant(np.concatenate(parts, axis))
    except ValueError:
        shapes = [list(part.shape) for part in parts[:4]]
        raise context.invalid(f"shapes {shapes} do not join along axis {axis}") from None


@handles("Slice", supported="constants, such as shapes")
def slice_(context: NodeContext) -> Value:
    values = context.numbers(0)
    steps: tuple[int, ...] | None = None
    if context.opset < 10:
        starts, ends = context.integers("starts"), context.integers("ends")
        axes = context.integers("axes")
    else:
        starts, ends = context.whole_numbers(1), context.whole_numbers(2)
        axes = None if context.optional(3) is None else context.whole_numbers(3)
        steps = None if context.optional(4) is None else context.whole_numbers(4)
    if starts is None or ends is None:
        raise context.invalid("its starts or ends are missing")
    axes = tuple(range(len(starts))) if axes is None else axes
    steps = (1,) * len(starts) if steps is None else steps
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise context.invalid("its starts, ends, axes and steps do not fit each other")
    axes_of(context, axes, values.ndim)
    cuts = [slice(None)] * values.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps):
        size = values.shape[axis % values.ndim]
        # Python reads an end below -size as "before the first" only for positive steps.
        last = None if step < 0 and end < -size else end
        cuts[axis % values.ndim] = slice(start, last, step)
    return Constant(np.asarray(values[tuple(cuts)]))


@handles("Cast", supported="constants; tensors to a float type")
def cast(context: NodeContext) -> Value:
    value = context.value(0)
    number = context.integer("to", 0)
    target = numpy_type(number)
    if target is None:
        raise context.unsupported(f"element type {number}", "cast to a float or integer type")
    if isinstance(value, Tensor):
        if target.kind != "f":
            raise context.unsupported(
                f"an activation becomes {target.name}", "quantize activations with Quant"
            )
        return value
    values = context.numbers(0)
    if values.dtype == object and target.kind == "f":
        return Constant(as_exact(values))
    if target.kind in "iu":
        context.to_exact(values)  # NaN and infinity have no integer
        whole = [int(number) for number in values.ravel().tolist()]
        bits = 8 * target.itemsize - (target.kind == "i")
        least = -(1 << bits) if target.kind == "i" else 0
        if any(not least <= number < 1 << bits for number in whole):
            raise context.invalid(f"a number does not fit {target.name}")
        return Constant(np.array(whole, dtype=target).reshape(values.shape))
    with np.errstate(over="ignore"):
        return Constant(np.asarray(values.astype(target)))
