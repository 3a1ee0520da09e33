"""Lowering of convolutions and matrix products."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from nn2rtl.ir import functions as fn
from nn2rtl.ir import integer as ig
from nn2rtl.ir import model
from nn2rtl.ir.types import IntTensor, IntType
from nn2rtl.passes import layout, order
from nn2rtl.passes.lowering import Lowering, ModelNode, Value, integer_weight


def conv(state: Lowering, node: ModelNode, op: model.Conv, value: Value) -> Value:
    value = state.on_grid(node, order.spatial(state, node, value))
    weight = integer_weight(node, op.weight)
    values = weight.values if weight.values.ndim == 4 else weight.values[:, :, None, :]
    window = ig.Window(
        (values.shape[2], values.shape[3]),
        layout.pair(op.strides),
        layout.pads(op.pads),
        layout.pair(op.dilations),
    )
    pad_value = state.padding(node, value, window)
    integers = np.ascontiguousarray(values.transpose(0, 2, 3, 1))
    _, tensor = state.integers(node, value)
    size = window.output_size(*tensor.shape[:2])
    convolution = ig.Conv(integers, window, pad_value, op.groups)
    result = _linear(state, node, convolution, value, size, weight.scale)
    if op.bias is not None:
        bias = fn.affine((Fraction(1),), tuple(Fraction(b) for b in op.bias.ravel()))
        result = replace(result, chain=fn.extend(result.chain, bias))
    shape = state.graph.types[node.name].shape
    return replace(result, position=layout.channels_first_position(shape))


def matmul(state: Lowering, node: ModelNode, op: model.MatMul, value: Value) -> Value:
    value = state.on_grid(node, value)
    weight = integer_weight(node, op.weight, output_axis=1)
    integers = weight.values.T  # [outputs, inputs]
    shape = value.position.shape
    _, tensor = state.integers(node, value)
    if shape[-1] == tensor.size and layout.is_permutation(value.position, tensor.size):
        # One row: the weights follow the order of the stream.
        integers = integers[:, layout.invert(value.position)]
        value = state.reshaped(node, value, (1, 1, shape[-1]))
    else:
        value = order.rows(state, node, value)
    _, tensor = state.integers(node, value)
    product = ig.Conv(np.ascontiguousarray(integers)[:, None, None, :], ig.Window((1, 1)))
    result = _linear(state, node, product, value, tensor.shape[:2], weight.scale)
    return replace(result, position=layout.raster_position(state.graph.types[node.name].shape))


def _linear(
    state: Lowering,
    node: ModelNode,
    op: ig.Conv,
    value: Value,
    size: tuple[int, int],
    weight_scale: fn.Channelwise,
) -> Value:
    """Append a convolution; its result's chain takes up the operand's scale and offset."""
    name, tensor = state.integers(node, value)
    scale, offsets = state.uniform_scale(node, value)
    low, high = op.output_ranges(tensor.type)
    outputs = op.weight.shape[0]
    result = IntTensor((*size, outputs), IntType(int(low.min()), int(high.max())))
    out = state.append(node.name, op, (name,), result, node.source)
    # sum w (s q + o) = s sum w q + sum w o
    by_input = op.weight.sum(axis=(1, 2))  # [outputs, inputs of a group]
    if len(offsets) == 1:
        constant = [offsets[0] * int(row.sum()) for row in by_input]
    else:
        width, per_group = by_input.shape[1], outputs // op.groups
        constant = [
            sum(
                (
                    offsets[channel // per_group * width + k] * int(w)
                    for k, w in enumerate(row)
                ),
                Fraction(0),
            )
            for channel, row in enumerate(by_input)
        ]
    step = fn.affine(
        tuple(scale * fn.pick(weight_scale, c) for c in range(outputs)),
        tuple(constant[c] * fn.pick(weight_scale, c) for c in range(outputs)),
    )
    return Value(out, value.position, (step,))
