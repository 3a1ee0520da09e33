"""Operators that move elements or do nothing: on tensors and on constants."""

from __future__ import annotations

from math import prod

import numpy as np

from nn2rtl.frontend.constants import rearranged
from nn2rtl.frontend.context import NodeContext
from nn2rtl.frontend.registry import handles
from nn2rtl.frontend.shapes import axis_of, reshaped, squeezed, unsqueezed
from nn2rtl.frontend.values import Constant, Tensor, Value
from nn2rtl.ir.model import Reshape, Transpose

_KEEP = "keep the batch dimension first, with size 1 or -1"


def _shaped(context: NodeContext, value: Value, shape: tuple[int, ...]) -> Value:
    """The value under another shape (with the batch dimension if it is a tensor)."""
    if isinstance(value, Constant):
        return Constant(value.values.reshape(shape), value.integers)
    if not isinstance(value, Tensor):
        return rearranged(value, lambda array: array.reshape(shape))
    rows = shape[:1] != (1,)
    if rows and len(shape) != 2:
        raise context.unsupported(
            f"it would turn {list(value.batched)} into {list(shape)}, which has no batch dimension",
            _KEEP,
        )
    if shape == value.batched:
        return value
    return context.emit(Reshape(), (value,), shape if rows else shape[1:], rows=rows)


def _file_shape(value: Value) -> tuple[int, ...]:
    return value.batched if isinstance(value, Tensor) else value.shape


@handles(
    "Reshape",
    supported="constant shape that keeps the batch dimension, or makes a matrix of the sample's "
    "rows for Gemm and MatMul",
    behind_tail=True,
    on_rows=True,
)
def reshape(context: NodeContext) -> Value:
    value, target = context.value(0), context.whole_numbers(1)
    allow_zero = bool(context.integer("allowzero", 0))
    return _shaped(context, value, reshaped(context, _file_shape(value), target, allow_zero))


@handles("Flatten", supported="any axis that keeps the batch dimension")
def flatten(context: NodeContext) -> Value:
    value = context.value(0)
    shape = _file_shape(value)
    axis = context.integer("axis", 1)
    axis = axis if axis == len(shape) else axis_of(context, axis, len(shape))
    return _shaped(context, value, (prod(shape[:axis]), prod(shape[axis:])))


@handles("Squeeze", supported="axes as attribute or constant input", behind_tail=True)
def squeeze(context: NodeContext) -> Value:
    value = context.value(0)
    shape, axes = _file_shape(value), _axes(context)
    if isinstance(value, Tensor) and (axes is None or 0 in [a % len(shape) for a in axes]):
        raise context.unsupported("it removes the batch dimension", "state the other axes only")
    return _shaped(context, value, squeezed(context, shape, axes))


@handles("Unsqueeze", supported="axes as attribute or constant input", on_rows=True)
def unsqueeze(context: NodeContext) -> Value:
    value, axes = context.value(0), _axes(context)
    if axes is None:
        raise context.invalid("its axes are missing")
    shape = unsqueezed(context, _file_shape(value), axes)
    is_batched = isinstance(value, Tensor) and not value.rows
    if is_batched and 0 in [axis % len(shape) for axis in axes]:
        raise context.unsupported("it adds an axis before the batch dimension", _KEEP)
    return _shaped(context, value, shape)


def _axes(context: NodeContext) -> tuple[int, ...] | None:
    if context.opset < 13:
        return context.integers("axes")
    return None if context.optional(1) is None else context.whole_numbers(1)


@handles("Transpose", supported="any permutation that keeps the batch dimension first")
def transpose(context: NodeContext) -> Value:
    value = context.value(0)
    rank = len(_file_shape(value))
    given = context.integers("perm")
    permutation = tuple(range(rank))[::-1] if given is None else given
    if sorted(permutation) != list(range(rank)):
        raise context.invalid(f"perm {list(permutation)[:8]} does not permute {rank} axes")
    if isinstance(value, Constant):
        return Constant(np.transpose(value.values, permutation), value.integers)
    if not isinstance(value, Tensor):
        return rearranged(value, lambda array: np.transpose(array, permutation))
    if permutation[0] != 0:
        raise context.unsupported("it moves the batch dimension", _KEEP)
    if permutation == tuple(range(rank)):
        return value
    sample = tuple(axis - 1 for axis in permutation[1:])
    return context.emit(Transpose(sample), (value,), tuple(value.shape[axis] for axis in sample))


@handles("Identity", supported="tensors and constants", behind_tail=True, on_rows=True)
def identity(context: NodeContext) -> Value:
    return context.value(0)


@handles("Dropout", supported="inference, where it does nothing; no mask output", on_rows=True)
def dropout(context: NodeContext) -> tuple[Value | None, ...]:
    if context.optional(2) is not None and any(context.exact(2).ravel()):
        raise context.unsupported("training mode", "export the network in evaluation mode")
    return (context.value(0),)
