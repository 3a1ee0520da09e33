"""Lowering of quantizers: the chain ahead of one and the quantizer become one exact function."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from nn2rtl.errors import UnsupportedError
from nn2rtl.ir import functions as fn
from nn2rtl.ir import integer as ig
from nn2rtl.ir import model
from nn2rtl.ir.thresholds import thresholds
from nn2rtl.ir.types import IntArray, IntTensor, IntType
from nn2rtl.passes import layout, softmax
from nn2rtl.passes.lowering import MAX_TABLE_WIDTH, Lowering, ModelNode, Value
from nn2rtl.passes.staircases import two_staircases


def quantize(state: Lowering, node: ModelNode, op: model.Quantize, value: Value) -> Value:
    if value.softmax_axis is not None and value.argmax_axis is None:
        return softmax.quantized(state, node, op, value)
    scale = state.channelwise(node, value, op.scale)
    zero = state.channelwise(node, value, op.zero_point)
    quantizer = fn.Quantizer(scale, zero, op.low, op.high, op.rounding, op.zero_after)
    return quantized(state, node, value, quantizer)


def bipolar(state: Lowering, node: ModelNode, op: model.BipolarQuantize, value: Value) -> Value:
    scale = state.channelwise(node, value, op.scale)
    result = quantized(state, node, value, fn.SignQuantizer())
    meaning = fn.affine(tuple(2 * s for s in scale), tuple(-s for s in scale))
    return replace(result, chain=(meaning,))


def multi_threshold(
    state: Lowering, node: ModelNode, op: model.MultiThreshold, value: Value
) -> Value:
    shape = value.position.shape
    axes = (len(op.thresholds),) + (1,) * (len(shape) - 1)
    columns = [
        state.channelwise(node, value, column.reshape(axes) if len(column) > 1 else column)
        for column in op.thresholds.T
    ]
    count = max((len(column) for column in columns), default=1)
    rows = tuple(
        tuple(fn.pick(column, channel) for column in columns) for channel in range(count)
    )
    # Integers that are the results, but for their scale, where there are such.
    first = op.bias / op.scale if op.scale else Fraction(0)
    low = int(first) if first.denominator == 1 else 0
    result = quantized(state, node, value, fn.StepQuantizer(rows, low))
    return replace(result, chain=(fn.affine((op.scale,), (op.bias - low * op.scale,)),))


def quantized(
    state: Lowering, node: ModelNode, value: Value, quantizer: fn.AnyQuantizer
) -> Value:
    """Append the integer function that a chain and a quantizer make."""
    chain = _meaning(quantizer)
    if value.name is None:
        return _quantized_input(state, node, value, quantizer, chain)
    tensor = state.result.types[value.name]
    op: ig.IntOp
    if fn.is_monotone(value.chain):
        op, kind = _steps(state, node, value, quantizer)
    elif tensor.type.width <= MAX_TABLE_WIDTH and fn.is_uniform(value.chain, quantizer):
        op, kind = _table(state, node, value, quantizer)
    else:
        name = two_staircases(state, node, value, quantizer)
        return Value(name, value.position, chain)
    result = IntTensor(tensor.shape, kind)
    name = state.append(node.name, op, (value.name,), result, node.source)
    return Value(name, value.position, chain)


def _meaning(quantizer: fn.AnyQuantizer) -> fn.Chain:
    """From a quantizer's integers to real numbers."""
    if not isinstance(quantizer, fn.Quantizer):
        return ()
    count = max(len(quantizer.scale), len(quantizer.zero_point))
    offset = tuple(
        -fn.pick(quantizer.scale, c) * fn.pick(quantizer.zero_point, c) for c in range(count)
    )
    return (fn.affine(quantizer.scale, offset),)


