"""Exact integer interpreter of the integer graph: the golden model.

Matrix products go through BLAS in float32 while every partial sum provably fits 24 bits, in
float64 up to 53 bits, and through int64 beyond: the result is exact in each case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from nn2rtl.ir import integer as ig
from nn2rtl.ir import softmax
from nn2rtl.ir.graph import Node
from nn2rtl.ir.types import IntArray, IntTensor

Array = npt.NDArray[Any]

_BATCH_ELEMENTS = 1 << 20  # of the largest tensor in a batch: a few megabytes, as caches hold


class Reference:
    """An integer graph, prepared for execution.

    Parameters
    ----------
    graph : IntegerGraph
        What to compute.
    """

    def __init__(self, graph: ig.IntegerGraph) -> None:
        self.graph = graph
        self.steps = [
            (node.name, node.inputs, _prepare(graph, node))
            for node in graph
            if not isinstance(node.op, ig.Input)
        ]
        self.source = next(node.name for node in graph if isinstance(node.op, ig.Input))
        self.last_use = {name: i for i, (_, inputs, _) in enumerate(self.steps) for name in inputs}

    def run(self, stream: IntArray) -> IntArray:
        """Integer outputs for integer inputs.

        Batches run on all cores, each with a single-threaded BLAS: products of the size of one
        layer do not gain from more threads.

        Parameters
        ----------
        stream : int array [samples, elements]
            Inputs in stream order.

        Returns
        -------
        int64 array [samples, elements]
            Outputs in stream order.
        """
        batch = min(max(_BATCH_ELEMENTS // _largest(self.graph), 16), 4096)
        parts = [stream[i : i + batch] for i in range(0, len(stream), batch)]
        if len(parts) <= 1:
            return self._run(stream)
        with threadpool_limits(1, "blas"), ThreadPoolExecutor(cpu_count() or 1) as pool:
            return np.concatenate(list(pool.map(self._run, parts)))

    def tensors(self, stream: IntArray) -> Iterator[tuple[str, IntArray]]:
        """Name and value [samples, height, width, channels] of every tensor, in order."""
        values = {self.source: self._input(stream)}
        yield self.source, values[self.source].astype(np.int64)
        for name, inputs, compute in self.steps:
            values[name] = compute(*(values[i] for i in inputs))
            yield name, values[name].astype(np.int64)

    def _input(self, stream: IntArray) -> Array:
        return stream.reshape(len(stream), *self.graph.types[self.source].shape)

    def _run(self, stream: IntArray) -> IntArray:
        values = {self.source: self._input(stream)}
        for index, (name, inputs, compute) in enumerate(self.steps):
            values[name] = compute(*(values[i] for i in inputs))
            for used in set(inputs):
                if self.last_use[used] == index and used not in self.graph.outputs:
                    del values[used]
        result = values[self.graph.outputs[0]]
        return result.reshape(len(stream), -1).astype(np.int64)


def _largest(graph: ig.IntegerGraph) -> int:
    """Elements of the largest tensor of one sample, windows spread out included."""
    sizes = [tensor.size for tensor in graph.types.values()]
    for node in graph:
        if isinstance(node.op, ig.Conv | ig.MaxPool | ig.SumPool):
            height, width, _ = graph.types[node.name].shape
            channels = graph.types[node.inputs[0]].channels
            sizes.append(height * width * node.op.window.taps * channels)
    return max(sizes)


def _prepare(graph: ig.IntegerGraph, node: Node[ig.IntOp]) -> Callable[..., Array]:
    op, operand = node.op, graph.types[node.inputs[0]]
    shape = graph.types[node.name].shape
    if isinstance(op, ig.Conv):
        return _conv(op, operand, shape)
    if isinstance(op, ig.MaxPool | ig.SumPool):
        return _pool(op, operand, shape)
    if isinstance(op, ig.WeightedSum):
        a, b = op.weights
        return lambda x, y: _as_int(x) * a + _as_int(y) * b
    if isinstance(op, ig.Product):
        first, second = op.offsets
        return lambda x, y: (_as_int(x) + first) * (_as_int(y) + second)
    if isinstance(op, ig.Concat):
        return lambda *parts: np.concatenate(parts, op.axis + 1)
    if isinstance(op, ig.Gather):
        return _gather(op, shape)
    if isinstance(op, ig.Lookup):
        table, low = op.table.astype(_exact_dtype(int(np.abs(op.table).max()))), op.low
        return lambda x: table[_as_int(x) - low]
    if isinstance(op, ig.Requantize):
        return _requantize(op, *ig.ranges(graph, node.inputs[0]))
    if isinstance(op, ig.Thresholds):
        return _thresholds(op)
    if isinstance(op, ig.Softmax):
        return lambda x: softmax.evaluate(op, _as_int(x))
    if isinstance(op, ig.ArgMax):
        return lambda x: np.asarray(np.argmax(x.reshape(len(x), -1), axis=1)).reshape(-1, 1, 1, 1)
    if isinstance(op, ig.Reshape):
        return lambda x: np.reshape(x, (len(x), *shape))
    raise TypeError(f"no reference for {type(op).__name__}")


def _gather(op: ig.Gather, shape: tuple[int, int, int]) -> Callable[..., Array]:
    outside = op.index < 0
    index = np.where(outside, 0, op.index)

    def compute(x: Array) -> Array:
        y = x.reshape(len(x), -1)[:, index]
        if outside.any():
            y[:, outside] = op.fill
        return np.reshape(y, (len(x), *shape))

    return compute


def _as_int(x: Array) -> IntArray:
    return x.astype(np.int64)


def _exact_dtype(magnitude: int) -> type[Any]:
    """A type whose arithmetic is exact up to a magnitude, the fastest for matrix products."""
    if magnitude < 1 << 24:
        return np.float32
    return np.float64 if magnitude < 1 << 53 else np.int64


def _patches(x: Array, window: ig.Window, size: tuple[int, int], pad_value: int) -> Array:
    """Windows [samples, height, width, kernel height, kernel width, channels] (a view)."""
    if any(window.pads):
        top, left, bottom, right = window.pads
        x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=pad_value)
    n, y, c, d = x.strides
    (sy, sx), (dy, dx) = window.stride, window.dilation
    return np.lib.stride_tricks.as_strided(
        x,
        (len(x), *size, *window.kernel, x.shape[3]),
        (n, y * sy, c * sx, y * dy, c * dx, d),
        writeable=False,
    )


def _conv(op: ig.Conv, operand: IntTensor, shape: tuple[int, int, int]) -> Callable[..., Array]:
    ends = operand.type.low, operand.type.high, op.pad_value
    heaviest = int(np.abs(op.weight).reshape(len(op.weight), -1).sum(axis=1).max())
    dtype = _exact_dtype(heaviest * max(abs(e) for e in ends))
    plain = op.window.taps == 1 and op.window.stride == (1, 1) and not any(op.window.pads)
    groups, taps = op.groups, op.window.taps
    # [groups, taps * inputs of a group, outputs of a group]
    matrix = op.weight.reshape(groups, len(op.weight) // groups, -1).transpose(0, 2, 1)
    matrix = np.ascontiguousarray(matrix.astype(dtype))

    def compute(x: Array) -> Array:
        x = x.astype(dtype, copy=False)
        patches = x if plain else _patches(x, op.window, shape[:2], op.pad_value)
        if groups == 1:
            product = patches.reshape(-1, matrix.shape[1]) @ matrix[0]
        else:
            split = patches.reshape(-1, taps, groups, operand.channels // groups)
            columns = split.transpose(2, 0, 1, 3).reshape(groups, len(split), -1)
            product = np.matmul(columns, matrix).transpose(1, 0, 2)
        return np.reshape(product, (len(x), *shape))

    return compute


def _pool(
    op: ig.MaxPool | ig.SumPool, operand: IntTensor, shape: tuple[int, int, int]
) -> Callable[..., Array]:
    pad_value = op.pad_value if isinstance(op, ig.SumPool) else operand.type.low

    def compute(x: Array) -> Array:
        patches = _patches(x, op.window, shape[:2], pad_value)
        if isinstance(op, ig.MaxPool):
            return np.asarray(patches.max(axis=(3, 4)))
        return np.asarray(_as_int(patches).sum(axis=(3, 4)))

    return compute


def _requantize(op: ig.Requantize, low: IntArray, high: IntArray) -> Callable[..., Array]:
    magnitude = max(
        max(abs(int(a)), abs(int(b))) * abs(int(m)) + abs(int(c)) + (1 << op.shift)
        for a, b, m, c in np.broadcast(low, high, op.multiplier, op.bias)
    )
    if magnitude >= 1 << 53:
        return _requantize_wide(op)
    # A floating point product and sum are exact, and so is the division by a power of two.
    dtype: Any = np.float32 if magnitude < 1 << 24 else np.float64
    multiplier = (op.multiplier / 2.0**op.shift).astype(dtype)
    # Rounding half to even is what rint does, once the half of a step is taken off.
    bias = (op.bias / 2.0**op.shift - (0.5 if op.half_even else 0.0)).astype(dtype)
    round_off = np.rint if op.half_even else np.floor
    step = None if op.step is None else (op.step / 2.0**op.shift).astype(dtype)

    def compute(x: Array) -> Array:
        y: Array = x.astype(dtype) * multiplier
        y += bias
        if step is not None:
            y += (y >= op.split) * step
        round_off(y, out=y)
        np.clip(y, op.low, op.high, out=y)
        return y.astype(np.float32, copy=False)

    return compute


def _requantize_wide(op: ig.Requantize) -> Callable[..., Array]:
    def compute(x: Array) -> Array:
        total = _as_int(x) * op.multiplier + op.bias
        if op.step is not None:
            total += (total >> op.shift >= op.split) * op.step
        y = total >> op.shift
        if op.half_even:
            y -= (y << op.shift == total) & y & 1
        return np.asarray(np.clip(y, op.low, op.high))

    return compute


def _thresholds(op: ig.Thresholds) -> Callable[..., Array]:
    def compute(x: Array) -> Array:
        result: Array = np.full(x.shape, op.low, dtype=np.float32)
        for level in range(op.values.shape[1]):
            row = op.values[:, level].astype(x.dtype)
            if op.decreasing.any():
                result += np.where(op.decreasing, x <= row, x >= row)
            else:
                result += x >= row
        return result

    return compute
