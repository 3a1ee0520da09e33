"""What ends a classifier: Softmax, ArgMax, and TopK of one."""

from __future__ import annotations

from math import prod

from nn2rtl.frontend.context import NodeContext
from nn2rtl.frontend.registry import handles
from nn2rtl.frontend.shapes import axis_of, sample_axis
from nn2rtl.frontend.values import Tensor, Value
from nn2rtl.ir.model import ArgMax, Softmax


@handles("Softmax", supported="over one axis, at the end of the network")
def softmax(context: NodeContext) -> Value:
    x = context.tensor(0)
    rank = len(x.batched)
    if context.opset >= 13:
        axis = sample_axis(context, context.integer("axis", -1), rank)
    else:  # over all axes from `axis` on: one of them has to hold everything
        first = axis_of(context, context.integer("axis", 1), rank)
        sizes = x.batched[first:]
        if first == 0:
            raise context.unsupported("it works across the batch dimension", "use another axis")
        large = [number for number, size in enumerate(sizes) if size != 1]
        if len(large) > 1:
            raise context.unsupported(
                f"softmax over several axes {list(sizes)}", "flatten the tensor before it"
            )
        axis = first - 1 + (large[0] if large else 0)
    return context.emit(Softmax(axis), (x,), x.shape, "Softmax")


@handles("ArgMax", supported="over one axis, first of equals, at the end of the network")
def arg_max(context: NodeContext) -> Value:
    x = context.tensor(0)
    axis = sample_axis(context, context.integer("axis", 0), len(x.batched))
    if context.integer("select_last_index", 0):
        raise context.unsupported("the last of equal elements", "drop select_last_index")
    return _arg_max(context, x, axis, bool(context.integer("keepdims", 1)))


@handles("TopK", supported="k = 1, index output, at the end of the network")
def top_k(context: NodeContext) -> tuple[Value | None, ...]:
    x = context.tensor(0)
    axis = sample_axis(context, context.integer("axis", -1), len(x.batched))
    k = (context.integer("k", 0),) if context.opset < 10 else context.whole_numbers(1)
    if k != (1,):
        raise context.unsupported(f"k = {list(k)}", "only the largest element (k = 1) is supported")
    if not context.integer("largest", 1):
        raise context.unsupported("the smallest element", "use largest = 1")
    return None, _arg_max(context, x, axis, keep=True)


def _arg_max(context: NodeContext, x: Tensor, axis: int, keep: bool) -> Tensor:
    if prod(x.shape) == 0 or not x.shape:
        raise context.invalid("its input is empty")
    shape = x.shape[:axis] + ((1,) if keep else ()) + x.shape[axis + 1 :]
    return context.emit(ArgMax(axis, keep), (x,), shape, "ArgMax")