def _steps(
    state: Lowering, node: ModelNode, value: Value, quantizer: fn.AnyQuantizer
) -> tuple[ig.Thresholds, IntType]:
    """The integer thresholds of a monotone chain."""
    name, _ = state.integers(node, value)
    low, high = state.operand_ranges(name, uniform=fn.is_uniform(value.chain, quantizer))
    channels = len(low)
    rows: list[IntArray] = []
    senses: list[bool] = []
    known: dict[object, tuple[IntArray, bool]] = {}
    for channel in range(channels):
        ends = int(low[channel]), int(high[channel])
        own = (*fn.one_channel(value.chain, quantizer, channel), *ends)
        if own not in known:
            known[own] = thresholds(own[0], own[1], 0, *ends)
        row, decreasing = known[own]
        rows.append(row)
        senses.append(decreasing)
    values = np.array(rows, dtype=np.int64).reshape(channels, -1)
    decreasing_rows = np.array(senses, dtype=np.bool_)
    least, greatest = _levels(values, decreasing_rows, low, high)
    # Levels that no operand reaches, or that every one does, are not built; but padding needs
    # the zero.
    zero = _padding_level(state, node, quantizer)
    if zero is not None:
        least, greatest = min(least, zero), max(greatest, zero)
    values = values[:, least:greatest]
    definition = ig.Definition(value.chain, quantizer)
    least, greatest = least + quantizer.low, greatest + quantizer.low
    return ig.Thresholds(least, values, decreasing_rows, definition), IntType(least, greatest)


def _levels(
    values: IntArray, decreasing: npt.NDArray[np.bool_], low: IntArray, high: IntArray
) -> tuple[int, int]:
    """Least and greatest number of thresholds that an operand reaches."""
    sense = decreasing[:, None]
    at_low = np.where(sense, low[:, None] <= values, low[:, None] >= values).sum(axis=1)
    at_high = np.where(sense, high[:, None] <= values, high[:, None] >= values).sum(axis=1)
    return int(min(at_low.min(), at_high.min())), int(max(at_low.max(), at_high.max()))


def _padding_level(
    state: Lowering, node: ModelNode, quantizer: fn.AnyQuantizer
) -> int | None:
    """The level (from 0 on) that stands for zero, if a layer behind pads with it."""
    if not isinstance(quantizer, fn.Quantizer) or not state.is_padded(node.name):
        return None
    zero = int(quantizer.zero_point[0])
    return min(max(zero, quantizer.low), quantizer.high) - quantizer.low


def _table(
    state: Lowering, node: ModelNode, value: Value, quantizer: fn.AnyQuantizer
) -> tuple[ig.Lookup, IntType]:
    """The results of any function of a narrow operand."""
    _, tensor = state.integers(node, value)
    operands = range(tensor.type.low, tensor.type.high + 1)
    results = [
        fn.quantize(quantizer, fn.evaluate(value.chain, Fraction(q), 0), 0) for q in operands
    ]
    ends = [min(results), max(results)]
    zero = _padding_level(state, node, quantizer)
    if zero is not None:
        ends += [zero + quantizer.low]
    table = np.array(results, dtype=np.int64)
    definition = ig.Definition(value.chain, quantizer)
    return ig.Lookup(tensor.type.low, table, definition), IntType(min(ends), max(ends))


def _quantized_input(
    state: Lowering,
    node: ModelNode,
    value: Value,
    quantizer: fn.AnyQuantizer,
    chain: fn.Chain,
) -> Value:
    """The input stream; the same one for each equal quantizer."""
    known = state.result.input
    if known is not None:
        if (known.chain, known.quantizer) != (value.chain, quantizer):
            raise UnsupportedError(
                "the network's input is quantized in two ways",
                node=node.source,
                remedy="quantize the input once, and its copies again if need be",
            )
        source = next(n.name for n in state.result if isinstance(n.op, ig.Input))
        return Value(source, value.position, chain)
    size = state.values[state.input_name].position.size
    result = IntTensor((1, 1, size), IntType(quantizer.low, quantizer.high))
    name = state.append(state.input_name, ig.Input(), (), result, state.input_name)
    state.result.input = ig.InputSpec(
        state.input_name,
        state.graph.types[state.input_name].shape,
        layout.invert(state.values[state.input_name].position),
        value.chain,
        quantizer,
        np.arange(size, dtype=np.int64),
    )
    return Value(name, value.position, chain)
