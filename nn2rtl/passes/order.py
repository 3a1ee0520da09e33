"""Lowering of what moves elements: reshapes, transposes, gathers, padding, concatenation.

What rearranges, drops or repeats elements is only noted (`Value.position`) until a layer needs its
operand in a certain order: functions of single elements do not care. Padding adds elements, so it
becomes a `Gather` at once.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import prod

import numpy as np

from nn2rtl.errors import UnsupportedError
from nn2rtl.ir import functions as fn
from nn2rtl.ir import integer as ig
from nn2rtl.ir import model
from nn2rtl.ir.types import IntArray, IntTensor, IntType
from nn2rtl.passes import layout
from nn2rtl.passes.lowering import Lowering, ModelNode, Value, rechanneled

Shape = tuple[int, int, int]


def arranged(
    state: Lowering, node: ModelNode, value: Value, position: IntArray, shape: Shape
) -> Value:
    """The operand with its elements at given places of the stream, and that stream's shape."""
    _, tensor = state.integers(node, value)
    if tensor.size == position.size and np.array_equal(position, value.position):
        return state.reshaped(node, value, shape)
    index = np.empty(position.size, dtype=np.int64)
    index[position.ravel()] = value.position.ravel()
    return _gathered(state, node, value, index, position, shape, 0)


def spatial(state: Lowering, node: ModelNode, value: Value) -> Value:
    """The operand as a (height, width, channels) stream of a channels-first model tensor."""
    shape = value.position.shape
    position = layout.channels_first_position(shape)
    return arranged(state, node, value, position, layout.stream_shape(shape, channels_first=True))


def rows(state: Lowering, node: ModelNode, value: Value) -> Value:
    """The operand as a (1, rows, features) stream of a model tensor with features last."""
    shape = value.position.shape
    position = layout.raster_position(shape)
    count = prod(shape[:-1])
    return arranged(state, node, value, position, (1, count, shape[-1]))


def _gathered(
    state: Lowering,
    node: ModelNode,
    value: Value,
    index: IntArray,
    position: IntArray,
    shape: Shape,
    fill: int,
) -> Value:
    """The operand's stream elements `index` (-1: `fill`), as a stream of the given shape."""
    name, tensor = state.integers(node, value)
    kind = tensor.type
    inside = index >= 0
    if not inside.all():
        kind = IntType(min(kind.low, fill), max(kind.high, fill))
        # A constant has the meaning that all channels share.
        chain = value.chain
        if not fn.is_uniform(chain):
            raise UnsupportedError(
                "it pads a tensor whose channels differ in scale or offset",
                node=node.source,
                remedy="quantize the operand with one scale for the whole tensor",
            )
    else:
        chain = rechanneled(node, value.chain, index % tensor.channels, shape[2])
    op = ig.Gather(index, fill)
    result = IntTensor(shape, kind)
    hint = node.name if index.size != tensor.size or not inside.all() else f"{node.name}_order"
    name = state.append(hint, op, (name,), result, node.source)
    return replace(value, name=name, position=position, chain=chain)


def settled(state: Lowering, node: ModelNode, value: Value) -> Value:
    """The operand as a stream that has each of its elements once, in a natural order."""
    _, tensor = state.integers(node, value)
    if layout.is_permutation(value.position, tensor.size):
        return value
    return _natural(state, node, value, _is_channels_first(state, value))


def _natural(state: Lowering, node: ModelNode, value: Value, channels_first: bool) -> Value:
    shape = value.position.shape
    position = layout.natural_position(shape, channels_first=channels_first)
    stream = layout.stream_shape(shape, channels_first=channels_first)
    return arranged(state, node, value, position, stream)


def _is_channels_first(state: Lowering, value: Value) -> bool:
    """Whether the first axis, rather than the last, runs fastest in the stream."""
    position = value.position
    if position.ndim < 2:
        return False
    first = np.abs(np.diff(position, axis=0))
    last = np.abs(np.diff(position, axis=-1))
    if not first.size or not last.size:
        return bool(first.size) or not last.size
    apart = float(np.median(first)), float(np.median(last))
    return apart[0] < apart[1]


