"""Exact arithmetic on constants, and constants as weights."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from nn2rtl.frontend.context import MAX_EXACT, MAX_WEIGHTS, NodeContext, shown
from nn2rtl.frontend.grids import on_common_grid
from nn2rtl.frontend.source import Array, is_integral
from nn2rtl.frontend.values import Constant, Tensor
from nn2rtl.ir.exact import exact_sqrt
from nn2rtl.ir.types import ExactArray, IntArray, IntType, QuantizedConstant, exact_array

MAX_WEIGHT_BITS = 16
_INT16 = 1 << 15
_INT64 = 1 << 63
_MAX_POWER = 16
_MAX_BITS = 4096  # of numerators and denominators


def as_exact(values: Any) -> ExactArray:
    """An array of Fractions from the result of arithmetic, which numpy may have unwrapped."""
    return np.asarray(values, dtype=object)


def arithmetic(context: NodeContext) -> Constant | QuantizedConstant:
    """Add, Sub, Mul or Div of two constants."""
    scaled = _rescaled(context)
    if scaled is not None:
        return scaled
    left, right = context.numbers(0), context.numbers(1)
    try:
        shape = np.broadcast_shapes(left.shape, right.shape)
    except ValueError:
        raise context.invalid(
            f"shapes {list(left.shape)} and {list(right.shape)} do not broadcast"
        ) from None
    if int(np.prod([float(size) for size in shape])) > MAX_EXACT:
        raise context.unsupported(f"a constant of shape {list(shape)} is too large")
    a, b = context.exact(0), context.exact(1)
    if context.node.op == "Div" and any(value == 0 for value in b.ravel()):
        raise context.invalid("division by zero")
    operations: dict[str, Callable[[], Any]] = {
        "Add": lambda: a + b,
        "Sub": lambda: a - b,
        "Mul": lambda: a * b,
        "Div": lambda: a / b,
    }
    result = _bounded(context, as_exact(operations[context.node.op]()))
    if is_integral(left) and is_integral(right):  # integers divide towards zero
        return Constant(_int64(context, result).reshape(shape))
    return Constant(result)


def _int64(context: NodeContext, values: ExactArray) -> IntArray:
    """Numbers without their fractions, of an element type that says that they are integers."""
    whole = [int(value) for value in values.ravel()]
    if any(not -_INT64 <= value < _INT64 for value in whole):
        raise context.unsupported("its result does not fit 64 bits", "fold constants")
    return np.array(whole, dtype=np.int64)


def _rescaled(context: NodeContext) -> QuantizedConstant | None:
    """A quantized constant times or by positive numbers that follow its shape stays one."""
    left, right = context.value(0), context.value(1)
    if context.node.op == "Mul" and not isinstance(left, QuantizedConstant):
        left, right = right, left
    if context.node.op not in ("Mul", "Div") or not isinstance(left, QuantizedConstant):
        return None
    if not isinstance(right, Constant):
        return None
    factor = context.to_exact(right.values)
    if any(value <= 0 for value in factor.ravel()) or factor.ndim > left.values.ndim:
        return None
    if factor.size == 1:
        factor = factor.reshape(())
    try:
        if np.broadcast_shapes(factor.shape, left.shape) != left.shape:
            return None
    except ValueError:
        return None
    scale = as_exact(left.scale * factor if context.node.op == "Mul" else left.scale / factor)
    return QuantizedConstant(left.values, full_rank(scale, left.shape), left.zero_point, left.type)


def power(context: NodeContext, exponent: Fraction) -> Constant:
    """A constant to the power of a half or of a small integer."""
    base = context.exact(0)
    if exponent == Fraction(1, 2):
        if any(value < 0 for value in base.ravel()):
            raise context.invalid("square root of a negative number")
        roots = np.empty(base.shape, dtype=object)
        roots.ravel()[:] = [exact_sqrt(value) for value in base.ravel()]
        return Constant(roots)
    if exponent.denominator != 1 or abs(exponent) > _MAX_POWER:
        raise context.unsupported(
            f"exponent {shown(exponent)} of a constant",
            "use 0.5 or a small integer, or fold constants",
        )
    if exponent < 0 and any(value == 0 for value in base.ravel()):
        raise context.invalid("negative power of zero")
    return Constant(_bounded(context, as_exact(base ** int(exponent))))


def _bounded(context: NodeContext, values: ExactArray) -> ExactArray:
    """The values, unless repeated products have made them unreasonably long."""
    for value in values.ravel():
        if max(value.numerator.bit_length(), value.denominator.bit_length()) > _MAX_BITS:
            raise context.unsupported("its exact result has too many digits", "fold constants")
    return values


def full_rank(values: ExactArray, shape: tuple[int, ...]) -> ExactArray:
    """A scale or zero point with as many axes as its tensor, or none if it is one number."""
    if values.size == 1:
        return values.reshape(())
    return values.reshape((1,) * (len(shape) - values.ndim) + values.shape)


def rearranged(
    constant: QuantizedConstant, rearrange: Callable[[Array], Array]
) -> QuantizedConstant:
    """A quantized constant with moved elements; scale and zero point follow.

    Parameters
    ----------
    rearrange : callable
        Transposes or reshapes an array of the constant's shape.
    """

    def follow(parameter: ExactArray) -> ExactArray:
        if parameter.size == 1:
            return parameter
        # Which parameter belongs to each element, then the axes along which it does not change.
        index = np.arange(parameter.size).reshape(parameter.shape)
        moved = rearrange(np.broadcast_to(index, constant.shape))
        for axis in range(moved.ndim):
            first = np.take(moved, [0], axis)
            if np.all(moved == first):
                moved = first
        return as_exact(parameter.ravel()[moved])

    values: IntArray = np.ascontiguousarray(rearrange(constant.values))
    return QuantizedConstant(
        values.reshape(rearrange(constant.values).shape),
        follow(constant.scale),
        follow(constant.zero_point),
        constant.type,
    )


def weight_of(context: NodeContext, index: int, channel_axis: int) -> QuantizedConstant:
    """A constant operand as integer weights with a scale for each output channel.

    Parameters
    ----------
    index : int
        Which operand.
    channel_axis : int
        Axis of the output channels, the only one along which the scale may vary.
    """
    value = context.value(index)
    if isinstance(value, Tensor):
        raise context.unsupported(
            "its weight is computed from the network's input",
            "products of two activations (attention, dynamic weights) are not supported",
        )
    weight = _integer_weight(context, value) if isinstance(value, Constant) else value
    if 0 in weight.shape:
        raise context.invalid(f"its weight has the empty shape {list(weight.shape)}")
    for parameter, what in ((weight.scale, "scale"), (weight.zero_point, "zero point")):
        others = [size for axis, size in enumerate(parameter.shape) if axis != channel_axis]
        if any(size != 1 for size in others):
            common = on_common_grid(weight, channel_axis)
            if common is not None and common.type.width <= MAX_WEIGHT_BITS:
                return common
            raise context.unsupported(
                f"the {what} of its weight varies within an output channel "
                f"(shape {list(parameter.shape)}), without a common grid of {MAX_WEIGHT_BITS} bits",
                "quantize weights per tensor or per output channel",
            )
    if weight.type.width > MAX_WEIGHT_BITS:
        raise context.unsupported(
            f"its weight has {weight.type.width} bits",
            f"quantize weights to {MAX_WEIGHT_BITS} bits or fewer",
        )
    return weight


def _integer_weight(context: NodeContext, constant: Constant) -> QuantizedConstant:
    values = constant.values
    if values.size > MAX_WEIGHTS:
        raise context.unsupported(f"{values.size} weights are too many")
    if values.dtype == object:
        whole = all(v.denominator == 1 and abs(v) <= _INT16 for v in values.ravel())
    else:
        finite = np.nan_to_num(values.astype(np.float64), nan=0.5, posinf=0.5, neginf=0.5)
        whole = bool(np.all(finite == np.rint(finite)))
        whole = whole and bool(np.all((finite >= -_INT16) & (finite < _INT16)))
    if not whole:
        raise context.unsupported(
            "its weight has no quantizer",
            "train with quantized weights and export them with their quantizers "
            "(docs/frameworks.md says how)",
        )
    integers: IntArray = values.astype(np.int64)
    low, high = (int(integers.min()), int(integers.max())) if integers.size else (0, 0)
    return QuantizedConstant(
        integers, exact_array(1), exact_array(0), IntType(min(low, 0), max(high, 0))
    )
