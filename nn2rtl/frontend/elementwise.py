"""Arithmetic with constants, sums of two tensors, and functions of one number."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from nn2rtl.frontend.constants import arithmetic, as_exact, power
from nn2rtl.frontend.context import NodeContext
from nn2rtl.frontend.registry import handles
from nn2rtl.frontend.shapes import fit
from nn2rtl.frontend.source import Array
from nn2rtl.frontend.values import Constant, Tensor, Value
from nn2rtl.ir.model import Add, Affine, Elementwise, Function
from nn2rtl.ir.types import ExactArray, exact_array

_FUNCTIONS = {"Relu": Function.RELU, "Sigmoid": Function.SIGMOID, "Tanh": Function.TANH}
_UNBOUNDED = float(np.finfo(np.float32).max)
_ONE, _ZERO = exact_array(1), exact_array(0)


def _affine(context: NodeContext, x: Tensor, scale: ExactArray, offset: ExactArray) -> Tensor:
    return context.emit(Affine(scale, offset), (x,), x.shape)


def _operand(context: NodeContext, index: int, x: Tensor) -> ExactArray:
    return as_exact(fit(context, context.exact(index), x, "the constant"))


def _sum(context: NodeContext, a: Tensor, b: Tensor) -> Value:
    if a.name == b.name:
        return _affine(context, a, exact_array(2), _ZERO)
    if a.shape != b.shape:
        raise context.unsupported(
            f"tensors of different shapes {list(a.batched)} and {list(b.batched)}",
            "only constants are broadcast",
        )
    return context.emit(Add(), (a, b), a.shape)


@handles("Add", supported="two tensors of one shape, or a tensor and a constant; constants")
def add(context: NodeContext) -> Value:
    a, b = context.value(0), context.value(1)
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return _sum(context, a, b)
    if isinstance(a, Tensor):
        return _affine(context, a, _ONE, _operand(context, 1, a))
    if isinstance(b, Tensor):
        return _affine(context, b, _ONE, _operand(context, 0, b))
    return arithmetic(context)


@handles("Sub", supported="two tensors of one shape, or a tensor and a constant; constants")
def sub(context: NodeContext) -> Value:
    a, b = context.value(0), context.value(1)
    minus = exact_array(-1)
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return _sum(context, a, _affine(context, b, minus, _ZERO))
    if isinstance(a, Tensor):
        return _affine(context, a, _ONE, as_exact(-_operand(context, 1, a)))
    if isinstance(b, Tensor):
        return _affine(context, b, minus, _operand(context, 0, b))
    return arithmetic(context)


@handles("Mul", supported="a tensor and a constant; constants")
def mul(context: NodeContext) -> Value:
    a, b = context.value(0), context.value(1)
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        raise context.unsupported(
            "the product of two activations", "only products with constants are supported"
        )
    if isinstance(a, Tensor):
        return _affine(context, a, _operand(context, 1, a), _ZERO)
    if isinstance(b, Tensor):
        return _affine(context, b, _operand(context, 0, b), _ZERO)
    return arithmetic(context)


@handles("Div", supported="a tensor by a constant; constants")
def div(context: NodeContext) -> Value:
    a, b = context.value(0), context.value(1)
    if isinstance(b, Tensor):
        raise context.unsupported(
            "division by an activation", "only division by constants is supported"
        )
    if isinstance(a, Tensor):
        divisor = _operand(context, 1, a)
        if any(number == 0 for number in divisor.ravel()):
            raise context.invalid("division by zero")
        return _affine(context, a, as_exact(1 / divisor), _ZERO)
    return arithmetic(context)


@handles("Neg", supported="tensors and constants")
def neg(context: NodeContext) -> Value:
    x = context.value(0)
    if isinstance(x, Tensor):
        return _affine(context, x, exact_array(-1), _ZERO)
    return Constant(as_exact(-context.exact(0)))


@handles("Pow", supported="constants to the power of 0.5 or a small integer")
def pow_(context: NodeContext) -> Value:
    exponent = context.exact(1)
    if exponent.size != 1:
        raise context.unsupported("several exponents", "use one exponent")
    if isinstance(context.value(0), Tensor):
        raise context.unsupported(
            "the power of an activation", "only constants can be raised to a power"
        )
    return power(context, exponent.reshape(-1)[0])


@handles("Sqrt", supported="constants")
def sqrt(context: NodeContext) -> Value:
    if isinstance(context.value(0), Tensor):
        raise context.unsupported("the root of an activation", "only constants are supported")
    return power(context, Fraction(1, 2))


@handles("Relu", "Sigmoid", "Tanh", supported="tensors")
def function(context: NodeContext) -> Value:
    x = context.tensor(0)
    return context.emit(Elementwise(_FUNCTIONS[context.node.op]), (x,), x.shape)


@handles("Clip", supported="tensors, with constant scalar bounds")
def clip(context: NodeContext) -> Value:
    x = context.tensor(0)
    low, high = (_bound(context, index, name) for index, name in ((1, "min"), (2, "max")))
    minus = exact_array(-1)
    if low is not None:  # max(x, low) = relu(x - low) + low
        shifted = x if low == 0 else _affine(context, x, _ONE, exact_array(-low))
        x = context.emit(Elementwise(Function.RELU), (shifted,), x.shape)
        x = x if low == 0 else _affine(context, x, _ONE, exact_array(low))
    if high is not None:  # min(x, high) = high - relu(high - x)
        room = _affine(context, x, minus, exact_array(high))
        room = context.emit(Elementwise(Function.RELU), (room,), x.shape)
        x = _affine(context, room, minus, exact_array(high))
    return x


def _bound(context: NodeContext, index: int, name: str) -> Fraction | None:
    """A bound of Clip: an attribute up to opset 10, then an input; None if there is none."""
    if context.opset < 11:
        if not context.has(name):
            return None
        number: float | Fraction = context.real(name, 0.0)
    else:
        if context.optional(index) is None:
            return None
        values: Array = context.numbers(index)
        if values.size != 1:
            raise context.invalid(f"bound {name!r} has shape {list(values.shape)}")
        number = values.reshape(-1)[0]
        number = number if isinstance(number, Fraction) else np.asarray(number).item()
        if number != number:
            raise context.invalid(f"bound {name!r} is not a number")
    if isinstance(number, float) and abs(number) >= _UNBOUNDED:
        if (number > 0) != (name == "max"):
            raise context.invalid(f"bound {name!r} is {number}")
        return None
    return Fraction(number)
