"""Operators whose result holds elements of a tensor at constant places, and Concat.

Each rearranges numbered places as numpy does; the places become the index of one Gather. The same
rearrangement of values serves constants.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np

from nn2rtl.frontend.constants import rearranged
from nn2rtl.frontend.context import MAX_EXACT, NodeContext
from nn2rtl.frontend.registry import handles
from nn2rtl.frontend.shapes import axes_of, axis_of, sample_axis
from nn2rtl.frontend.source import Array, is_integral
from nn2rtl.frontend.values import Constant, Tensor, Value
from nn2rtl.ir.model import Concat, Gather, Pad, Reshape

_KEEP = "keep the batch dimension first, with size 1"
_MAX_PLACES = 1 << 23  # elements of a rearranged tensor


def moved(context: NodeContext, value: Value, rearrange: Callable[[Array], Array]) -> Value:
    """A tensor or constant with its elements taken elsewhere.

    Parameters
    ----------
    rearrange : callable
        From an array of the value's shape in the file (with the batch) to the result.
    """
    if isinstance(value, Constant):
        return Constant(np.asarray(rearrange(value.values)), value.integers)
    if not isinstance(value, Tensor):
        return rearranged(value, rearrange)
    check_size(context, value.batched)
    places = np.asarray(rearrange(np.arange(prod(value.shape)).reshape(value.batched)))
    if places.ndim < 1 or places.shape[0] != 1:
        raise context.unsupported(
            f"it would turn {list(value.batched)} into {list(places.shape)}, "
            "which has no batch of one",
            _KEEP,
        )
    return gathered(context, value, places[0])


def gathered(context: NodeContext, x: Tensor, index: Array) -> Tensor:
    """Elements of the flattened tensor at the places `index`."""
    if index.size == prod(x.shape) and np.array_equal(index.ravel(), np.arange(index.size)):
        return x if index.shape == x.shape else context.emit(Reshape(), (x,), index.shape)
    return context.emit(Gather(index.astype(np.int64)), (x,), index.shape)


def broadcast(context: NodeContext, x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The tensor repeated to the shape (with the batch) that it and `shape` broadcast to."""
    try:
        joint = np.broadcast_shapes(x.batched, shape)
    except ValueError:
        raise context.invalid(
            f"shapes {list(x.batched)} and {list(shape)} do not broadcast"
        ) from None
    if joint == x.batched:
        return x
    check_size(context, joint)
    result = moved(context, x, lambda array: np.broadcast_to(array, joint))
    assert isinstance(result, Tensor)
    return result


def check_size(context: NodeContext, shape: tuple[int, ...], constant: bool = False) -> None:
    """UnsupportedError if a result would be too large."""
    if prod(max(size, 1) for size in shape) > (MAX_EXACT if constant else _MAX_PLACES):
        raise context.unsupported(f"a result of shape {list(shape)[:8]} is too large")


def file_shape(value: Value) -> tuple[int, ...]:
    """A value's shape as the model file has it."""
    return value.batched if isinstance(value, Tensor) else value.shape


@handles("Gather", supported="constant indices into a tensor or constant")
def gather(context: NodeContext) -> Value:
    value, indices = context.value(0), context.numbers(1)
    shape = file_shape(value)
    axis = axis_of(context, context.integer("axis", 0), len(shape))
    size = shape[axis]
    if not is_integral(indices) or np.any((indices < -size) | (indices >= size)):
        raise context.invalid(f"its indices do not fit axis {axis} of size {size}")
    if isinstance(value, Tensor) and axis == 0:
        raise context.unsupported("it takes elements of the batch dimension", _KEEP)
    check_size(
        context, (indices.size, *shape[:axis], *shape[axis + 1 :]), not isinstance(value, Tensor)
    )
    return moved(context, value, lambda array: np.take(array, indices, axis))


@handles("Slice", supported="constant starts, ends, axes and steps, also negative steps")
def slice_(context: NodeContext) -> Value:
    value = context.value(0)
    rank = len(file_shape(value))
    steps: tuple[int, ...] | None = None
    if context.opset < 10:
        starts, ends = context.integers("starts"), context.integers("ends")
        axes = context.integers("axes")
    else:
        starts, ends = context.whole_numbers(1), context.whole_numbers(2)
        axes = None if context.optional(3) is None else context.whole_numbers(3)
        steps = None if context.optional(4) is None else context.whole_numbers(4)
    if starts is None or ends is None:
        raise context.invalid("its starts or ends are missing")
    axes = tuple(range(len(starts))) if axes is None else axes
    steps = (1,) * len(starts) if steps is None else steps
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise context.invalid("its starts, ends, axes and steps do not fit each other")
    axes_of(context, axes, rank)
    cuts = [slice(None)] * rank
    for start, end, axis, step in zip(starts, ends, axes, steps):
        size = file_shape(value)[axis % rank]
        # Python reads an end below -size as "before the first" only for positive steps.
        last = None if step < 0 and end < -size else end
        cuts[axis % rank] = slice(start, last, step)
    return moved(context, value, lambda array: array[tuple(cuts)])


