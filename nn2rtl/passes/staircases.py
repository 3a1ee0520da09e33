"""Any elementwise function of wide integers, as the difference of two monotone step functions.

A function that falls and rises (x sigmoid(x) of an accumulator, say) is, on integers and behind a
quantizer, a staircase with steps up and steps down. Those up make one increasing step function,
those down another; the function is their difference. Steps are found by computing the function at
every operand, in float64 and, close to a rounding boundary, in exact arithmetic.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from nn2rtl.errors import UnsupportedError
from nn2rtl.ir import functions as fn
from nn2rtl.ir import integer as ig
from nn2rtl.ir.float_functions import real_values
from nn2rtl.ir.float_quantizers import float_quantized
from nn2rtl.ir.types import IntArray, IntTensor, IntType
from nn2rtl.passes.lowering import MAX_TABLE_WIDTH, Lowering, ModelNode, Value

MAX_OPERANDS = 1 << 22
"""Most operands at which a function is computed, in one channel."""
MAX_EXACT = 4096
"""Most operands close to a boundary, at which it is computed exactly, in one channel."""
MAX_STEPS = 1024
"""Most steps of a staircase."""
_CLOSE = 1e-7


def two_staircases(
    state: Lowering, node: ModelNode, value: Value, quantizer: fn.AnyQuantizer
) -> str:
    """Append the steps up, the steps down, and their difference; return its name."""
    name, tensor = state.integers(node, value)
    low, high = state.operand_ranges(name, uniform=fn.is_uniform(value.chain, quantizer))
    channels = len(low)
    ups: list[IntArray] = []
    downs: list[IntArray] = []
    starts: list[int] = []
    ends = [0, 0]
    for channel in range(channels):
        chain, own = fn.one_channel(value.chain, quantizer, channel)
        results = _results(node, chain, own, int(low[channel]), int(high[channel]))
        change = np.diff(results)
        at = np.arange(low[channel] + 1, high[channel] + 1)
        ups.append(np.repeat(at, np.maximum(change, 0)))
        downs.append(np.repeat(at, np.maximum(-change, 0)))
        starts.append(int(results[0]))
        ends = [min(ends[0], int(results.min())), max(ends[1], int(results.max()))]
    if max(len(row) for row in ups + downs) > MAX_STEPS:
        raise _too_wide(node, tensor.type)
    # What the function starts from differs from channel to channel: steps that all reach.
    base = min(starts)
    lowest = [np.full(start - base, first) for start, first in zip(starts, low, strict=True)]
    ups = [np.concatenate(pair) for pair in zip(lowest, ups, strict=True)]
    names = []
    for hint, rows, least in (("up", ups, base), ("down", downs, 0)):
        values = _padded(rows, high)
        op = ig.Thresholds(least, values, np.zeros(channels, dtype=np.bool_))
        kind = IntType(least, least + values.shape[1])
        result = IntTensor(tensor.shape, kind)
        names.append(state.append(f"{node.name}_{hint}", op, (name,), result, node.source))
    difference = ig.WeightedSum((1, -1))
    kinds = [state.result.types[part].type for part in names]
    widest = IntType(kinds[0].low - kinds[1].high, kinds[0].high - kinds[1].low)
    total = IntTensor(tensor.shape, widest)
    out = state.append(f"{node.name}_sum", difference, tuple(names), total, node.source)
    # The difference never leaves the function's range, which its parts do not show.
    zero = int(quantizer.zero_point[0]) if isinstance(quantizer, fn.Quantizer) else 0
    least, most = min(ends[0], base), ends[1]
    if state.is_padded(node.name):
        least, most = min(least, zero), max(most, zero)
    clip = ig.Thresholds(
        least, np.arange(least + 1, most + 1, dtype=np.int64)[None], np.zeros(1, dtype=np.bool_)
    )
    bounded = IntTensor(tensor.shape, IntType(least, most))
    return state.append(node.name, clip, (out,), bounded, node.source)


def _results(
    node: ModelNode, chain: fn.Chain, quantizer: fn.AnyQuantizer, low: int, high: int
) -> IntArray:
    """The quantized function at every operand of one channel."""
    if high - low >= MAX_OPERANDS:
        raise _too_wide(node, IntType(low, high))
    operands = np.arange(low, high + 1)
    one = np.zeros(1, dtype=np.int64)
    with np.errstate(over="ignore"):
        real = real_values(chain, one, operands.astype(np.float64))
    result, close = float_quantized(quantizer, real, one, _CLOSE)
    doubtful = np.flatnonzero(close)
    if len(doubtful) > MAX_EXACT:
        raise _too_wide(node, IntType(low, high))
    for index in doubtful:
        number = fn.evaluate(chain, Fraction(int(operands[index])), 0)
        result[index] = fn.quantize(quantizer, number, 0)
    return result


def _padded(rows: list[IntArray], high: IntArray) -> IntArray:
    """Rows of one length: what is missing are thresholds that no operand reaches."""
    count = max(1, max(len(row) for row in rows))
    values = np.empty((len(rows), count), dtype=np.int64)
    for index, row in enumerate(rows):
        values[index] = high[index] + 1
        values[index, : len(row)] = row
    return values


def _too_wide(node: ModelNode, kind: IntType) -> UnsupportedError:
    return UnsupportedError(
        f"an activation that does not only increase, of integers of {kind.width} bits",
        node=node.source,
        remedy=f"quantize its operand to {MAX_TABLE_WIDTH} bits or fewer",
    )
