"""Lowering of softmax in hardware: a quantized one, or TensorFlow Lite's in fixed point."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from nn2rtl.errors import UnsupportedError
from nn2rtl.ir import functions as fn
from nn2rtl.ir import integer as ig
from nn2rtl.ir import model
from nn2rtl.ir.exact import round_exact
from nn2rtl.ir.model import Rounding
from nn2rtl.ir.softmax import exact_tables, kernel_tables
from nn2rtl.ir.types import IntTensor, IntType
from nn2rtl.passes import layout, order
from nn2rtl.passes.lowering import MAX_TABLE_WIDTH, Lowering, ModelNode, Value

MAX_STEPS = 1 << 24
"""Most steps of a quantizer from 0 to 1."""
MAX_KERNEL_CHANNELS = (1 << 12) - 1
"""Most channels whose sum fits TensorFlow Lite's Q12.19."""

_LEAVE_OUT = "leave the softmax to the host: --softmax logits"
_POSITIVE = {  # quotients are not negative
    Rounding.HALF_AWAY: Rounding.HALF_UP,
    Rounding.HALF_TO_ZERO: Rounding.HALF_DOWN,
    Rounding.DOWN: Rounding.FLOOR,
}
_ROUNDINGS = (Rounding.HALF_EVEN, Rounding.HALF_UP, Rounding.HALF_DOWN, Rounding.FLOOR)


def quantized(state: Lowering, node: ModelNode, op: model.Quantize, value: Value) -> Value:
    """A softmax and its quantizer; `value` is the softmax's operand, with the axis as its tail."""
    axis = value.softmax_axis
    assert axis is not None  # the caller's case
    if op.scale.size != 1 or op.zero_point.size != 1:
        raise UnsupportedError(
            "a softmax is quantized with several scales or zero points",
            node=node.source,
            remedy=f"quantize it with one scale, or {_LEAVE_OUT}",
        )
    step, zero = Fraction(op.scale.item()), Fraction(op.zero_point.item())
    if zero.denominator != 1 or 1 / step > MAX_STEPS:
        raise UnsupportedError(
            f"a softmax is quantized with scale {float(step):g} and zero point {float(zero):g}",
            node=node.source,
            remedy=f"use an integer zero point and a scale above {1 / MAX_STEPS:.0e}, "
            f"or {_LEAVE_OUT}",
        )
    rounding = _rounding(node, op, int(zero))
    operand = _vectors(state, node, replace(value, softmax_axis=None), axis)
    scale = _one_scale(state, node, operand)
    name, tensor = state.integers(node, operand)
    greatest = round_exact(1 / step, Rounding.HALF_UP)
    low, high = (
        min(max(number + int(zero), op.low), op.high) for number in (0, greatest)
    )
    tables = exact_tables(scale, step, tensor.channels, tensor.type.high - tensor.type.low)
    softmax = ig.Softmax(
        *tables, int(zero), low, high, ig.Division.EXACT, rounding, op.zero_after
    )
    meaning = fn.affine((step,), (-step * zero,))
    shape = state.graph.types[node.name].shape
    return _appended(state, node, softmax, (name, tensor), operand, shape, meaning)


def fixed_point(
    state: Lowering, node: ModelNode, op: model.FixedPointSoftmax, value: Value
) -> Value:
    """TensorFlow Lite's softmax over the last axis."""
    operand = _vectors(state, node, value, value.position.ndim - 1)
    scale = _one_scale(state, node, operand)
    if scale != op.scale:
        raise UnsupportedError(
            f"its operand has scale {float(scale):g}, not {float(op.scale):g}",
            node=node.source,
            remedy="put a quantizer ahead of the softmax",
        )
    name, tensor = state.integers(node, operand)
    if tensor.channels > MAX_KERNEL_CHANNELS:
        raise UnsupportedError(
            f"fixed-point softmax over {tensor.channels} elements",
            node=node.source,
            remedy=f"use at most {MAX_KERNEL_CHANNELS}, or {_LEAVE_OUT}",
        )
    tables = kernel_tables(
        op.multiplier, op.left_shift, op.diff_min, tensor.type.high - tensor.type.low
    )
    softmax = ig.Softmax(*tables, -128, -128, 127, ig.Division.RECIPROCAL)
    meaning = fn.affine((Fraction(1, 256),), (Fraction(1, 2),))
    shape = state.graph.types[node.name].shape
    return _appended(state, node, softmax, (name, tensor), operand, shape, meaning)


def _appended(
    state: Lowering,
    node: ModelNode,
    op: ig.Softmax,
    source: tuple[str, IntTensor],
    operand: Value,
    shape: tuple[int, ...],
    meaning: fn.AffineStep,
) -> Value:
    name, tensor = source
    result = IntTensor(tensor.shape, IntType(op.low, op.high))
    out = state.append(node.name, op, (name,), result, node.source)
    return Value(out, operand.position.reshape(shape), (meaning,))


def _rounding(node: ModelNode, op: model.Quantize, zero: int) -> Rounding:
    """The rounding of a quotient that is not negative."""
    rounding = op.rounding
    if op.zero_after or zero >= 0:
        rounding = _POSITIVE.get(rounding, rounding)
    if rounding not in _ROUNDINGS:
        raise UnsupportedError(
            f"a softmax is quantized with rounding {op.rounding.value}",
            node=node.source,
            remedy=f"use ROUND (half to even), or {_LEAVE_OUT}",
        )
    return rounding


def _one_scale(state: Lowering, node: ModelNode, value: Value) -> Fraction:
    """The scale of a narrow operand; its offset is the same for all elements, and cancels out."""
    scale, offset = state.uniform_scale(node, value)
    _, tensor = state.integers(node, value)
    if len(offset) > 1 or scale <= 0:
        raise UnsupportedError(
            "softmax of an operand with offsets for each channel, or a scale that is not positive",
            node=node.source,
            remedy=f"put a quantizer ahead of the softmax, or {_LEAVE_OUT}",
        )
    if tensor.type.width > MAX_TABLE_WIDTH:
        raise UnsupportedError(
            f"softmax of integers of {tensor.type.width} bits",
            node=node.source,
            remedy=f"quantize its operand to {MAX_TABLE_WIDTH} bits or fewer, or {_LEAVE_OUT}",
        )
    return scale


def _vectors(state: Lowering, node: ModelNode, value: Value, axis: int) -> Value:
    """The operand with the elements along an axis as the channels of its stream, in any order."""
    value = state.on_grid(node, value)
    _, tensor = state.integers(node, value)
    count = value.position.shape[axis]
    rows = np.sort(np.moveaxis(value.position, axis, -1).reshape(-1, count))
    shape = (1, len(rows), count)
    together = (rows == rows[:, :1] + np.arange(count)).all() and not (rows[:, 0] % count).any()
    if together and layout.is_permutation(value.position, tensor.size):
        return value if tensor.channels == count else state.reshaped(node, value, shape)
    moved = np.moveaxis(value.position, axis, -1)
    position = np.moveaxis(layout.raster_position(moved.shape), -1, axis)
    return order.arranged(state, node, value, position, shape)
