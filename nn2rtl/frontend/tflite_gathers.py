"""TensorFlow Lite's operators that choose or repeat elements: slices, splits, resizing."""

from __future__ import annotations

from math import floor, prod

import numpy as np

from nn2rtl.frontend.tflite_context import OperatorContext, handles
from nn2rtl.frontend.tflite_fixed_point import round_away
from nn2rtl.frontend.tflite_moves import check_size, pad_sizes, places, rearranged, single
from nn2rtl.frontend.tflite_values import Value


@handles("MIRROR_PAD", supported="int8, constant sizes")
def mirror_pad(context: OperatorContext) -> Value:
    x, given = context.integers(0)
    context.same_quantization(given)
    index = places(context, x)
    sizes = pad_sizes(context, x)
    symmetric = context.integer("Mode")
    for n, (before, after) in zip(x.shape, sizes):
        if max(before, after) > n - 1 + symmetric:
            raise context.invalid(f"pads of {before} and {after} for {n} elements")
    check_size(context, [n + int(p.sum()) for n, p in zip(x.shape, sizes)])
    mode = "symmetric" if symmetric else "reflect"
    return rearranged(context, x, np.pad(index, sizes.tolist(), mode=mode))  # type: ignore[call-overload]


@handles("STRIDED_SLICE", supported="constant bounds; no ellipsis")
def strided_slice(context: OperatorContext) -> Value:
    x = context.value(0)
    begin, end, step = ([int(n) for n in context.whole_numbers(i).ravel()] for i in (1, 2, 3))
    if not len(begin) == len(end) == len(step) or 0 in step:
        raise context.invalid(f"bounds {begin}, {end} with steps {step}")
    if context.integer("EllipsisMask"):
        raise context.unsupported("an ellipsis", "state all axes")
    masks = [context.integer(name) for name in ("BeginMask", "EndMask", "NewAxisMask")]
    shrink = context.integer("ShrinkAxisMask")
    cuts: list[slice | int | None] = []
    for place in range(len(begin)):
        bits = [mask >> place & 1 for mask in masks]
        if bits[2]:
            cuts.append(None)
        elif shrink >> place & 1:
            cuts.append(begin[place])
        else:
            first, last = (
                None if bit else bound for bit, bound in zip(bits, (begin[place], end[place]))
            )
            cuts.append(slice(first, last, step[place]))
    try:
        index = places(context, x)[tuple(cuts)]
    except IndexError:
        raise context.invalid(f"bounds {begin} for shape {list(x.shape)}") from None
    return rearranged(context, x, index)


@handles("SLICE", supported="constant bounds")
def cut(context: OperatorContext) -> Value:
    x = context.value(0)
    begin, size = ([int(n) for n in context.whole_numbers(i).ravel()] for i in (1, 2))
    if len(begin) != len(x.shape) or len(size) != len(begin):
        raise context.invalid(f"bounds {begin} and sizes {size} for shape {list(x.shape)}")
    ends = [n if s == -1 else b + s for n, b, s in zip(x.shape, begin, size)]
    if any(not 0 <= b <= e <= n for n, b, e in zip(x.shape, begin, ends)):
        raise context.invalid(f"bounds {begin} and sizes {size} for shape {list(x.shape)}")
    cuts = tuple(slice(b, e) for b, e in zip(begin, ends))
    return rearranged(context, x, places(context, x)[cuts])


