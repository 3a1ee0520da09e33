"""Lowering of what ends a network: softmax, argmax, and the meaning of the output stream."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nn2rtl.errors import UnsupportedError
from nn2rtl.ir import functions as fn
from nn2rtl.ir import integer as ig
from nn2rtl.ir import model
from nn2rtl.ir.types import IntTensor, IntType
from nn2rtl.passes import order
from nn2rtl.passes.lowering import Lowering, ModelNode, Value


def softmax(state: Lowering, node: ModelNode, op: model.Softmax, value: Value) -> Value:
    state.integers(node, value)
    return replace(value, softmax_axis=op.axis)


def arg_max(state: Lowering, node: ModelNode, op: model.ArgMax, value: Value) -> Value:
    # Softmax keeps the order of its operands along its axis, so that it can be left out.
    if value.softmax_axis == op.axis:
        value = replace(value, softmax_axis=None)
    is_reshaped = state.graph.types[node.inputs[0]].shape != value.position.shape
    if value.argmax_axis is not None or value.index or (value.tail and is_reshaped):
        raise UnsupportedError(
            "argmax of an argmax, or of a reshaped softmax, cannot be computed",
            node=node.source,
            remedy="cut the model off there; softmax and argmax end a network",
        )
    name, tensor = state.integers(node, value)
    step = fn.as_affine(value.chain)
    in_hardware = (
        step is not None
        and len(step.scale) == len(step.offset) == 1
        and step.scale[0] > 0
        and not value.tail
        and value.position.shape[op.axis] == tensor.size
        and np.array_equal(value.position.ravel(), np.arange(tensor.size))
    )
    if not in_hardware:
        return replace(value, argmax_axis=op.axis)
    result = IntTensor((1, 1, 1), IntType(0, max(1, tensor.size - 1)))
    out = state.append(node.name, ig.ArgMax(), (name,), result, node.source)
    return Value(out, np.zeros(1, dtype=np.int64), (), index=True)


def finish(state: Lowering, name: str) -> None:
    """Record the output and its meaning."""
    value = state.values[name]
    node = state.graph[name]
    if not value.index:
        value = order.settled(state, node, value)
    out, tensor = state.integers(node, value)
    repeats = tensor.size // tensor.channels
    state.result.outputs = [out]
    state.result.output = ig.OutputSpec(
        state.graph.output_names[0] if state.graph.output_names else name,
        state.graph.types[name].shape,
        value.position.ravel(),
        value.chain,
        np.tile(np.arange(tensor.channels, dtype=np.int64), repeats),
        value.softmax_axis,
        value.argmax_axis,
        value.position.shape,
        value.index,
    )
