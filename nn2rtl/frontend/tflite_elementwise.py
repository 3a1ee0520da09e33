"""TensorFlow Lite's elementwise arithmetic on two tensors, and changes of scale."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from nn2rtl.frontend import tflite_fixed_point as fixed
from nn2rtl.frontend.tflite_context import MAX_GATHER, OperatorContext, handles
from nn2rtl.frontend.tflite_fixed_point import ADDITION_UNIT
from nn2rtl.frontend.tflite_requantize import check_sums, clipped, multiplied, prepared
from nn2rtl.frontend.tflite_values import (
    REQUANTIZE,
    Activation,
    Constant,
    Quantization,
    meaning,
    quantization_of,
    sample,
)
from nn2rtl.ir.model import Add, Affine, Mul, Quantize, Rounding
from nn2rtl.ir.types import IntArray, exact_array

_BROADCAST = "int8, constants and broadcast operands, fused activation"


@handles("ADD", supported=_BROADCAST)
def add(context: OperatorContext) -> Activation:
    return _sum(context, 1)


@handles("SUB", supported=_BROADCAST)
def subtract(context: OperatorContext) -> Activation:
    return _sum(context, -1)


def _sum(context: OperatorContext, sign: int) -> Activation:
    shape = _broadcast_shape(context)
    result = context.quantization()
    given = [_quantization(context, index) for index in range(2)]
    left, right, whole = prepared(
        context, lambda: fixed.addition(given[0].scale, given[1].scale, result.scale)
    )
    right = replace(right, mantissa=sign * right.mantissa)
    nodes: list[str] = []
    offset = exact_array(0)
    for index, multiplier in enumerate((left, right)):
        part = _centred(context, index, given[index], shape)
        if isinstance(part, str):
            unit = Fraction(ADDITION_UNIT)
            step = ADDITION_UNIT
            nodes.append(multiplied(context, part, [multiplier], unit=unit, step=step))
        else:
            sums = [multiplier.apply(int(x) * ADDITION_UNIT) for x in part.ravel()]
            offset = exact_array(np.array(sums, dtype=np.int64).reshape(part.shape))
    if len(nodes) == 2:
        node = context.emit(Add(), (nodes[0], nodes[1]), sample(shape))
    else:
        node = context.emit(Affine(exact_array(1), offset), (nodes[0],), sample(shape))
    node = multiplied(context, node, [whole])
    return Activation(clipped(context, node, result, context.fused()), shape, result)


@handles("MUL", supported=_BROADCAST)
def multiply(context: OperatorContext) -> Activation:
    shape = _broadcast_shape(context)
    result = context.quantization()
    given = [_quantization(context, index) for index in range(2)]
    multiplier = prepared(
        context, lambda: fixed.multiplication(given[0].scale, given[1].scale, result.scale)
    )
    check_sums(context, np.array([-(1 << 16)]), np.array([1 << 16]), [multiplier])
    parts = [_centred(context, index, given[index], shape) for index in range(2)]
    tensors = [part for part in parts if isinstance(part, str)]
    if len(tensors) == 2:
        node = context.emit(Mul(), (tensors[0], tensors[1]), sample(shape))
    else:
        factor = exact_array(next(part for part in parts if not isinstance(part, str)))
        node = context.emit(Affine(factor, exact_array(0)), (tensors[0],), sample(shape))
    node = multiplied(context, node, [multiplier])
    return Activation(clipped(context, node, result, context.fused()), shape, result)


@handles(
    "QUANTIZE",
    supported="float to int8 or uint8; between int8 and uint8",
    behind_tail=True,
)
def quantize(context: OperatorContext) -> Activation:
    x = context.activation(0)
    shape = context.check_shape(x.shape)
    data = context.results[0]
    if data.type not in ("INT8", "UINT8"):
        raise context.unsupported(f"a result of type {data.type}", REQUANTIZE)
    result = quantization_of(data)
    if x.tail:
        return _behind_softmax(context, x, shape, result)
    given = x.quantization
    if given is None:
        scale = Fraction(result.scale)
        op = Quantize(
            exact_array(scale), exact_array(result.zero_point), result.low, result.high,
            Rounding.HALF_AWAY, zero_after=True,
        )  # fmt: skip
        node = context.emit(op, (x.node,), sample(shape), "quantized")
        node = context.affine(node, 1 / scale, result.zero_point, "integers")
        return Activation(node, shape, result)
    shift = result.zero_point - given.zero_point
    if given.scale == result.scale and result.low - given.low == shift:
        # Only the code changes; into uint8 it does so in hardware, for the network's output.
        node = context.affine(x.node, 1, shift, "recoded")
        if result.low == 0:
            one, none = exact_array(1), exact_array(0)
            code = Quantize(one, none, result.low, result.high)
            node = context.emit(code, (node,), sample(shape), "quantized")
        return Activation(node, shape, result)
    ratio = given.scale / result.scale
    multiplier = prepared(context, lambda: fixed.quantize_multiplier(ratio))
    check_sums(context, np.array([-256]), np.array([256]), [multiplier])
    node = context.affine(x.node, 1, -given.zero_point, "centred")
    node = multiplied(context, node, [multiplier])
    return Activation(clipped(context, node, result), shape, result)


def _behind_softmax(
    context: OperatorContext, x: Activation, shape: tuple[int, ...], result: Quantization
) -> Activation:
    if x.tail != "SOFTMAX" or (result.scale, result.zero_point) != (1 / 256, result.low):
        raise context.unsupported(f"another scale behind {x.tail}", f"drop it: end with {x.tail}")
    return replace(x, shape=shape)


@handles("DEQUANTIZE", supported="of int8 and uint8, at the output", behind_tail=True)
def dequantize(context: OperatorContext) -> Activation:
    x = context.activation(0)
    shape = context.check_shape(x.shape)
    if x.quantization is None:
        return replace(x, shape=shape)  # behind softmax the graph has real values already
    scale, offset = meaning(x.quantization)
    return Activation(context.affine(x.node, scale, offset, "meaning"), shape, None)


# Operands


def _quantization(context: OperatorContext, index: int) -> Quantization:
    value = context.value(index)
    if isinstance(value, Constant):
        if value.data.type != "INT8":
            raise context.unsupported(f"a constant of type {value.data.type}", REQUANTIZE)
        return quantization_of(value.data)
    return context.integers(index)[1]


def _centred(
    context: OperatorContext, index: int, given: Quantization, shape: tuple[int, ...]
) -> str | IntArray:
    """Integers without their zero point: a node of a shape of the file, or a constant for it."""
    value = context.value(index)
    if isinstance(value, Constant):
        dropped = len(shape) - len(sample(shape))
        values = value.values.astype(np.int64) - given.zero_point
        full = values.reshape((1,) * (len(shape) - values.ndim) + values.shape)
        return full.reshape(full.shape[dropped:])
    indices = np.arange(context.graph.types[value.node].size, dtype=np.int64)
    if np.prod(shape) > MAX_GATHER:
        raise context.unsupported(f"a result of shape {list(shape)} is too large")
    spread = np.broadcast_to(indices.reshape(value.shape), shape)
    node = context.gathered(value.node, spread, shape)
    return context.affine(node, 1, -given.zero_point, "centred")


def _broadcast_shape(context: OperatorContext) -> tuple[int, ...]:
    shapes = [context.value(index).shape for index in range(2)]
    if all(isinstance(context.value(index), Constant) for index in range(2)):
        raise context.unsupported("both operands are constants", "fold them before the export")
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        raise context.invalid(f"operands of shapes {list(map(list, shapes))}") from None
    return context.check_shape(tuple(int(size) for size in shape))
