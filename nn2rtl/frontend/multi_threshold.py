"""MultiThreshold: FINN's activation, the number of thresholds that a value reaches."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from nn2rtl.frontend.context import MAX_EXACT, NodeContext
from nn2rtl.frontend.delegation import channels_first, channels_last
from nn2rtl.frontend.registry import handles
from nn2rtl.frontend.source import Array
from nn2rtl.frontend.values import Tensor, Value
from nn2rtl.ir.model import MultiThreshold
from nn2rtl.ir.types import ExactArray, exact_array

DOMAINS = ("finn.custom_op.general", "qonnx.custom_op.general", "", "ai.onnx")
_MAX_LEVELS = 1 << 16
_FAR = Fraction(1 << 160)  # beyond every float32 number: for thresholds at infinity


@handles(
    "MultiThreshold",
    domains=DOMAINS,
    supported="thresholds for the tensor or for each channel, out_scale, out_bias, channels first "
    "or last",
)
def multi_threshold(context: NodeContext) -> Value:
    x = context.tensor(0)
    thresholds = _thresholds(context)
    scale = Fraction(context.finite("out_scale", 1.0))
    bias = Fraction(context.finite("out_bias", 0.0))
    if not x.shape:
        raise context.invalid("its input has no channels")
    op = MultiThreshold(thresholds, scale, bias)
    last = len(thresholds) > 1 and _channels_are_last(context, x, len(thresholds))
    if not last:
        return context.emit(op, (x,), x.shape)
    first = channels_first(context, x)
    assert isinstance(first, Tensor)
    return channels_last(context, context.emit(op, (first,), first.shape))


def _channels_are_last(context: NodeContext, x: Tensor, channels: int) -> bool:
    """Where the channels of a tensor are, as qonnx's executor takes them.

    It follows the layout for two and four axes. For others it takes the last axis; the second one
    is taken here if only that has the right length.
    """
    rank = len(x.batched)
    layout = context.text("data_layout", "NCHW")
    last = rank > 2 and (layout.endswith("C") or rank != 4)
    if rank not in (2, 4) and x.shape[-1] != channels:
        last = False
    if x.shape[-1 if last else 0] != channels:
        raise context.invalid(
            f"thresholds of {channels} channels for input {list(x.batched)} ({layout})"
        )
    return last


def _thresholds(context: NodeContext) -> ExactArray:
    """[channels or 1, levels], ascending."""
    values: Array = context.numbers(1)
    if values.ndim != 2 or 0 in values.shape:
        raise context.invalid(f"thresholds of shape {list(values.shape)}, not [channels, levels]")
    if values.shape[1] > _MAX_LEVELS or values.size > MAX_EXACT:
        raise context.unsupported(f"{values.shape[1]} thresholds", "use 65536 levels or fewer")
    if values.dtype == object:
        return exact_array(np.sort(values, axis=1))
    if values.dtype.kind == "f":
        if np.any(np.isnan(values)):
            raise context.invalid("a threshold is not a number")
        infinite = np.isinf(values)
        result = exact_array(np.where(infinite, 0, values))
        result[infinite] = [_FAR if value > 0 else -_FAR for value in values[infinite]]
        return exact_array(np.sort(result, axis=1))
    return exact_array(np.sort(values, axis=1))
