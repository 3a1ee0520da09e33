"""The model graph in float64, node by node: a reference that needs no other tool."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from nn2rtl.errors import UnsupportedError
from nn2rtl.ir import integer as ig
from nn2rtl.ir import model
from nn2rtl.ir.float_functions import float_function, float_round
from nn2rtl.ir.softmax import evaluate, kernel_tables

Floats = npt.NDArray[np.float64]
Array = npt.NDArray[Any]


def run(graph: model.ModelGraph, x: Floats) -> Iterator[tuple[str, Floats]]:
    """Name and value [samples, ...] of every tensor of a model graph, in order."""
    values: dict[str, Floats] = {}
    for node in graph:
        operands = [values[name] for name in node.inputs] or [x]
        values[node.name] = step(node.op, operands, graph.types[node.name].shape)
        yield node.name, values[node.name]


def step(op: model.ModelOp, operands: list[Floats], shape: tuple[int, ...]) -> Floats:
    """The result [samples, *shape] of an operation."""
    result = _compute(op, operands, shape)
    return np.asarray(result, dtype=np.float64).reshape(len(operands[0]), *shape)


def _compute(op: model.ModelOp, operands: list[Floats], shape: tuple[int, ...]) -> Array:
    x = operands[0]
    match op:
        case model.Input() | model.Reshape():
            return x
        case model.Quantize():
            scale, zero = floats(op.scale), floats(op.zero_point)
            before, after = (0.0, zero) if op.zero_after else (zero, 0.0)
            rounded = float_round(op.rounding, x / scale + before) + after
            return np.asarray(scale * (np.clip(rounded, op.low, op.high) - zero))
        case model.BipolarQuantize():
            return np.asarray(floats(op.scale) * np.where(x >= 0, 1.0, -1.0))
        case model.Round():
            return float_round(op.rounding, x)
        case model.MultiThreshold():
            rows = floats(op.thresholds).T.reshape(-1, len(op.thresholds), *(1,) * (x.ndim - 2))
            count: Floats = np.zeros(x.shape)
            for row in rows:
                count += x >= row
            return float(op.scale) * count + float(op.bias)
        case model.Affine():
            return np.asarray(floats(op.scale) * x + floats(op.offset))
        case model.Elementwise():
            parameter = 0.0 if op.parameter is None else floats(op.parameter)
            return float_function(op.function, x, parameter)
        case model.Add():
            return x + operands[1]
        case model.Mul():
            return x * operands[1]
        case model.MatMul():
            return np.asarray(x @ floats(op.weight.exact()))
        case model.Conv():
            return _conv(op, x, shape)
        case model.ConvTranspose():
            return _conv_transpose(op, x, shape)
        case model.MaxPool():
            dilations = op.dilations or (1,) * len(op.kernel)
            return _reduced(x, op.kernel, op.strides, op.pads, dilations, -np.inf, np.maximum)
        case model.AveragePool():
            return _mean(op, x)
        case model.Concat():
            return np.concatenate(operands, op.axis + 1)
        case model.Gather():
            return x.reshape(len(x), -1)[:, op.index]
        case model.Pad():
            rank = len(shape)
            margins = [(op.pads[axis], op.pads[axis + rank]) for axis in range(rank)]
            return np.pad(x, [(0, 0), *margins], constant_values=float(op.fill))
        case model.Transpose():
            return x.transpose(0, *(axis + 1 for axis in op.permutation))
        case model.Softmax():
            powers = np.exp(x - x.max(op.axis + 1, keepdims=True))
            return np.asarray(powers / powers.sum(op.axis + 1, keepdims=True))
        case model.ArgMax():
            return np.asarray(np.argmax(x, op.axis + 1))
        case model.FixedPointSoftmax():
            return _fixed_point_softmax(op, x)
    raise UnsupportedError(f"{type(op).__name__} has no float64 reference")


def floats(values: Array) -> Floats:
    """Fractions as float64."""
    return np.asarray(values.astype(np.float64))


def _fixed_point_softmax(op: model.FixedPointSoftmax, x: Floats) -> Floats:
    integers = np.rint((x - float(op.offset)) / float(op.scale)).astype(np.int64)
    span = int(integers.max() - integers.min())
    tables = kernel_tables(op.multiplier, op.left_shift, op.diff_min, span)
    kernel = ig.Softmax(*tables, -128, -128, 127, ig.Division.RECIPROCAL)
    return np.asarray((evaluate(kernel, integers) + 128) / 256)


def _taps(
    x: Floats,
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    pads: tuple[int, ...],
    dilations: tuple[int, ...],
    fill: float,
) -> Iterator[tuple[tuple[int, ...], Floats]]:
    """For each tap of a kernel the elements that it meets, position by position (views)."""
    rank = len(kernel)
    margins = [(0, 0), (0, 0), *((pads[a], pads[a + rank]) for a in range(rank))]
    padded = np.pad(x, margins, constant_values=fill)
    counts = [
        (padded.shape[2 + a] - (kernel[a] - 1) * dilations[a] - 1) // strides[a] + 1
        for a in range(rank)
    ]
    for tap in np.ndindex(*kernel):
        cuts = tuple(
            slice(
                tap[a] * dilations[a],
                tap[a] * dilations[a] + (counts[a] - 1) * strides[a] + 1,
                strides[a],
            )
            for a in range(rank)
        )
        yield tap, padded[_last(cuts)]


def _reduced(
    x: Floats,
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    pads: tuple[int, ...],
    dilations: tuple[int, ...],
    fill: float,
    combine: np.ufunc,
) -> Floats:
    result: Floats | None = None
    for _, part in _taps(x, kernel, strides, pads, dilations, fill):
        result = part if result is None else combine(result, part)
    return np.asarray(result)


def _mean(op: model.AveragePool, x: Floats) -> Floats:
    ones = (1,) * len(op.kernel)
    total = _reduced(x, op.kernel, op.strides, op.pads, ones, 0.0, np.add)
    counted = op.pads if op.counted is None else op.counted
    rank = len(op.kernel)
    margins = [(0, 0), (0, 0), *((counted[a], counted[a + rank]) for a in range(rank))]
    valid = np.pad(np.ones((1, 1, *x.shape[2:])), margins, constant_values=1.0)
    rest = tuple(pad - count for pad, count in zip(op.pads, counted))
    return total / _reduced(valid, op.kernel, op.strides, rest, ones, 0.0, np.add)


def _conv(op: model.Conv, x: Floats, shape: tuple[int, ...]) -> Floats:
    weight = floats(op.weight.exact())
    kernel, groups = weight.shape[2:], op.groups
    result: Floats = np.zeros((len(x), groups, shape[0] // groups, prod(shape[1:])))
    grouped = weight.reshape(groups, -1, *weight.shape[1:])
    for tap, part in _taps(x, kernel, op.strides, op.pads, op.dilations, 0.0):
        columns = part.reshape(len(x), groups, -1, prod(shape[1:]))
        result += grouped[_last(tap)] @ columns
    return _biased(op.bias, result.reshape(len(x), *shape))


def _conv_transpose(op: model.ConvTranspose, x: Floats, shape: tuple[int, ...]) -> Floats:
    weight = floats(op.weight.exact())
    rank, groups = len(op.strides), op.groups
    sizes = x.shape[2:]
    full = [
        max(
            (sizes[a] - 1) * op.strides[a] + (weight.shape[2 + a] - 1) * op.dilations[a] + 1,
            op.pads[a] + shape[1 + a],
        )
        for a in range(rank)
    ]
    result: Floats = np.zeros((len(x), groups, shape[0] // groups, *full))
    columns = x.reshape(len(x), groups, -1, prod(sizes))
    grouped = weight.reshape(groups, -1, *weight.shape[1:])
    for tap in np.ndindex(*weight.shape[2:]):
        product = grouped[_last(tap)].transpose(0, 2, 1) @ columns
        starts = [tap[a] * op.dilations[a] for a in range(rank)]
        cuts = tuple(
            slice(starts[a], starts[a] + (sizes[a] - 1) * op.strides[a] + 1, op.strides[a])
            for a in range(rank)
        )
        result[_last(cuts)] += product.reshape(*product.shape[:3], *sizes)
    kept = tuple(slice(op.pads[a], op.pads[a] + shape[1 + a]) for a in range(rank))
    return _biased(op.bias, result[_last(kept)].reshape(len(x), *shape))


def _last(index: tuple[int, ...] | tuple[slice, ...]) -> Any:
    """An index into the last axes."""
    return (..., *index)


def _biased(bias: Array | None, x: Floats) -> Floats:
    return x if bias is None else x + floats(bias).reshape(-1, *(1,) * (x.ndim - 2))
