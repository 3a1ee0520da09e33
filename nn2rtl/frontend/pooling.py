"""Pooling: maxima and means over windows or over all positions."""

from __future__ import annotations

from nn2rtl.frontend.context import NodeContext
from nn2rtl.frontend.registry import handles
from nn2rtl.frontend.shapes import axes_of
from nn2rtl.frontend.values import Tensor, Value
from nn2rtl.frontend.windows import spatial_rank, window
from nn2rtl.ir.model import AveragePool, MaxPool, Reshape, Transpose


@handles("MaxPool", supported="1-D and 2-D, any stride and padding; no dilation, no indices")
def max_pool(context: NodeContext) -> tuple[Value | None, ...]:
    x = context.tensor(0)
    spatial_rank(context, x)
    area = window(context, x.shape[1:], None)
    if any(dilation != 1 for dilation in area.dilations):
        raise context.unsupported("dilated windows", "use dilations of 1")
    _check_pads(context, area.kernel, area.pads)
    op = MaxPool(area.kernel, area.strides, area.pads)
    return (context.emit(op, (x,), (x.shape[0], *area.result)),)


@handles(
    "AveragePool", supported="1-D and 2-D, any stride; padding only with count_include_pad = 1"
)
def average_pool(context: NodeContext) -> Value:
    x = context.tensor(0)
    spatial_rank(context, x)
    area = window(context, x.shape[1:], None)
    if any(dilation != 1 for dilation in area.dilations):
        raise context.unsupported("dilated windows", "use dilations of 1")
    _check_pads(context, area.kernel, area.pads)
    if any(area.pads) and not context.integer("count_include_pad", 0):
        raise context.unsupported(
            "padding that does not count in the mean", "set count_include_pad, or pad before it"
        )
    op = AveragePool(area.kernel, area.strides, area.pads)
    return context.emit(op, (x,), (x.shape[0], *area.result))


@handles("GlobalAveragePool", "GlobalMaxPool", supported="1-D and 2-D")
def global_pool(context: NodeContext) -> Value:
    x = context.tensor(0)
    rank = spatial_rank(context, x)
    kernel, ones, pads = x.shape[1:], (1,) * rank, (0,) * (2 * rank)
    average = context.node.op == "GlobalAveragePool"
    op = AveragePool(kernel, ones, pads) if average else MaxPool(kernel, ones, pads)
    return context.emit(op, (x,), (x.shape[0], *ones))


@handles("ReduceMean", supported="over all spatial axes, channels first or last")
def reduce_mean(context: NodeContext) -> Value:
    x = context.tensor(0)
    rank = len(x.batched)
    axes = context.integers("axes")
    if axes is None and context.optional(1) is not None:
        axes = context.whole_numbers(1)
    if not axes and context.integer("noop_with_empty_axes", 0):
        return x
    axes = axes_of(context, axes or tuple(range(rank)), rank)
    keep = bool(context.integer("keepdims", 1))
    spatial = len(axes)
    first = axes == tuple(range(2, rank))  # channels first
    if rank not in (3, 4) or not (first or axes == tuple(range(1, rank - 1))):
        raise context.unsupported(
            f"the mean over axes {list(axes)} of {list(x.batched)}",
            "take it over all spatial axes of a channels-first or channels-last tensor",
        )
    if not first:
        permutation = (spatial, *range(spatial))
        x = context.emit(Transpose(permutation), (x,), tuple(x.shape[axis] for axis in permutation))
    channels, ones = x.shape[0], (1,) * spatial
    op = AveragePool(x.shape[1:], ones, (0,) * (2 * spatial))
    y: Tensor = context.emit(op, (x,), (channels, *ones))
    if not keep:
        return context.emit(Reshape(), (y,), (channels,))
    if not first:
        return context.emit(Transpose((*range(1, spatial + 1), 0)), (y,), (*ones, channels))
    return y


def _check_pads(context: NodeContext, kernel: tuple[int, ...], pads: tuple[int, ...]) -> None:
    if any(pad >= size for pad, size in zip(pads, kernel * 2)):
        raise context.invalid(f"pads {list(pads)} are as large as the window {list(kernel)}")
