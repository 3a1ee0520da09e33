"""Means, sums and maxima over axes of a tensor."""

from __future__ import annotations

from math import prod

from nn2rtl.frontend.context import NodeContext
from nn2rtl.frontend.elementwise import affine
from nn2rtl.frontend.registry import handles
from nn2rtl.frontend.shapes import axes_of
from nn2rtl.frontend.values import Tensor, Value
from nn2rtl.ir.model import AveragePool, MaxPool, Reshape, Transpose


@handles(
    "ReduceMean",
    "ReduceSum",
    "ReduceMax",
    supported="over any axes but the batch, constant axes",
)
def reduce(context: NodeContext) -> Value:
    x, op = context.tensor(0), context.node.op
    rank = len(x.batched)
    axes = context.integers("axes")  # an input in later opsets
    if axes is None and context.optional(1) is not None:
        axes = context.whole_numbers(1)
    if not axes and context.integer("noop_with_empty_axes", 0):
        return x
    axes = axes_of(context, axes or tuple(range(rank)), rank)
    if 0 in axes:
        raise context.unsupported(
            f"axes {list(axes)} with the batch dimension", "state the other axes only"
        )
    over = tuple(axis - 1 for axis in axes)
    y = _reduced(context, x, over, maximum=op == "ReduceMax")
    keep = bool(context.integer("keepdims", 1))
    shape = tuple(
        1 if axis in over else size for axis, size in enumerate(x.shape) if keep or axis not in over
    )
    if y.shape != shape:
        y = context.emit(Reshape(), (y,), shape)
    if op == "ReduceSum":
        return affine(context, y, prod(x.shape[axis] for axis in over))
    return y


def _reduced(context: NodeContext, x: Tensor, over: tuple[int, ...], maximum: bool) -> Tensor:
    """The axes that stay, in their order, and axes of length one."""
    rank = len(x.shape)
    if rank in (2, 3) and 0 not in over:
        kernel = tuple(x.shape[axis] if axis in over else 1 for axis in range(1, rank))
        return _pooled(context, x, kernel, maximum)
    kept = tuple(axis for axis in range(rank) if axis not in over)
    channels, spatial = (tuple(x.shape[axis] for axis in axes) for axes in (kept, over))
    if kept + over != tuple(range(rank)):
        x = context.emit(Transpose(kept + over), (x,), channels + spatial)
    kernel = spatial if len(spatial) <= 2 else (prod(spatial),)
    if x.shape != (prod(channels), *kernel):
        x = context.emit(Reshape(), (x,), (prod(channels), *kernel))
    return _pooled(context, x, kernel, maximum)


def _pooled(context: NodeContext, x: Tensor, kernel: tuple[int, ...], maximum: bool) -> Tensor:
    ones, pads = (1,) * len(kernel), (0,) * (2 * len(kernel))
    op = MaxPool(kernel, ones, pads) if maximum else AveragePool(kernel, ones, pads)
    shape = tuple(size - k + 1 for size, k in zip(x.shape[1:], kernel))
    return context.emit(op, (x,), (x.shape[0], *shape))
