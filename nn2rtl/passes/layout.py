"""Order of elements: where in the hardware's stream each element of a model tensor is.

Hardware streams (height, width, channel) raster order. A model tensor may have any axis order; a
``position`` array of the tensor's shape holds each element's place in the stream. Reshape and
transpose only rearrange that array: they cost no hardware.
"""

from __future__ import annotations

from math import prod

import numpy as np

from nn2rtl.ir import model
from nn2rtl.ir.types import IntArray

_TRANSPARENT = (
    model.Quantize,
    model.BipolarQuantize,
    model.MultiThreshold,
    model.Affine,
    model.Elementwise,
    model.Round,
    model.Input,
)


def channels_first_position(shape: tuple[int, ...]) -> IntArray:
    """Stream positions of a [channels, ...spatial] tensor that is streamed channels-last."""
    count = prod(shape)
    last = np.arange(count, dtype=np.int64).reshape((*shape[1:], shape[0]))
    return np.moveaxis(last, -1, 0)


def raster_position(shape: tuple[int, ...]) -> IntArray:
    """Stream positions of a tensor that is streamed in its own row-major order."""
    return np.arange(prod(shape), dtype=np.int64).reshape(shape)


def natural_position(shape: tuple[int, ...], *, channels_first: bool) -> IntArray:
    """Stream positions in one of a tensor's two natural orders; a vector has only one."""
    if channels_first and len(shape) > 1:
        return channels_first_position(shape)
    return raster_position(shape)


def is_permutation(position: IntArray, size: int) -> bool:
    """Whether each of the stream's `size` elements is at one place of the tensor."""
    return position.size == size and np.unique(position).size == size


def stream_shape(shape: tuple[int, ...], *, channels_first: bool) -> tuple[int, int, int]:
    """(height, width, channels) of a tensor that is streamed in one of its two natural orders.

    Of a vector all elements are channels; of more than two spatial axes only the product counts.
    """
    if len(shape) < 2:
        return 1, 1, prod(shape)
    spatial, channels = (shape[1:], shape[0]) if channels_first else (shape[:-1], shape[-1])
    height, width = (1, *spatial) if len(spatial) == 1 else (spatial[0], spatial[1])
    if len(spatial) > 2:
        height, width = 1, prod(spatial)
    return height, width, channels


def invert(position: IntArray) -> IntArray:
    """Flat index of the element at each stream position."""
    flat = position.ravel()
    order = np.empty_like(flat)
    order[flat] = np.arange(flat.size, dtype=np.int64)
    return order


def transpose(position: IntArray, permutation: tuple[int, ...]) -> IntArray:
    """Positions of the transposed tensor."""
    return np.ascontiguousarray(position.transpose(permutation))


def input_position(graph: model.ModelGraph, name: str) -> IntArray:
    """Positions for the network's input: such that the first layer that cares is satisfied.

    A convolution or pooling wants its operand streamed channels-last; its order is followed back
    through reshapes and transposes to the input. A network without such a layer streams its input
    in row-major order.
    """
    shape = graph.types[name].shape
    index: dict[str, IntArray] = {name: raster_position(shape)}
    for node in graph:
        known = [operand for operand in node.inputs if operand in index]
        if not known:
            continue
        flat = index[known[0]]
        if isinstance(node.op, model.Conv | model.MaxPool | model.AveragePool):
            stream = np.moveaxis(flat, 0, -1).ravel()
            return invert(stream).reshape(shape)
        if isinstance(node.op, model.Reshape):
            index[node.name] = flat.reshape(graph.types[node.name].shape)
        elif isinstance(node.op, model.Transpose):
            index[node.name] = transpose(flat, node.op.permutation)
        elif isinstance(node.op, _TRANSPARENT):
            index[node.name] = flat
        else:
            break
    return raster_position(shape)


def pair(values: tuple[int, ...]) -> tuple[int, int]:
    """Numbers of one or two spatial axes as (vertical, horizontal)."""
    return (1, values[0]) if len(values) == 1 else (values[0], values[1])


def pads(values: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Padding of one or two spatial axes, as ONNX has it, as (top, left, bottom, right)."""
    if len(values) == 2:
        return 0, values[0], 0, values[1]
    return values[0], values[1], values[2], values[3]