@handles("Split", supported="equal parts, or constant sizes; any axis but the batch")
def split(context: NodeContext) -> tuple[Value | None, ...]:
    value = context.value(0)
    shape = file_shape(value)
    axis = axis_of(context, context.integer("axis", 0), len(shape))
    if isinstance(value, Tensor) and axis == 0:
        raise context.unsupported("it works across the batch dimension", "use another axis")
    sizes = context.integers("split")
    if context.opset >= 13:
        sizes = None if context.optional(1) is None else context.whole_numbers(1)
    if sizes is None:
        count = context.integer("num_outputs", len(context.node.outputs))
        if not 1 <= count <= max(shape[axis], 1):
            raise context.invalid(f"{count} parts of {shape[axis]} elements")
        part = -(-shape[axis] // count)  # the last one may be smaller
        sizes = (part,) * (count - 1) + (shape[axis] - part * (count - 1),)
    if sum(sizes) != shape[axis] or any(size < 0 for size in sizes):
        raise context.invalid(f"parts of {list(sizes)[:8]} do not make {shape[axis]} elements")
    bounds = np.cumsum((0, *sizes)).tolist()

    def part_of(begin: int, end: int) -> Value:
        cut = (*(slice(None),) * axis, slice(begin, end))
        return moved(context, value, lambda array: array[cut])

    names = context.node.outputs  # unread parts are not made
    return tuple(
        part_of(begin, end) if name else None
        for name, begin, end in zip(names, bounds, bounds[1:], strict=False)
    )


@handles("Expand", supported="constant shape")
def expand(context: NodeContext) -> Value:
    value, target = context.value(0), context.whole_numbers(1)
    shape = file_shape(value)
    try:
        joint = np.broadcast_shapes(shape, target)
    except ValueError:
        raise context.invalid(
            f"shapes {list(shape)} and {list(target)[:8]} do not broadcast"
        ) from None
    check_size(context, joint, not isinstance(value, Tensor))
    return moved(context, value, lambda array: np.broadcast_to(array, joint))


@handles("Tile", supported="constant repeats")
def tile(context: NodeContext) -> Value:
    value, repeats = context.value(0), context.whole_numbers(1)
    shape = file_shape(value)
    if len(repeats) != len(shape) or any(count < 1 for count in repeats):
        raise context.invalid(f"repeats {list(repeats)[:8]} of a tensor {list(shape)}")
    check_size(context, tuple(map(int.__mul__, shape, repeats)), not isinstance(value, Tensor))
    return moved(context, value, lambda array: np.tile(array, repeats))


@handles("Concat", supported="tensors, or constants; tensors and constants that are all one number")
def concat(context: NodeContext) -> Value:
    parts = [context.value(index) for index in range(len(context.inputs))]
    if not parts or not file_shape(parts[0]):
        raise context.invalid("it has nothing to join")
    rank = len(file_shape(parts[0]))
    axis = axis_of(context, context.integer("axis", 0), rank)
    shapes = [file_shape(part) for part in parts]
    if len({(len(s), s[:axis], s[axis + 1 :]) for s in shapes}) > 1:
        shown = [list(shape) for shape in shapes[:4]]
        raise context.invalid(f"shapes {shown} do not join along axis {axis}")
    if not any(isinstance(part, Tensor) for part in parts):
        check_size(context, (sum(prod(shape) for shape in shapes),), constant=True)
        return Constant(
            np.concatenate([context.numbers(index) for index in range(len(parts))], axis)
        )
    parts = [part for part, shape in zip(parts, shapes) if shape[axis]]
    return _joined(context, parts, sample_axis(context, axis, rank))


def _joined(context: NodeContext, parts: list[Value], axis: int) -> Tensor:
    """Tensors joined; constants before or behind a tensor pad it."""
    tensors: list[Tensor] = []
    before: list[Array] = []
    for part in parts:
        if isinstance(part, Tensor):
            while before:
                part = _padded(context, part, before.pop(), axis, first=True)
            tensors.append(part)
            continue
        numbers = part.values if isinstance(part, Constant) else part.exact()
        if tensors:
            tensors[-1] = _padded(context, tensors[-1], numbers, axis, first=False)
        else:
            before.append(numbers)
    if len(tensors) == 1:
        return tensors[0]
    first = tensors[0].shape
    length = sum(tensor.shape[axis] for tensor in tensors)
    return context.emit(Concat(axis), tuple(tensors), (*first[:axis], length, *first[axis + 1 :]))


def _padded(context: NodeContext, x: Tensor, constant: Array, axis: int, first: bool) -> Tensor:
    numbers = set(context.to_exact(constant).ravel())
    if len(numbers) != 1:
        raise context.unsupported(
            "it joins a tensor with different constants",
            "join tensors only, or a tensor and constants that are all the same number",
        )
    pads = [0] * (2 * len(x.shape))
    length = constant.shape[axis + 1]
    pads[axis if first else axis + len(x.shape)] = length
    shape = (*x.shape[:axis], x.shape[axis] + length, *x.shape[axis + 1 :])
    return context.emit(Pad(tuple(pads), numbers.pop()), (x,), shape)


@handles("Pad", supported="constant, reflect, edge and wrap mode; constant pads; not the batch")
def pad(context: NodeContext) -> Value:
    value, mode = context.value(0), context.text("mode", "constant")
    shape = file_shape(value)
    pads = _pads(context, len(shape))
    if mode not in ("constant", "reflect", "edge", "wrap"):
        raise context.invalid(f"mode {mode!r} is unknown")
    if isinstance(value, Tensor) and any(pads[0]):
        raise context.unsupported("it pads the batch dimension", _KEEP)
    crop = tuple(
        slice(max(-before, 0), size - max(-after, 0)) for size, (before, after) in zip(shape, pads)
    )
    margins = [(max(before, 0), max(after, 0)) for before, after in pads]
    kept = [max(len(range(size)[cut]), 0) for size, cut in zip(shape, crop)]
    joint = tuple(size + sum(margin) for size, margin in zip(kept, margins))
    if 0 in kept and any(pads):
        raise context.invalid(f"pads {pads[:8]} leave nothing of {list(shape)}")
    check_size(context, joint, not isinstance(value, Tensor))
    if mode == "reflect" and any(max(m) >= max(k, 1) for m, k in zip(margins, kept)):
        raise context.invalid(f"it reflects more than there is of {list(shape)}")
    if mode != "constant":
        filled: Any = mode
        return moved(context, value, lambda array: np.pad(array[crop], margins, mode=filled))
    x = moved(context, value, lambda array: array[crop])
    fill = _fill(context)
    if not isinstance(x, Tensor):
        numbers: Any = x.values if isinstance(x, Constant) else x.exact()
        numbers = (
            numbers if is_integral(numbers) and fill.denominator == 1 else context.to_exact(numbers)
        )
        fill_value: Any = fill if numbers.dtype == object else int(fill)
        return Constant(np.pad(numbers, margins, constant_values=fill_value))
    if joint == x.batched:
        return x
    sides = tuple(m[0] for m in margins[1:]) + tuple(m[1] for m in margins[1:])
    return context.emit(Pad(sides, fill), (x,), joint[1:])


def _pads(context: NodeContext, rank: int) -> list[tuple[int, int]]:
    """Elements before and behind, for each axis of the file's shape."""
    axes: tuple[int, ...] = tuple(range(rank))
    if context.opset < 11:
        given = context.integers("pads")
    else:
        given = context.whole_numbers(1)
        if context.optional(3) is not None:
            axes = tuple(axis_of(context, axis, rank) for axis in context.whole_numbers(3))
    if given is None or len(given) != 2 * len(axes) or len(set(axes)) != len(axes):
        raise context.invalid(f"its pads do not fit {len(axes)} axes")
    if any(abs(number) > _MAX_PLACES for number in given):
        raise context.unsupported("its pads are too large")
    result = [(0, 0)] * rank
    for axis, before, after in zip(axes, given, given[len(axes) :]):
        result[axis] = (before, after)
    return result


def _fill(context: NodeContext) -> Fraction:
    if context.opset < 11:
        return Fraction(context.finite("value", 0.0))
    if context.optional(2) is None:
        return Fraction(0)
    values = context.exact(2)
    if values.size != 1:
        raise context.invalid(f"its constant has shape {list(values.shape)}")
    number: Fraction = values.reshape(-1)[0]
    return number


@handles("DepthToSpace", "SpaceToDepth", supported="any block size, both modes")
def depth_to_space(context: NodeContext) -> Value:
    x, block = context.tensor(0), context.integer("blocksize", 0)
    mode = context.text("mode", "DCR")
    if len(x.shape) != 3 or block < 1 or mode not in ("DCR", "CRD"):
        raise context.invalid(f"blocks of {block} ({mode}) of a tensor {list(x.batched)}")
    c, h, w = x.shape
    if context.node.op == "SpaceToDepth":
        if h % block or w % block:
            raise context.invalid(f"blocks of {block} do not divide {list(x.batched)}")
        places = np.arange(c * h * w).reshape(c, h // block, block, w // block, block)
        places = places.transpose(2, 4, 0, 1, 3)
        return gathered(context, x, places.reshape(-1, h // block, w // block))
    if c % block**2:
        raise context.invalid(f"blocks of {block} do not divide {c} channels")
    depth = c // block**2
    if mode == "DCR":
        places = np.arange(c * h * w).reshape(block, block, depth, h, w).transpose(2, 3, 0, 4, 1)
    else:
        places = np.arange(c * h * w).reshape(depth, block, block, h, w).transpose(0, 3, 1, 4, 2)
    return gathered(context, x, places.reshape(depth, h * block, w * block))
