"""Resize and Upsample by nearest neighbours: which element each element of the result is.

Places are computed in float32, as the executors do that defined which neighbour is nearest.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from nn2rtl.frontend.context import NodeContext
from nn2rtl.frontend.gathers import check_size, moved
from nn2rtl.frontend.registry import handles
from nn2rtl.frontend.shapes import axis_of
from nn2rtl.frontend.source import Array
from nn2rtl.frontend.values import Tensor, Value
from nn2rtl.ir.types import IntArray

_ONE, _HALF = np.float32(1), np.float32(0.5)
_MAX_SIZE = 1 << 20
_NEAREST = "resize by nearest neighbours, or use a ConvTranspose with fixed weights"


@handles(
    "Resize",
    "Upsample",
    supported="nearest mode, any scales or sizes that keep the batch, every coordinate "
    "transformation but tf_crop_and_resize",
)
def resize(context: NodeContext) -> Value:
    x = context.tensor(0)
    scales, sizes = _scales(context, x)
    if sizes == x.batched:
        return x
    mode = context.text("mode", "nearest")
    if mode != "nearest":
        raise context.unsupported(f"{mode} interpolation", _NEAREST)
    check_size(context, sizes)
    places = [_places(context, *axis) for axis in zip(x.batched, sizes, scales)]
    return moved(context, x, lambda array: array[np.ix_(*places)])


def _scales(context: NodeContext, x: Tensor) -> tuple[list[np.float32], tuple[int, ...]]:
    """Scale and size of the result for each axis of the file's shape."""
    shape = x.batched
    index = 1 if context.opset < 11 or context.node.op == "Upsample" else 2
    axes = tuple(range(len(shape)))
    stated = context.integers("axes")
    if stated is not None:
        axes = tuple(axis_of(context, axis, len(shape)) for axis in stated)
    given: Array = np.zeros(0)
    attribute = context.node.attributes.get("scales")
    if isinstance(attribute, tuple) and all(isinstance(n, int | float) for n in attribute):
        given = np.array(attribute)
    elif context.optional(index) is not None:
        given = context.numbers(index)
    by_size = given.size == 0 and context.optional(3) is not None
    if by_size:
        given = context.numbers(3)
        policy = context.text("keep_aspect_ratio_policy", "stretch")
        if policy != "stretch":
            raise context.unsupported(f"keep_aspect_ratio_policy {policy!r}", "use 'stretch'")
    if given.shape != (len(axes),) or len(set(axes)) != len(axes):
        raise context.invalid(f"its scales or sizes do not fit {len(axes)} axes")
    numbers = [float(number) for number in context.to_exact(given)]
    if any(not 0 < number <= _MAX_SIZE for number in numbers):
        raise context.invalid(f"scales or sizes {numbers[:8]}")
    scales, sizes = [_ONE] * len(shape), list(shape)
    for axis, number in zip(axes, numbers):
        if by_size:
            sizes[axis], scales[axis] = int(number), np.float32(number / shape[axis])
        else:
            scales[axis] = np.float32(number)
            sizes[axis] = int(np.floor(np.float32(shape[axis]) * scales[axis]))
    if prod(sizes) == 0:
        raise context.invalid(f"scales {numbers[:8]} leave nothing of {list(shape)}")
    return scales, tuple(sizes)


def _places(context: NodeContext, size: int, result: int, scale: np.float32) -> IntArray:
    """The place in the operand for each place along an axis of the result."""
    if scale == 1 and size == result:
        return np.arange(size)
    x: Any = np.arange(result, dtype=np.float32)
    if context.opset < 11 or context.node.op == "Upsample":
        real = x / scale
        nearest = np.floor(real) if scale >= 1 else np.ceil(real)
        return _within(nearest, size)
    mode = context.text("coordinate_transformation_mode", "half_pixel")
    match mode:
        case "half_pixel":
            real = (x + _HALF) / scale - _HALF
        case "half_pixel_symmetric":
            adjustment = np.float32(result) / (scale * np.float32(size))
            center = np.float32(size) * _HALF
            real = center * (_ONE - adjustment) + (x + _HALF) / scale - _HALF
        case "pytorch_half_pixel":
            real = (x + _HALF) / scale - _HALF if result > 1 else np.zeros_like(x)
        case "align_corners":
            steps = np.float32(max(result - 1, 1))
            real = x * np.float32(size - 1) / steps
        case "asymmetric":
            real = x / scale
        case "tf_half_pixel_for_nn":
            real = (x + _HALF) / scale
        case _:
            raise context.unsupported(
                f"coordinate transformation {mode!r}", "use 'asymmetric' or 'half_pixel'"
            )
    rounding = context.text("nearest_mode", "round_prefer_floor")
    match rounding:
        case "round_prefer_floor":
            nearest = np.ceil(real - _HALF)
        case "round_prefer_ceil":
            nearest = np.floor(real + _HALF)
        case "floor":
            nearest = np.floor(real)
        case "ceil":
            nearest = np.ceil(real)
        case _:
            raise context.invalid(f"nearest_mode {rounding!r} is unknown")
    return _within(nearest, size)


def _within(places: Array, size: int) -> IntArray:
    return np.clip(places, 0, size - 1).astype(np.int64)
