"""QONNX's channels-last variants of standard operators: the operator between two transposes."""

from __future__ import annotations

import numpy as np

from nn2rtl.frontend.context import NodeContext
from nn2rtl.frontend.delegation import as_standard, channels_first, channels_last
from nn2rtl.frontend.gathers import moved
from nn2rtl.frontend.registry import handles
from nn2rtl.frontend.values import Tensor, Value

DOMAINS = ("qonnx.custom_op.channels_last", "finn.custom_op.channels_last")


@handles(
    "MaxPool",
    "AveragePool",
    "GlobalAveragePool",
    "BatchNormalization",
    domains=DOMAINS,
    supported="as the standard operator, of a channels-last tensor",
)
def standard(context: NodeContext) -> Value:
    return _between(context, context.inputs[1:], context.node.op)


@handles("Conv", domains=DOMAINS, supported="as Conv, tensor and weight channels last")
def conv(context: NodeContext) -> Value:
    weight = _turned(context, context.value(1))
    return _between(context, (weight, *context.inputs[2:]), "Conv")


@handles(
    "MaxPoolNHWC",
    domains=("finn.custom_op.general", "qonnx.custom_op.general"),
    supported="as MaxPool, of a channels-last tensor",
)
def max_pool(context: NodeContext) -> Value:
    return _between(context, (), "MaxPool")


def _between(context: NodeContext, others: tuple[Value | None, ...], op: str) -> Value:
    x = context.tensor(0)
    if len(x.shape) < 2:  # without positions both layouts are the same
        return as_standard(context, op, (x, *others))
    return channels_last(context, as_standard(context, op, (channels_first(context, x), *others)))


def _turned(context: NodeContext, weight: Value) -> Value:
    """A weight [outputs, ...kernel, inputs] as [outputs, inputs, ...kernel]."""
    if isinstance(weight, Tensor):
        return weight  # refused as a weight
    if len(weight.shape) < 3:
        raise context.invalid(f"weight of shape {list(weight.shape)}")
    return moved(context, weight, lambda array: np.moveaxis(array, -1, 1))
