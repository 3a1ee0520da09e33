"""Pooling: maxima and means over windows or over all positions."""

from __future__ import annotations

from fractions import Fraction
from math import prod

import numpy as np

from nn2rtl.frontend.context import NodeContext
from nn2rtl.frontend.registry import handles
from nn2rtl.frontend.values import Tensor, Value
from nn2rtl.frontend.windows import Window, check_inside, spatial_rank, window
from nn2rtl.ir.model import AveragePool, Conv, MaxPool
from nn2rtl.ir.types import IntType, QuantizedConstant, exact_array


@handles("MaxPool", supported="1-D and 2-D, any stride, padding, dilation, ceil_mode; no indices")
def max_pool(context: NodeContext) -> tuple[Value | None, ...]:
    x = context.tensor(0)
    area = _window(context, x)
    dilations = area.dilations if any(d != 1 for d in area.dilations) else ()
    op = MaxPool(area.kernel, area.strides, area.pads, dilations)
    return (context.emit(op, (x,), (x.shape[0], *area.result)),)


@handles(
    "AveragePool",
    supported="1-D and 2-D, any stride, padding (counted or not), ceil_mode; dilation where all "
    "windows count equally many positions",
)
def average_pool(context: NodeContext) -> Value:
    x = context.tensor(0)
    area = _window(context, x)
    counted = area.stated if context.integer("count_include_pad", 0) else (0,) * len(area.pads)
    shape = (x.shape[0], *area.result)
    if any(dilation != 1 for dilation in area.dilations):
        if counted != area.pads:
            raise context.unsupported(
                "dilated windows with padding that does not count", "set count_include_pad = 1"
            )
        return context.emit(_dilated_mean(area, x.shape[0]), (x,), shape)
    op = AveragePool(
        area.kernel, area.strides, area.pads, None if counted == area.pads else counted
    )
    return context.emit(op, (x,), shape)


def _window(context: NodeContext, x: Tensor) -> Window:
    spatial_rank(context, x)
    area = window(context, x.shape[1:], None)
    check_inside(context, area, x.shape[1:])
    return area


def _dilated_mean(area: Window, channels: int) -> Conv:
    """A mean as a convolution of each channel with ones."""
    values = np.ones((channels, 1, *area.kernel), dtype=np.int64)
    share = exact_array(Fraction(1, prod(area.kernel)))
    weight = QuantizedConstant(values, share, exact_array(0), IntType(0, 1))
    return Conv(weight, None, area.strides, area.pads, area.dilations, channels)


@handles("GlobalAveragePool", "GlobalMaxPool", supported="1-D and 2-D")
def global_pool(context: NodeContext) -> Value:
    x = context.tensor(0)
    rank = spatial_rank(context, x)
    kernel, ones, pads = x.shape[1:], (1,) * rank, (0,) * (2 * rank)
    average = context.node.op == "GlobalAveragePool"
    op = AveragePool(kernel, ones, pads) if average else MaxPool(kernel, ones, pads)
    return context.emit(op, (x,), (x.shape[0], *ones))
