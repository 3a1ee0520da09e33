"""Axes, broadcasting and reshaping between the file's shapes and those without the batch."""

from __future__ import annotations

from math import prod

import numpy as np

from nn2rtl.frontend.context import NodeContext
from nn2rtl.frontend.source import Array
from nn2rtl.frontend.values import Tensor


def axis_of(context: NodeContext, axis: int, rank: int) -> int:
    """An axis counted from the front; ModelError if there is no such axis."""
    if not -rank <= axis < rank:
        raise context.invalid(f"axis {axis} does not exist in a tensor of rank {rank}")
    return axis % rank


def axes_of(context: NodeContext, axes: tuple[int, ...], rank: int) -> tuple[int, ...]:
    """Different axes counted from the front, in ascending order."""
    result = sorted(axis_of(context, axis, rank) for axis in axes)
    if len(set(result)) != len(result):
        raise context.invalid(f"axes {list(axes)} contain an axis twice")
    return tuple(result)


def sample_axis(context: NodeContext, axis: int, rank: int) -> int:
    """An axis of one sample, given one of the batched tensor of rank `rank`."""
    result = axis_of(context, axis, rank)
    if result == 0:
        raise context.unsupported("it works across the batch dimension", "use another axis")
    return result - 1


def fit(context: NodeContext, values: Array, tensor: Tensor, what: str) -> Array:
    """A constant, shaped so that it broadcasts to a tensor without its batch dimension.

    Parameters
    ----------
    values : array
        Broadcastable to the batched tensor.
    what : str
        What messages call the constant.
    """
    batched = tensor.batched
    try:
        joint = np.broadcast_shapes(values.shape, batched)
    except ValueError:
        raise context.invalid(
            f"{what} of shape {list(values.shape)} does not broadcast to {list(batched)}"
        ) from None
    if joint != batched:
        raise context.unsupported(
            f"{what} of shape {list(values.shape)} would enlarge the tensor {list(batched)}",
            "give it a shape that broadcasts to the tensor's",
        )
    has_batch = not tensor.rows and values.ndim == len(batched)
    return values.reshape(values.shape[1:]) if has_batch else values


def reshaped(
    context: NodeContext, shape: tuple[int, ...], target: tuple[int, ...], allow_zero: bool
) -> tuple[int, ...]:
    """The shape that ONNX's Reshape gives: 0 copies a size (unless allowed), -1 is inferred."""
    problem = context.invalid(f"cannot reshape {list(shape)} to {list(target)}")
    if any(size < -1 for size in target) or target.count(-1) > 1:
        raise problem
    if not allow_zero:
        if any(size == 0 and axis >= len(shape) for axis, size in enumerate(target)):
            raise problem
        target = tuple(shape[axis] if size == 0 else size for axis, size in enumerate(target))
    known = prod(size for size in target if size != -1)
    if -1 in target:
        if known == 0 or prod(shape) % known:
            raise problem
        target = tuple(prod(shape) // known if size == -1 else size for size in target)
    if prod(target) != prod(shape):
        raise problem
    return target


def squeezed(
    context: NodeContext, shape: tuple[int, ...], axes: tuple[int, ...] | None
) -> tuple[int, ...]:
    """A shape without the given axes of size 1 (all of them if None)."""
    if axes is None:
        return tuple(size for size in shape if size != 1)
    drop = axes_of(context, axes, len(shape))
    if any(shape[axis] != 1 for axis in drop):
        raise context.invalid(f"cannot squeeze axes {list(axes)} of shape {list(shape)}")
    return tuple(size for axis, size in enumerate(shape) if axis not in drop)


def unsqueezed(
    context: NodeContext, shape: tuple[int, ...], axes: tuple[int, ...]
) -> tuple[int, ...]:
    """A shape with axes of size 1 inserted; axes count in the result."""
    rank = len(shape) + len(axes)
    new = axes_of(context, axes, rank)
    rest = iter(shape)
    return tuple(1 if axis in new else next(rest) for axis in range(rank))
