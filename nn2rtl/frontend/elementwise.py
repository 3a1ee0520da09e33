"""Arithmetic: sums, differences, products and quotients of tensors and constants."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from nn2rtl.frontend.constants import arithmetic, as_exact, power
from nn2rtl.frontend.context import NodeContext, shown
from nn2rtl.frontend.gathers import broadcast
from nn2rtl.frontend.registry import handles
from nn2rtl.frontend.shapes import fit
from nn2rtl.frontend.source import is_integral
from nn2rtl.frontend.values import Constant, Tensor, Value
from nn2rtl.ir.model import Add, Affine, Mul, Round, Rounding
from nn2rtl.ir.types import ExactArray, exact_array

_ZERO = exact_array(0)
_MAX_POWER = 8


def affine(
    context: NodeContext,
    x: Tensor,
    scale: ExactArray | Fraction | int = 1,
    offset: ExactArray | Fraction | int = 0,
) -> Tensor:
    """``scale * x + offset``; nothing is emitted where that is x."""
    factor, shift = as_exact(scale), as_exact(offset)
    if np.all(factor == 1) and np.all(shift == 0):
        return x
    return context.emit(Affine(exact_array(factor), exact_array(shift)), (x,), x.shape)


def total(context: NodeContext, a: Tensor, b: Tensor) -> Tensor:
    """The sum of two tensors."""
    a, b = _alike(context, a, b)
    if a.name == b.name:
        return affine(context, a, 2)
    return context.emit(Add(), (a, b), a.shape)


def product(context: NodeContext, a: Tensor, b: Tensor) -> Tensor:
    """The product, element by element, of two tensors."""
    a, b = _alike(context, a, b)
    return context.emit(Mul(), (a, b), a.shape)


def _alike(context: NodeContext, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Both tensors under the shape that they broadcast to."""
    if a.rows != b.rows:
        raise context.unsupported(
            f"tensors {list(a.batched)} and {list(b.batched)}, of which one has no batch dimension",
            "keep the batch dimension first, with size 1 or -1",
        )
    return broadcast(context, a, b.batched), broadcast(context, b, a.batched)


def with_constant(context: NodeContext, x: Tensor, index: int) -> tuple[Tensor, ExactArray]:
    """A tensor and a constant operand that broadcasts to it, which may repeat the tensor."""
    values = context.exact(index)
    x = broadcast(context, x, values.shape)
    return x, as_exact(fit(context, values, x, "the constant"))


_PAIR = "two tensors, or a tensor and a constant, with broadcasting; constants"


@handles("Add", supported=_PAIR, on_rows=True)
def add(context: NodeContext) -> Value:
    a, b = context.value(0), context.value(1)
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return total(context, a, b)
    if isinstance(a, Tensor):
        x, offset = with_constant(context, a, 1)
    elif isinstance(b, Tensor):
        x, offset = with_constant(context, b, 0)
    else:
        return arithmetic(context)
    return context.emit(Affine(exact_array(1), offset), (x,), x.shape)


@handles("Sub", supported=_PAIR, on_rows=True)
def sub(context: NodeContext) -> Value:
    a, b = context.value(0), context.value(1)
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return total(context, a, affine(context, b, -1))
    if isinstance(a, Tensor):
        x, offset = with_constant(context, a, 1)
        return context.emit(Affine(exact_array(1), as_exact(-offset)), (x,), x.shape)
    if isinstance(b, Tensor):
        x, offset = with_constant(context, b, 0)
        return context.emit(Affine(exact_array(-1), offset), (x,), x.shape)
    return arithmetic(context)


@handles("Mul", supported=_PAIR, on_rows=True)
def mul(context: NodeContext) -> Value:
    a, b = context.value(0), context.value(1)
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return product(context, a, b)
    if isinstance(a, Tensor):
        x, scale = with_constant(context, a, 1)
    elif isinstance(b, Tensor):
        x, scale = with_constant(context, b, 0)
    else:
        return arithmetic(context)
    return context.emit(Affine(scale, _ZERO), (x,), x.shape)


@handles("Div", supported="a tensor by a constant, with broadcasting; constants", on_rows=True)
def div(context: NodeContext) -> Value:
    a, b = context.value(0), context.value(1)
    if isinstance(b, Tensor):
        raise context.unsupported(
            "division by an activation", "only division by constants is supported"
        )
    if isinstance(a, Tensor):
        x, divisor = with_constant(context, a, 1)
        if any(number == 0 for number in divisor.ravel()):
            raise context.invalid("division by zero")
        y = context.emit(Affine(as_exact(1 / divisor), _ZERO), (x,), x.shape)
        if is_integral(context.numbers(1)):  # both are, and integers divide towards zero
            return context.emit(Round(Rounding.DOWN), (y,), y.shape)
        return y
    return arithmetic(context)


@handles("Sum", "Mean", supported="any number of tensors and constants, with broadcasting")
def several(context: NodeContext) -> Value:
    values = [context.value(index) for index in range(len(context.inputs))]
    tensors = [value for value in values if isinstance(value, Tensor)]
    if not tensors:
        raise context.unsupported("it has no tensor", "fold constants before the export")
    result = tensors[0]
    for tensor in tensors[1:]:
        result = total(context, result, tensor)
    for index, value in enumerate(values):
        if not isinstance(value, Tensor):
            result, offset = with_constant(context, result, index)
            result = affine(context, result, 1, offset)
    if context.node.op == "Mean":
        result = affine(context, result, Fraction(1, len(values)))
    return result


@handles("Neg", supported="tensors and constants")
def neg(context: NodeContext) -> Value:
    x = context.value(0)
    if isinstance(x, Tensor):
        return affine(context, x, -1)
    if is_integral(context.numbers(0)):
        return Constant(-context.numbers(0).astype(np.int64))
    return Constant(as_exact(-context.exact(0)))


@handles("Pow", supported="tensors to a whole power up to 8; constants also to 0.5")
def pow_(context: NodeContext) -> Value:
    x, exponents = context.value(0), context.exact(1)
    if exponents.size != 1:
        raise context.unsupported("several exponents", "use one exponent")
    exponent = exponents.reshape(-1)[0]
    if not isinstance(x, Tensor):
        return power(context, exponent)
    if exponent.denominator != 1 or not 1 <= exponent <= _MAX_POWER:
        raise context.unsupported(
            f"an activation to the power of {shown(exponent)}",
            f"use a whole exponent from 1 to {_MAX_POWER}",
        )
    result = x
    for _ in range(int(exponent) - 1):
        result = product(context, result, x)
    return result


@handles("Sqrt", supported="constants")
def sqrt(context: NodeContext) -> Value:
    if isinstance(context.value(0), Tensor):
        raise context.unsupported("the root of an activation", "only constants are supported")
    return power(context, Fraction(1, 2))
