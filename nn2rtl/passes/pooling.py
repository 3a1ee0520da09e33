"""Lowering of pooling layers."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from nn2rtl.errors import UnsupportedError
from nn2rtl.ir import functions as fn
from nn2rtl.ir import integer as ig
from nn2rtl.ir import model
from nn2rtl.ir.types import IntArray, IntTensor, IntType
from nn2rtl.passes import layout, order
from nn2rtl.passes.lowering import Lowering, ModelNode, Value

MAX_POSITIONED = 1 << 14
"""Elements of a mean whose divisor differs from position to position."""


def max_pool(state: Lowering, node: ModelNode, op: model.MaxPool, value: Value) -> Value:
    value = order.spatial(state, node, value)
    if not fn.increases(value.chain):
        value = state.on_grid(node, value)
    name, tensor = state.integers(node, value)
    if not fn.increases(value.chain):
        raise UnsupportedError(
            "max pooling of a tensor that is scaled by a negative number, or of a function that "
            "does not only increase",
            node=node.source,
            remedy="put a quantizer between the scaling or activation and the pooling",
        )
    dilations = op.dilations or (1,) * len(op.kernel)
    window = ig.Window(
        layout.pair(op.kernel),
        layout.pair(op.strides),
        layout.pads(op.pads),
        layout.pair(dilations),
    )
    size = window.output_size(*tensor.shape[:2])
    result = IntTensor((*size, tensor.channels), tensor.type)
    out = state.append(node.name, ig.MaxPool(window), (name,), result, node.source)
    position = layout.channels_first_position(state.graph.types[node.name].shape)
    return Value(out, position, value.chain)


def average_pool(state: Lowering, node: ModelNode, op: model.AveragePool, value: Value) -> Value:
    value = state.on_grid(node, order.spatial(state, node, value))
    name, tensor = state.integers(node, value)
    step = state.affine_step(node, value)
    window = ig.Window(layout.pair(op.kernel), layout.pair(op.strides), layout.pads(op.pads))
    pad_value = state.padding(node, value, window)
    size = window.output_size(*tensor.shape[:2])
    ends = [tensor.type.low, tensor.type.high]
    kind = IntType(min(ends) * window.taps, max(ends) * window.taps)
    result = IntTensor((*size, tensor.channels), kind)
    pool = ig.SumPool(window, pad_value)
    out = state.append(node.name, pool, (name,), result, node.source)
    position = layout.channels_first_position(state.graph.types[node.name].shape)
    # The sum of the reals is s times that of the integers, plus the offset of every tap.
    total = fn.affine(step.scale, tuple(o * window.taps for o in step.offset))
    summed = Value(out, position, (total,))
    counts = _counts(window, layout.pads(op.counted or op.pads), tensor.shape[:2])
    if op.counted is None or (counts == counts.flat[0]).all():
        count = window.taps if op.counted is None else int(counts.flat[0])
        return replace(summed, chain=_divided(summed.chain, (Fraction(1, count),)))
    if result.size > MAX_POSITIONED:
        raise UnsupportedError(
            "padding that does not count in the mean of a large tensor",
            node=node.source,
            remedy="let padding count (count_include_pad), or pad before the pooling",
        )
    # Each position becomes a channel, with a divisor of its own.
    flat = state.reshaped(node, summed, (1, 1, result.size))
    every = np.broadcast_to(counts[:, :, None], result.shape).ravel()
    return replace(flat, chain=_divided(flat.chain, tuple(Fraction(1, int(c)) for c in every)))


def _divided(chain: fn.Chain, factor: fn.Channelwise) -> fn.Chain:
    return fn.extend(chain, fn.affine(factor, fn.ZERO))


def _counts(
    window: ig.Window, counted: tuple[int, int, int, int], shape: tuple[int, ...]
) -> IntArray:
    """Taps of each window [height, width] that lie within the tensor and its counted padding."""
    axes = []
    for axis, size in enumerate(window.output_size(shape[0], shape[1])):
        first = np.arange(size) * window.stride[axis] - window.pads[axis]
        tap = first[:, None] + np.arange(window.kernel[axis]) * window.dilation[axis]
        inside = (tap >= -counted[axis]) & (tap < shape[axis] + counted[axis + 2])
        axes.append(inside.sum(axis=1))
    counts: IntArray = np.multiply.outer(axes[0], axes[1]).astype(np.int64)
    return counts