def reshape(state: Lowering, node: ModelNode, op: model.Reshape, value: Value) -> Value:
    if value.tail:
        return value
    shape = state.graph.types[node.name].shape
    if value.name is not None and len(shape) == 1:
        _, tensor = state.integers(node, value)
        if layout.is_permutation(value.position, tensor.size):
            value = state.reshaped(node, value, (1, 1, shape[0]))
    return replace(value, position=value.position.reshape(shape))


def transpose(state: Lowering, node: ModelNode, op: model.Transpose, value: Value) -> Value:
    return replace(value, position=layout.transpose(value.position, op.permutation))


def gather(state: Lowering, node: ModelNode, op: model.Gather, value: Value) -> Value:
    return replace(value, position=value.position.ravel()[op.index])


def pad(state: Lowering, node: ModelNode, op: model.Pad, value: Value) -> Value:
    value = state.on_grid(node, value)
    shape = value.position.shape
    rank = len(shape)
    margins = [(op.pads[axis], op.pads[axis + rank]) for axis in range(rank)]
    index = np.pad(layout.raster_position(shape), margins, constant_values=-1)
    fill = state.constant(node, value, op.fill, f"padding with {op.fill}")
    moved = np.where(index >= 0, value.position.ravel()[index], -1)
    first = _is_channels_first(state, value)
    position = layout.natural_position(index.shape, channels_first=first)
    order = np.empty(moved.size, dtype=np.int64)
    order[position.ravel()] = moved.ravel()
    stream = layout.stream_shape(index.shape, channels_first=first)
    return _gathered(state, node, value, order, position, stream, fill)


def concat(state: Lowering, node: ModelNode, op: model.Concat, *values: Value) -> Value:
    shape = state.graph.types[node.name].shape
    first = _is_channels_first(state, values[0])
    parts = [_natural(state, node, value, first) for value in values]
    axis = _stream_axis(node, op.axis, len(shape), first)
    tensors = [state.integers(node, part)[1] for part in parts]
    chain = _joined_chain(state, node, parts, [t.channels for t in tensors], axis)
    kind = IntType(min(t.type.low for t in tensors), max(t.type.high for t in tensors))
    names = tuple(state.integers(node, part)[0] for part in parts)
    result = IntTensor(layout.stream_shape(shape, channels_first=first), kind)
    name = state.append(node.name, ig.Concat(axis), names, result, node.source)
    return Value(name, layout.natural_position(shape, channels_first=first), chain)


def _stream_axis(node: ModelNode, axis: int, rank: int, channels_first: bool) -> int:
    """The stream's axis (height, width, channels) that is an axis of the model's tensor."""
    if channels_first:
        axis = rank - 1 if axis == 0 else axis - 1
    if rank <= 3:
        return 3 - rank + axis
    if axis in (0, rank - 1):
        return 1 if axis == 0 else 2
    raise UnsupportedError(
        f"concatenation along an inner axis of a tensor of {rank} axes",
        node=node.source,
        remedy="join tensors of at most three axes, or along the first or last one",
    )


def _joined_chain(
    state: Lowering, node: ModelNode, parts: list[Value], channels: list[int], axis: int
) -> fn.Chain:
    """The meaning of the joined integers: the common one, or one for each channel."""
    if all(part.chain == parts[0].chain for part in parts) and (
        axis != 2 or fn.is_uniform(parts[0].chain)
    ):
        return parts[0].chain
    if axis != 2:
        raise UnsupportedError(
            "it joins tensors of different scales along a spatial axis",
            node=node.source,
            remedy="quantize all of them with the same scale",
        )
    scale: list[Fraction] = []
    offset: list[Fraction] = []
    for part, count in zip(parts, channels, strict=True):
        step = state.affine_step(node, part)
        scale += [fn.pick(step.scale, c) for c in range(count)]
        offset += [fn.pick(step.offset, c) for c in range(count)]
    return (fn.affine(tuple(scale), tuple(offset)),)
