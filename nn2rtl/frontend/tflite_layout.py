"""TensorFlow Lite's operators that move elements: reshaping, slices, padding, repetition."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import floor, prod

import numpy as np

from nn2rtl.frontend.tflite_context import (
    MAX_GATHER,
    REQUANTIZE,
    Activation,
    Constant,
    OperatorContext,
    Value,
    handles,
    quantization_of,
    sample,
)
from nn2rtl.frontend.tflite_fixed_point import round_away
from nn2rtl.ir.model import Concat, Pad
from nn2rtl.ir.types import IntArray

Shape = tuple[int, ...]


@handles("RESHAPE", supported="constant shape, with at most one -1", behind_tail=True)
def reshape(context: OperatorContext) -> Value:
    x = context.value(0)
    if context.optional(1) is not None:
        wanted = [int(size) for size in context.whole_numbers(1).ravel()]
    else:
        option = context.operator.options.get("NewShape", ())
        wanted = list(option) if isinstance(option, tuple) else []
    size = prod(x.shape)
    if wanted.count(-1) == 1:
        known = prod(n for n in wanted if n != -1)
        wanted[wanted.index(-1)] = size // known if known > 0 else 0
    shape = tuple(wanted)
    if prod(shape) != size or any(n < 1 for n in shape):
        raise context.invalid(f"shape {list(shape)} for an operand of shape {list(x.shape)}")
    return _reshaped(context, x, shape)


@handles("SQUEEZE", "EXPAND_DIMS", supported="constant axes", behind_tail=True)
def insert_or_remove_axes(context: OperatorContext) -> Value:
    x = context.value(0)
    sizes = list(x.shape)
    if context.operator.op == "EXPAND_DIMS":
        axis = int(_single(context, 1))
        sizes.insert(context.axis(axis, (*sizes, 1)), 1)
        return _reshaped(context, x, tuple(sizes))
    option = context.operator.options["SqueezeDims"]
    axes = (
        {context.axis(int(axis), x.shape) for axis in option} if isinstance(option, tuple) else ()
    )
    removed = axes or {axis for axis, size in enumerate(sizes) if size == 1}
    if any(sizes[axis] != 1 for axis in removed):
        raise context.invalid(f"axes {sorted(removed)} of shape {list(x.shape)}")
    shape = tuple(size for axis, size in enumerate(sizes) if axis not in removed)
    return _reshaped(context, x, shape)


@handles("TRANSPOSE", supported="constant permutation")
def transpose(context: OperatorContext) -> Value:
    x = context.value(0)
    rank = len(x.shape)
    permutation = tuple(
        context.axis(int(axis), x.shape) for axis in context.whole_numbers(1).ravel()
    )
    if sorted(permutation) != list(range(rank)):
        raise context.invalid(f"permutation {list(permutation)} of {rank} axes")
    shape = tuple(x.shape[axis] for axis in permutation)
    dropped = rank - len(sample(x.shape))
    if isinstance(x, Activation) and permutation[:dropped] == tuple(range(dropped)):
        inner = tuple(axis - dropped for axis in permutation[dropped:])
        node = context.permuted(x.node, inner, "")
        return context.result(context.reshaped(node, sample(shape)), x, context.check_shape(shape))
    return _rearranged(context, x, _index(context, x).transpose(permutation))


@handles("CONCATENATION", supported="int8 of one quantization, any axis but the batch")
def concatenation(context: OperatorContext) -> Value:
    values = [context.value(index) for index in range(len(context.inputs))]
    if not values or context.fused() != "NONE":
        raise context.unsupported("no operands, or a fused activation")
    axis = context.axis(context.integer("Axis"), values[0].shape)
    rest = {(*v.shape[:axis], *v.shape[axis + 1 :]) for v in values}
    if len(rest) > 1 or len({len(v.shape) for v in values}) > 1:
        raise context.invalid(f"operands of shapes {[list(v.shape) for v in values]}")
    constants = [value.values for value in values if isinstance(value, Constant)]
    if len(constants) == len(values):
        return _constant(context, np.concatenate(constants, axis=axis))
    if constants:
        raise context.unsupported("one operand is a constant", "pad the other one instead")
    tensors = [context.integers(index)[0] for index in range(len(values))]
    for tensor in tensors:
        assert tensor.quantization is not None
        context.same_quantization(tensor.quantization)
    total = sum(tensor.shape[axis] for tensor in tensors)
    shape = (*tensors[0].shape[:axis], total, *tensors[0].shape[axis + 1 :])
    if len(tensors) == 1:
        return context.result(tensors[0].node, tensors[0], context.check_shape(shape))
    inner = context.sample_axis(axis, tensors[0].shape)
    nodes = tuple(tensor.node for tensor in tensors)
    node = context.emit(Concat(inner), nodes, sample(context.check_shape(shape)))
    return context.result(node, tensors[0], shape)


@handles("PAD", "PADV2", supported="int8, constant sizes, any axis but the batch")
def pad(context: OperatorContext) -> Value:
    x, given = context.integers(0)
    context.same_quantization(given)
    sizes = _pads(context, x)
    shape = tuple(int(n + before + after) for n, (before, after) in zip(x.shape, sizes))
    context.check_shape(shape)
    fill = given.zero_point
    if context.operator.op == "PADV2":
        constant = context.constant(2)
        if constant.data.type != "INT8" or quantization_of(constant.data) != given:
            raise context.unsupported("a fill value of another scale", REQUANTIZE)
        fill = int(_single(context, 2))
    inner = sizes[len(x.shape) - len(sample(x.shape)) :]
    if len(inner) < len(sizes) and sizes[0].any():
        raise context.unsupported("it pads the batch dimension", "use another axis")
    if not sizes.any():
        return context.result(x.node, x, shape)
    pads = (*(int(n) for n in inner[:, 0]), *(int(n) for n in inner[:, 1]))
    node = context.emit(Pad(pads, Fraction(fill)), (x.node,), sample(shape))
    return context.result(node, x, shape)


@handles("MIRROR_PAD", supported="int8, constant sizes")
def mirror_pad(context: OperatorContext) -> Value:
    x, given = context.integers(0)
    context.same_quantization(given)
    index = _index(context, x)
    sizes = _pads(context, x)
    symmetric = context.integer("Mode")
    for n, (before, after) in zip(x.shape, sizes):
        if max(before, after) > n - 1 + symmetric:
            raise context.invalid(f"pads of {before} and {after} for {n} elements")
    _check_size(context, [n + int(p.sum()) for n, p in zip(x.shape, sizes)])
    mode = "symmetric" if symmetric else "reflect"
    return _rearranged(context, x, np.pad(index, sizes.tolist(), mode=mode))  # type: ignore[call-overload]


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
        index = _index(context, x)[tuple(cuts)]
    except IndexError:
        raise context.invalid(f"bounds {begin} for shape {list(x.shape)}") from None
    return _rearranged(context, x, index)


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
    return _rearranged(context, x, _index(context, x)[cuts])


@handles("SPLIT", "SPLIT_V", "UNPACK", supported="constant axis")
def split(context: OperatorContext) -> tuple[Value, ...]:
    op = context.operator.op
    x = context.value(1 if op == "SPLIT" else 0)
    if op == "UNPACK":
        axis = context.axis(context.integer("Axis"), x.shape)
    else:
        axis = context.axis(int(_single(context, 0 if op == "SPLIT" else 2)), x.shape)
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
    parts = np.split(_index(context, x), np.cumsum(sizes)[:-1], axis=axis)
    if op == "UNPACK":
        parts = [part.squeeze(axis) for part in parts]
    return tuple(_rearranged(context, x, part, place) for place, part in enumerate(parts))


@handles("GATHER", supported="constant indices")
def gather(context: OperatorContext) -> Value:
    x = context.value(0)
    axis = context.axis(context.integer("Axis"), x.shape)
    chosen = context.whole_numbers(1, 1 << 16)
    if context.integer("BatchDims") or chosen.size == 0:
        raise context.unsupported("batch dimensions, or no indices")
    if chosen.min() < 0 or chosen.max() >= x.shape[axis]:
        raise context.invalid(f"indices from {chosen.min()} to {chosen.max()}")
    _check_size(context, [prod(x.shape) // x.shape[axis], chosen.size])
    return _rearranged(context, x, np.take(_index(context, x), chosen, axis=axis))


@handles("REVERSE_V2", supported="constant axes")
def reverse(context: OperatorContext) -> Value:
    x = context.value(0)
    axes = {context.axis(int(axis), x.shape) for axis in context.whole_numbers(1).ravel()}
    return _rearranged(context, x, np.flip(_index(context, x), tuple(axes)))


@handles("TILE", "BROADCAST_TO", supported="constant sizes")
def repeat(context: OperatorContext) -> Value:
    x = context.value(0)
    sizes = [int(n) for n in context.whole_numbers(1).ravel()]
    if min(sizes, default=0) < 1 or len(sizes) < len(x.shape):
        raise context.invalid(f"sizes {sizes} for shape {list(x.shape)}")
    index = _index(context, x)
    if context.operator.op == "TILE":
        _check_size(context, [*sizes, *x.shape])
        return _rearranged(context, x, np.tile(index, sizes))
    _check_size(context, sizes)
    try:
        return _rearranged(context, x, np.broadcast_to(index, sizes))
    except ValueError:
        raise context.invalid(f"shape {sizes} for an operand {list(x.shape)}") from None


@handles("DEPTH_TO_SPACE", "SPACE_TO_DEPTH", supported="any block size")
def blocks(context: OperatorContext) -> Value:
    x = context.activation(0)
    height, width, channels = context.image(x)
    block = context.integer("BlockSize")
    if block < 1:
        raise context.invalid(f"block size {block}")
    index = _index(context, x)[0]
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
    return _rearranged(context, x, index)


@handles("RESIZE_NEAREST_NEIGHBOR", supported="constant size")
def resize_nearest(context: OperatorContext) -> Value:
    x = context.activation(0)
    size = context.image(x)[:2]
    wanted = [int(n) for n in context.whole_numbers(1).ravel()]
    if len(wanted) != 2 or min(wanted) < 1:
        raise context.invalid(f"size {wanted}")
    _check_size(context, [*wanted, x.shape[3]])
    align, centres = context.integer("AlignCorners"), context.integer("HalfPixelCenters")
    rows, columns = (
        [_nearest(place, n, m, bool(align), bool(centres)) for place in range(m)]
        for n, m in zip(size, wanted)
    )
    return _rearranged(context, x, _index(context, x)[:, rows][:, :, columns])


def _nearest(place: int, size: int, result: int, align: bool, centres: bool) -> int:
    """Which of `size` elements stands at a place of `result`; the kernel counts in float32."""
    if align and result > 1:
        scale = np.float32(size - 1) / np.float32(result - 1)
    else:
        scale = np.float32(size) / np.float32(result)
    at = float((np.float32(place) + np.float32(0.5 if centres else 0)) * scale)
    return max(0, min(round_away(at) if align else floor(at), size - 1))


@handles("SHAPE", supported="as a constant")
def shape_of(context: OperatorContext) -> Value:
    x = context.value(0)
    return _constant(context, np.array(x.shape, dtype=np.int64))


@handles("PACK", supported="of constants")
def pack(context: OperatorContext) -> Value:
    values = [context.constant(index).values for index in range(len(context.inputs))]
    if not values or len({value.shape for value in values}) > 1:
        raise context.invalid("operands of several shapes, or none")
    axis = context.axis(context.integer("Axis"), (*values[0].shape, 1))
    return _constant(context, np.stack(values, axis=axis))


# Parts


def _index(context: OperatorContext, x: Value) -> IntArray:
    """For each element of an operand, its place in the flattened tensor."""
    _check_size(context, x.shape)
    return np.arange(prod(x.shape), dtype=np.int64).reshape(x.shape)


def _check_size(context: OperatorContext, sizes: list[int] | Shape) -> None:
    if prod(sizes) > MAX_GATHER:
        raise context.unsupported(f"a tensor of {prod(sizes)} elements is too large")


def _rearranged(context: OperatorContext, x: Value, index: IntArray, place: int = 0) -> Value:
    shape = tuple(index.shape)
    if isinstance(x, Constant):
        return _constant(context, x.values.ravel()[index], place)
    context.check_shape(shape, place)
    _check_kept(context, x, place)
    return context.result(context.gathered(x.node, index, shape), x, shape)


def _reshaped(context: OperatorContext, x: Value, shape: Shape) -> Value:
    if isinstance(x, Constant):
        return _constant(context, x.values.reshape(shape))
    context.check_shape(shape)
    _check_kept(context, x, 0)
    return replace(x, node=context.reshaped(x.node, sample(shape)), shape=shape)


def _check_kept(context: OperatorContext, x: Activation, place: int) -> None:
    """Moving elements changes neither type nor scale."""
    data = context.results[place]
    if x.quantization is not None and quantization_of(data) != x.quantization:
        raise context.invalid("operand and result have different scales or zero points")


def _constant(context: OperatorContext, values: IntArray, place: int = 0) -> Constant:
    return Constant(np.asarray(values), context.results[place])


def _single(context: OperatorContext, index: int) -> int:
    values = context.whole_numbers(index).ravel()
    if len(values) != 1:
        raise context.invalid(f"input {index} has to be one integer")
    return int(values[0])


def _pads(context: OperatorContext, x: Activation) -> IntArray:
    sizes = context.whole_numbers(1)
    if sizes.shape != (len(x.shape), 2) or sizes.min(initial=0) < 0 or sizes.max() > 1 << 20:
        raise context.invalid(f"pads of shape {list(sizes.shape)} for {list(x.shape)}")
    return sizes