@handles("SPLIT", "SPLIT_V", "UNPACK", supported="constant axis")
def split(context: OperatorContext) -> tuple[Value, ...]:
    op = context.operator.op
    x = context.value(1 if op == "SPLIT" else 0)
    if op == "UNPACK":
        axis = context.axis(context.integer("Axis"), x.shape)
    else:
        axis = context.axis(int(single(context, 0 if op == "SPLIT" else 2)), x.shape)
    length, count = x.shape[axis], len(context.results)
    if op == "SPLIT_V":
        sizes = [int(n) for n in context.whole_numbers(1, 1 << 16).ravel()]
        if sizes.count(-1) == 1:
            sizes[sizes.index(-1)] = length - sum(sizes) - 1
    else:
        sizes = [length // count] * count
    if len(sizes) != count or sum(sizes) != length or min(sizes) < 1:
        raise context.invalid(f"{length} elements in parts of {sizes[:8]}")
    if op == "UNPACK" and length != count:
        raise context.invalid(f"{length} elements as {count} results")
    parts = np.split(places(context, x), np.cumsum(sizes)[:-1], axis=axis)
    if op == "UNPACK":
        parts = [part.squeeze(axis) for part in parts]
    return tuple(rearranged(context, x, part, place) for place, part in enumerate(parts))


@handles("GATHER", supported="constant indices")
def gather(context: OperatorContext) -> Value:
    x = context.value(0)
    axis = context.axis(context.integer("Axis"), x.shape)
    chosen = context.whole_numbers(1, 1 << 16)
    if context.integer("BatchDims") or chosen.size == 0:
        raise context.unsupported("batch dimensions, or no indices")
    if chosen.min() < 0 or chosen.max() >= x.shape[axis]:
        raise context.invalid(f"indices from {chosen.min()} to {chosen.max()}")
    check_size(context, [prod(x.shape) // x.shape[axis], chosen.size])
    return rearranged(context, x, np.take(places(context, x), chosen, axis=axis))


@handles("REVERSE_V2", supported="constant axes")
def reverse(context: OperatorContext) -> Value:
    x = context.value(0)
    axes = {context.axis(int(axis), x.shape) for axis in context.whole_numbers(1).ravel()}
    return rearranged(context, x, np.flip(places(context, x), tuple(axes)))


@handles("TILE", "BROADCAST_TO", supported="constant sizes")
def repeat(context: OperatorContext) -> Value:
    x = context.value(0)
    sizes = [int(n) for n in context.whole_numbers(1).ravel()]
    if min(sizes, default=0) < 1 or len(sizes) < len(x.shape):
        raise context.invalid(f"sizes {sizes} for shape {list(x.shape)}")
    index = places(context, x)
    if context.operator.op == "TILE":
        check_size(context, [*sizes, *x.shape])
        return rearranged(context, x, np.tile(index, sizes))
    check_size(context, sizes)
    try:
        return rearranged(context, x, np.broadcast_to(index, sizes))
    except ValueError:
        raise context.invalid(f"shape {sizes} for an operand {list(x.shape)}") from None


@handles("DEPTH_TO_SPACE", "SPACE_TO_DEPTH", supported="any block size")
def blocks(context: OperatorContext) -> Value:
    x = context.activation(0)
    height, width, channels = context.image(x)
    block = context.integer("BlockSize")
    if block < 1:
        raise context.invalid(f"block size {block}")
    index = places(context, x)[0]
    if context.operator.op == "DEPTH_TO_SPACE":
        depth = channels // block**2
        if depth * block**2 != channels:
            raise context.invalid(f"blocks of {block} in {channels} channels")
        index = index.reshape(height, width, block, block, depth).transpose(0, 2, 1, 3, 4)
        index = index.reshape(1, height * block, width * block, depth)
    else:
        if height % block or width % block:
            raise context.invalid(f"blocks of {block} in an image {height}x{width}")
        index = index.reshape(height // block, block, width // block, block, channels)
        index = index.transpose(0, 2, 1, 3, 4)
        index = index.reshape(1, height // block, width // block, channels * block**2)
    return rearranged(context, x, index)


@handles("RESIZE_NEAREST_NEIGHBOR", supported="constant size")
def resize_nearest(context: OperatorContext) -> Value:
    x = context.activation(0)
    size = context.image(x)[:2]
    wanted = [int(n) for n in context.whole_numbers(1).ravel()]
    if len(wanted) != 2 or min(wanted) < 1:
        raise context.invalid(f"size {wanted}")
    check_size(context, [*wanted, x.shape[3]])
    align, centres = context.integer("AlignCorners"), context.integer("HalfPixelCenters")
    rows, columns = (
        [_nearest(place, n, m, bool(align), bool(centres)) for place in range(m)]
        for n, m in zip(size, wanted)
    )
    return rearranged(context, x, places(context, x)[:, rows][:, :, columns])


def _nearest(place: int, size: int, result: int, align: bool, centres: bool) -> int:
    """Which of `size` elements stands at a place of `result`; the kernel counts in float32."""
    if align and result > 1:
        scale = np.float32(size - 1) / np.float32(result - 1)
    else:
        scale = np.float32(size) / np.float32(result)
    at = float((np.float32(place) + np.float32(0.5 if centres else 0)) * scale)
    return max(0, min(round_away(at) if align else floor(at), size - 1))
