"""TensorFlow Lite's activation functions: of int8, each is a table of 256 integers."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from nn2rtl.frontend import tflite_fixed_point as fixed
from nn2rtl.frontend.tflite_context import OperatorContext, handles
from nn2rtl.frontend.tflite_fixed_point import Multiplier, quantize_multiplier
from nn2rtl.frontend.tflite_requantize import check_sums, clipped, multiplied, prepared
from nn2rtl.frontend.tflite_values import (
    REQUANTIZE,
    Activation,
    Constant,
    Quantization,
    quantization_of,
    sample,
)
from nn2rtl.ir.model import Add, MultiThreshold, Quantize
from nn2rtl.ir.types import IntArray, exact_array

_CODES = np.arange(-128, 128)


@handles("RELU", "RELU6", "RELU_N1_TO_1", supported="int8, with a change of scale")
def relu(context: OperatorContext) -> Activation:
    x, given = context.integers(0)
    result = context.quantization()
    shape = context.check_shape(x.shape)
    ratio = fixed.float32_ratio(given.scale, result.scale)
    multiplier = prepared(context, lambda: quantize_multiplier(ratio))
    check_sums(context, np.array([-256]), np.array([256]), [multiplier])
    node = context.affine(x.node, 1, -given.zero_point, "centred")
    node = multiplied(context, node, [multiplier])
    return Activation(clipped(context, node, result, context.operator.op), shape, result)


@handles("MINIMUM", "MAXIMUM", supported="int8 and one constant")
def bounded(context: OperatorContext) -> Activation:
    order = (1, 0) if isinstance(context.value(0), Constant) else (0, 1)
    (x, given), bound = context.integers(order[0]), context.constant(order[1])
    if bound.values.size != 1:
        raise context.unsupported(f"bounds of shape {list(bound.shape)}", "use one for the tensor")
    if bound.data.type != "INT8" or quantization_of(bound.data) != given:
        raise context.invalid("its operands have different scales or zero points")
    context.same_quantization(given)
    shape = context.check_shape(x.shape)
    level, is_least = int(bound.values.item()), context.operator.op == "MAXIMUM"
    ends = (level, given.high) if is_least else (given.low, level)
    op = Quantize(exact_array(1), exact_array(0), *ends)
    return context.result(context.emit(op, (x.node,), sample(shape)), x, shape)


@handles("LEAKY_RELU", supported="int8")
def leaky_relu(context: OperatorContext) -> Activation:
    x, given = context.integers(0)
    result = context.quantization()
    slope = np.float32(context.real("Alpha"))
    ratio = fixed.float32_ratio(given.scale, result.scale)
    steep = fixed.float32_ratio(fixed.float32_product(given.scale, float(slope)), result.scale)
    below, above = prepared(
        context, lambda: (quantize_multiplier(steep), quantize_multiplier(ratio))
    )
    centred = _CODES - given.zero_point
    check_sums(context, np.array([-256] * 2), np.array([256] * 2), [below, above])
    return _looked_up(context, x, _clip(_two_sided(centred, above, below), result), result)


@handles("PRELU", supported="int8, a constant slope for each channel or one for all")
def prelu(context: OperatorContext) -> Activation:
    x, given = context.integers(0)
    result = context.quantization()
    slopes = context.constant(1)
    if slopes.data.type != "INT8":
        raise context.unsupported(f"slopes of type {slopes.data.type}", REQUANTIZE)
    slope = quantization_of(slopes.data)
    values = slopes.values.astype(np.int64).ravel() - slope.zero_point
    if values.size not in (1, x.shape[-1]) or values.size not in (1, *slopes.shape[-1:]):
        raise context.unsupported(
            f"slopes of shape {list(slopes.shape)}", "share them in a channel"
        )
    ratio = fixed.float32_ratio(given.scale, result.scale)
    steep = fixed.float32_ratio(fixed.float32_product(given.scale, slope.scale), result.scale)
    above, below = prepared(
        context, lambda: (quantize_multiplier(ratio), quantize_multiplier(steep))
    )
    centred = _CODES - given.zero_point
    check_sums(context, np.array([-1 << 16]), np.array([1 << 16]), [below])
    check_sums(context, np.array([-256]), np.array([256]), [above])
    tables = [
        np.where(centred >= 0, _apply(above, centred), _apply(below, centred * value))
        for value in values
    ]
    return _looked_up(context, x, _clip(np.array(tables), result), result)


@handles("HARD_SWISH", supported="int8")
def hard_swish(context: OperatorContext) -> Activation:
    x, given = context.integers(0)
    result = context.quantization()
    wide = fixed.float32_product(1 / 128, given.scale)
    shift, rectifier = prepared(
        context,
        lambda: (
            quantize_multiplier(fixed.float32_ratio(wide, result.scale)),
            quantize_multiplier(fixed.float32_ratio(wide, fixed.float32_ratio(3.0, 32768.0))),
        ),
    )
    if shift.shift > 0 or not -15 <= rectifier.shift <= 15:
        raise context.invalid("the scales of its operand and its result do not fit together")
    table = _hard_swish((_CODES - given.zero_point) * 128, shift, rectifier)
    return _looked_up(context, x, _clip(table[None], result), result)


def _hard_swish(x: IntArray, shift: Multiplier, rectifier: Multiplier) -> IntArray:
    """Of integers with 7 bits of fraction, in 16-bit fixed point; without the zero point."""

    def saturated(y: IntArray) -> IntArray:
        return np.clip(y, -(1 << 15), (1 << 15) - 1)

    def product(y: IntArray, factor: int) -> IntArray:
        return saturated((y * factor + (1 << 14)) >> 15)

    factors = [min((m.mantissa + (1 << 15)) >> 16, (1 << 15) - 1) for m in (shift, rectifier)]
    scaled = product(x, factors[0])
    gate = x
    if rectifier.shift > 0:
        gate = saturated(gate << (rectifier.shift - 1))
    gate = product(gate, factors[1])
    if rectifier.shift > 0:
        gate = saturated(gate << 1)
    gate = _divided(gate, max(-rectifier.shift, 0))
    gate = (gate + (1 << 15)) >> 1
    gated = gate * scaled
    return _divided(np.sign(gated) * (np.abs(gated) >> 15), -shift.shift)


def _smooth_table(
    function: Callable[[float], float], given: Quantization, result: Quantization
) -> IntArray:
    """Of a function that the kernels compute in float32, for each of the 256 integers."""
    with np.errstate(all="ignore"):
        x = np.float32(given.scale) * (_CODES - given.zero_point).astype(np.float32)
        inverse = np.float32(1) / np.float32(result.scale)
        y = np.array([function(float(number)) for number in x], dtype=np.float32)
        scaled = y * inverse
    levels = [fixed.round_away(float(number)) for number in scaled]
    return _clip(np.array(levels, dtype=np.int64), result)


def _float32(number: float) -> float:
    return float(np.float32(number))


def _logistic(x: float) -> float:
    power = _float32(math.exp(min(-x, 700.0)))
    return float(np.float32(1) / np.float32(np.float32(1) + np.float32(power)))


def _elu(x: float) -> float:
    return x if x >= 0 else math.expm1(x)


def _gelu(x: float) -> float:
    return x * 0.5 * (1 + math.erf(x * math.sqrt(0.5)))


def _gelu_by_tanh(x: float) -> float:
    return x * 0.5 * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


_SMOOTH: dict[str, Callable[[float], float]] = {
    "LOGISTIC": _logistic,
    "TANH": math.tanh,
    "ELU": _elu,
}


@handles("LOGISTIC", "TANH", "ELU", "GELU", supported="int8")
def smooth(context: OperatorContext) -> Activation:
    x, given = context.integers(0)
    result = context.quantization()
    function = _SMOOTH.get(context.operator.op, _gelu)
    if context.operator.op == "GELU" and context.integer("Approximate"):
        function = _gelu_by_tanh
    table = prepared(context, lambda: _smooth_table(function, given, result))
    return _looked_up(context, x, table[None], result)


# Tables


def _apply(multiplier: Multiplier, values: IntArray) -> IntArray:
    return np.array([multiplier.apply(int(x)) for x in values], dtype=np.int64)


def _two_sided(centred: IntArray, above: Multiplier, below: Multiplier) -> IntArray:
    table = np.where(centred >= 0, _apply(above, centred), _apply(below, centred))
    return np.asarray(table)[None]


def _divided(values: IntArray, shift: int) -> IntArray:
    """By a power of two, ties away from zero."""
    if shift == 0:
        return values
    size = (np.abs(values) + (1 << (shift - 1))) >> shift
    return np.where(values < 0, -size, size)


def _clip(tables: IntArray, result: Quantization) -> IntArray:
    clipped_tables: IntArray = np.clip(tables + result.zero_point, result.low, result.high)
    return clipped_tables


def _looked_up(
    context: OperatorContext, x: Activation, tables: IntArray, result: Quantization
) -> Activation:
    """The entry of a table for each integer of x; tables are [1 or channels, 256].

    A table that rises is a number of thresholds that are reached. One that also falls is the
    difference of two that rise.
    """
    shape = context.check_shape(x.shape)
    per_channel = len(tables) > 1
    rank = len(sample(shape))
    node = x.node
    if per_channel:
        node = context.permuted(node, (rank - 1, *range(rank - 1)), "channels_first")
    steps = np.diff(tables, axis=1)
    graph_shape = context.graph.types[node].shape
    least = int(tables[:, 0].min())
    rises = np.concatenate([tables[:, :1] - least, np.maximum(steps, 0)], axis=1)
    op = MultiThreshold(_thresholds(rises), exact_array(1).item(), exact_array(least).item())
    result_node = context.emit(op, (node,), graph_shape, "rise")
    falls = np.concatenate([np.zeros_like(tables[:, :1]), np.maximum(-steps, 0)], axis=1)
    if falls.any():
        op = MultiThreshold(_thresholds(falls), exact_array(-1).item(), exact_array(0).item())
        fall = context.emit(op, (node,), graph_shape, "fall")
        result_node = context.emit(Add(), (result_node, fall), graph_shape)
    if per_channel:
        result_node = context.permuted(result_node, (*range(1, rank), 0), "channels_last")
    return Activation(result_node, shape, result, coded=False)


def _thresholds(rises: IntArray) -> npt.NDArray[np.object_]:
    """Ascending thresholds [channels, levels] of what a table rises by at each integer."""
    levels = int(rises.sum(axis=1).max())
    rows = [np.repeat(_CODES, row) for row in rises]
    # A level that a channel never reaches.
    padded = [np.pad(row, (0, levels - len(row)), constant_values=128) for row in rows]
    return exact_array(np.array(padded, dtype=np.int64).reshape(len(rises), levels))
