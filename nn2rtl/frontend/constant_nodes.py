"""Nodes that compute constants: shapes, indices and parameters."""

from __future__ import annotations

import operator
from collections.abc import Callable
from math import ceil, prod
from typing import Any

import numpy as np

from nn2rtl.frontend.constants import as_exact
from nn2rtl.frontend.context import MAX_EXACT, NodeContext
from nn2rtl.frontend.integers import whole
from nn2rtl.frontend.onnx_tensors import integer_type, numpy_type, type_name
from nn2rtl.frontend.registry import handles
from nn2rtl.frontend.source import Array, is_integral
from nn2rtl.frontend.values import Constant, Tensor, Value
from nn2rtl.ir.model import Quantize, Round, Rounding
from nn2rtl.ir.types import IntType, QuantizedConstant, exact_array

_NARROW = 16  # bits of an integer type that a cast saturates to


@handles("Constant", supported="dense tensors, numbers and lists of numbers")
def constant(context: NodeContext) -> Value:
    if context.has("value"):
        return context.constant_attribute("value")
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


@handles("Range", supported="constants")
def range_(context: NodeContext) -> Value:
    ends = [context.exact(index) for index in range(3)]
    if any(end.size != 1 for end in ends) or ends[2].item() == 0:
        raise context.invalid("its start, limit and delta are not three numbers")
    start, limit, delta = (end.item() for end in ends)
    count = max(ceil((limit - start) / delta), 0)
    if count > MAX_EXACT:
        raise context.unsupported(f"a constant of {count} numbers is too large")
    values = as_exact([start + index * delta for index in range(count)])
    if all(is_integral(context.numbers(index)) for index in range(3)):
        return Constant(np.array([int(value) for value in values], dtype=np.int64))
    return Constant(values)


_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "Equal": operator.eq,
    "Greater": operator.gt,
    "GreaterOrEqual": operator.ge,
    "Less": operator.lt,
    "LessOrEqual": operator.le,
    "And": operator.and_,
    "Or": operator.or_,
}


@handles(*_COMPARISONS, supported="constants")
def compare(context: NodeContext) -> Value:
    _only_constants(context)
    left, right = context.numbers(0), context.numbers(1)
    _broadcast_shape(context, left, right)
    if context.node.op not in ("And", "Or"):
        left, right = context.exact(0), context.exact(1)
    elif left.dtype != np.bool_ or right.dtype != np.bool_:
        raise context.invalid("its operands are not booleans")
    result = _COMPARISONS[context.node.op](left, right)
    return Constant(np.asarray(result, dtype=np.bool_))


@handles("Not", supported="constants")
def not_(context: NodeContext) -> Value:
    _only_constants(context)
    return Constant(np.logical_not(context.numbers(0).astype(np.bool_)))


@handles("Where", supported="constants")
def where(context: NodeContext) -> Value:
    _only_constants(context)
    condition, left, right = (context.numbers(index) for index in range(3))
    _broadcast_shape(context, condition, left, right)
    return Constant(np.where(condition.astype(np.bool_), left, right))


def _only_constants(context: NodeContext) -> None:
    if any(isinstance(value, Tensor) for value in context.inputs):
        raise context.unsupported(
            "the choice depends on activations",
            "use Relu, Clip, Min or Max instead of a comparison",
        )


def _broadcast_shape(context: NodeContext, *values: Array) -> None:
    try:
        shape = np.broadcast_shapes(*(value.shape for value in values))
    except ValueError:
        shapes = [list(value.shape) for value in values]
        raise context.invalid(f"shapes {shapes} do not broadcast") from None
    if prod(max(size, 1) for size in shape) > MAX_EXACT:
        raise context.unsupported(f"a constant of shape {list(shape)} is too large")


@handles(
    "Cast",
    supported="constants and tensors; to an integer type it drops the fraction, and to one of up "
    "to 16 bits it saturates",
)
def cast(context: NodeContext) -> Value:
    value = context.value(0)
    number = context.integer("to", 0)
    target, span = numpy_type(number), integer_type(number)
    if target is None:
        raise context.unsupported(f"element type {number}", "cast to a float or integer type")
    if target.kind == "f" and isinstance(value, Tensor | QuantizedConstant):
        return value
    if isinstance(value, Tensor):
        if span is None:
            raise context.unsupported(
                f"an activation becomes {target.name}", "cast to a float or integer type"
            )
        return _whole_tensor(context, value, span)
    values = context.numbers(0)
    if values.dtype == object and target.kind == "f":
        return Constant(as_exact(values))
    if span is not None:
        context.to_exact(values)  # NaN and infinity have no integer
        integers = [int(number) for number in values.ravel().tolist()]
        if any(not span.low <= number <= span.high for number in integers):
            raise context.invalid(f"a number does not fit {type_name(number)}")
        return Constant(np.array(integers, dtype=target).reshape(values.shape), span)
    with np.errstate(over="ignore"):
        return Constant(np.asarray(values.astype(target)))


def _whole_tensor(context: NodeContext, x: Tensor, span: IntType) -> Tensor:
    integers = whole(context.graph, x.name)
    if span.width <= _NARROW:
        if integers is not None and integers.within(span.low, span.high):
            return x
        op = Quantize(exact_array(1), exact_array(0), span.low, span.high, Rounding.DOWN)
        return context.emit(op, (x,), x.shape)
    return x if integers is not None else context.emit(Round(Rounding.DOWN), (x,), x.shape)
