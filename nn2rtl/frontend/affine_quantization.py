"""Affine quantization as ONNX defines it: ``q = saturate(round(x / scale) + zero_point)``.

The integers of a quantized tensor are real numbers of the model graph that happen to be whole: a
quantizer's result, scaled by one over its scale and shifted by its zero point.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from nn2rtl.frontend.constants import as_exact
from nn2rtl.frontend.context import MAX_WEIGHTS, NodeContext, shown
from nn2rtl.frontend.quantization import quantize_constant
from nn2rtl.frontend.source import is_integral
from nn2rtl.frontend.values import Constant, Tensor, Value
from nn2rtl.ir.model import Affine, Quantize, Rounding
from nn2rtl.ir.types import ExactArray, IntArray, IntType, QuantizedConstant, exact_array

MAX_BITS = 16
_MERGEABLE = 1 << 16
_INT64 = 1 << 63
_FAR = 1 << (MAX_BITS + 2)  # beyond every integer of a quantizer, whatever its zero point


@dataclass(frozen=True, eq=False)
class Parameters:
    """Scale and zero point of a quantized tensor.

    Parameters
    ----------
    scale, zero_point : arrays of Fraction
        Numbers, or one-dimensional along an axis.
    """

    scale: ExactArray
    zero_point: ExactArray


def parameters(context: NodeContext, scale: int | None, zero_point: int) -> Parameters:
    """Scale and zero point from two operands; the zero point may be omitted.

    Parameters
    ----------
    scale, zero_point : int
        Which operands. Without a scale it is one.
    """
    scales = exact_array(1) if scale is None else context.exact(scale)
    zeros = exact_array(0) if context.optional(zero_point) is None else context.exact(zero_point)
    if scales.size == 0 or (scales.ndim > 1 and scales.size > 1):
        raise context.unsupported(
            f"a scale of shape {list(scales.shape)}", "quantize per tensor or per axis"
        )
    fits = zeros.size == 1 or (zeros.ndim == 1 and scales.size in (1, zeros.size))
    if not fits:
        raise context.invalid(
            f"zero point of shape {list(zeros.shape)} for scale of shape {list(scales.shape)}"
        )
    if any(zero.denominator != 1 for zero in zeros.ravel()):
        raise context.invalid("its zero point is not an integer")
    if any(number <= 0 for number in scales.ravel()):
        raise context.invalid(
            f"scale {shown(min(scales.ravel()))} is not positive",
            "calibrate or train again, or constrain scales to positive numbers",
        )
    return Parameters(scales, zeros)


def integers_of(value: Value | None) -> IntType | None:
    """Range of the element type of a constant of integers, such as a zero point."""
    if not isinstance(value, Constant) or not is_integral(value.values):
        return None
    if value.integers is not None:
        return value.integers
    dtype = value.values.dtype
    return IntType.of_width(8 * dtype.itemsize, dtype.kind == "i") if dtype.kind in "iu" else None


def quantize(
    context: NodeContext, x: Value, given: Parameters, span: IntType, axis: int = 1
) -> Tensor | QuantizedConstant:
    """The integers of a real tensor or constant, as numbers.

    Parameters
    ----------
    span : IntType
        Range that the integers saturate to.
    axis : int
        Axis of the file's tensor along which one-dimensional parameters vary.
    """
    if span.width > MAX_BITS:
        raise context.unsupported(
            f"quantization to {span.width} bits", f"quantize to {MAX_BITS} bits or fewer"
        )
    scale, zero = _placed(context, x, given, axis)
    if isinstance(x, Tensor):
        op = Quantize(scale, zero, span.low, span.high, Rounding.HALF_EVEN, zero_after=True)
        real = context.emit(op, (x,), x.shape)
        return merged_affine(context, real, as_exact(1 / scale), zero)
    values = x.values if isinstance(x, Constant) else x.exact()
    if values.size > MAX_WEIGHTS:
        raise context.unsupported(f"{values.size} constants are too many")
    if values.dtype.kind == "f" and not np.all(np.isfinite(values)):
        raise context.invalid(
            "the constant that it quantizes contains NaN or infinity", "repair the training"
        )
    rounded = quantize_constant(
        values, scale, exact_array(0), -_FAR, _FAR, Rounding.HALF_EVEN
    ) + zero.astype(np.int64)
    integers: IntArray = np.clip(rounded, span.low, span.high)
    return QuantizedConstant(integers, exact_array(1), exact_array(0), span)


def dequantize(
    context: NodeContext, x: Value, given: Parameters, axis: int = 1
) -> Tensor | QuantizedConstant:
    """The real numbers ``scale * (q - zero_point)`` that integers mean.

    Parameters
    ----------
    axis : int
        As for `quantize`.
    """
    scale, zero = _placed(context, x, given, axis)
    if isinstance(x, Tensor):
        return merged_affine(context, x, scale, as_exact(-scale * zero))
    integers = whole_constant(context, x)
    return QuantizedConstant(integers.values, scale, zero, integers.type)


def whole_constant(context: NodeContext, x: Constant | QuantizedConstant) -> QuantizedConstant:
    """A constant of integers, with scale one."""
    if isinstance(x, QuantizedConstant):
        plain = x.scale.size == 1 and x.scale.item() == 1 and not np.any(x.zero_point)
        if plain:
            return x
        x = Constant(x.exact())
    if x.values.size > MAX_WEIGHTS:
        raise context.unsupported(f"{x.values.size} constants are too many")
    whole = is_integral(x.values)
    if x.values.dtype == object:
        exact = context.to_exact(x.values).ravel()
        whole = all(number.denominator == 1 and abs(number) < _INT64 for number in exact)
    if not whole or x.values.dtype == np.uint64:
        raise context.invalid(f"its constant operand is of type {x.values.dtype}, not of integers")
    values: IntArray = x.values.astype(np.int64)
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    span = IntType(min(low, 0), max(high, 0))
    return QuantizedConstant(values, exact_array(1), exact_array(0), span)


def merged_affine(context: NodeContext, x: Tensor, scale: ExactArray, offset: ExactArray) -> Tensor:
    """``scale * x + offset``, together with an affine operation that yields x."""
    producer = context.graph[x.name]
    first = producer.op
    if isinstance(first, Affine):
        shape = np.broadcast_shapes(
            first.scale.shape, first.offset.shape, scale.shape, offset.shape
        )
        if int(np.prod(shape)) <= _MERGEABLE:
            offset = as_exact(scale * first.offset + offset)
            scale = as_exact(scale * first.scale)
            x = replace(x, name=producer.inputs[0])
    if np.all(scale == 1) and np.all(offset == 0):
        return x
    return context.emit(Affine(scale, offset), (x,), x.shape)


def _placed(
    context: NodeContext, x: Value, given: Parameters, axis: int
) -> tuple[ExactArray, ExactArray]:
    """Scale and zero point, broadcastable to the tensor (without its batch dimension)."""
    shape = x.batched if isinstance(x, Tensor) else x.shape
    result = []
    for array in (given.scale, given.zero_point):
        if array.size == 1:
            result.append(array.reshape(()))
            continue
        place = 0 if len(shape) == 1 else axis
        if not -len(shape) <= place < len(shape) or shape[place] != array.size:
            raise context.invalid(
                f"{array.size} scales or zero points for axis {axis} of shape {list(shape)}"
            )
        full = [1] * len(shape)
        full[place] = array.size
        has_batch = isinstance(x, Tensor) and not x.rows
        result.append(array.reshape(full[1:] if has_batch else full))
    return result[0], result[1]
