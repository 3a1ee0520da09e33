"""A float64 executor of the model graph: what a model means, independent of the integer graph."""

from __future__ import annotations

from typing import Any

import numpy as np

from nn2rtl.ir import model as m
from nn2rtl.ir.float_functions import float_function, float_round
from nn2rtl.ir.model import ModelGraph
from nn2rtl.ir.types import QuantizedConstant

Array = np.ndarray[Any, Any]

def run_graph(graph: ModelGraph, x: Array) -> Array:
    """The output of a model graph for inputs [samples, ...], in float64."""
    values: dict[str, Array] = {}
    for node in graph:
        operands = [values[name] for name in node.inputs]
        result = _step(node.op, operands or [x.astype(np.float64)], graph.types[node.name].shape)
        assert result.shape == (len(x), *graph.types[node.name].shape), node
        values[node.name] = result
    return values[graph.outputs[0]]


def _step(op: m.ModelOp, operands: list[Array], shape: tuple[int, ...]) -> Array:
    x = operands[0]
    match op:
        case m.Input():
            return x
        case m.Quantize():
            s, z = _f(op.scale), _f(op.zero_point)
            inner, outer = (0.0, z) if op.zero_after else (z, 0.0)
            q = float_round(op.rounding, x / s + inner) + outer
            return s * (np.clip(q, op.low, op.high) - z)
        case m.Round():
            return float_round(op.rounding, x)
        case m.MultiThreshold():
            rows = _f(op.thresholds).reshape(len(op.thresholds), *(1,) * (x.ndim - 2), -1)
            count = (x[..., None] >= rows).sum(axis=-1)
            return float(op.scale) * count + float(op.bias)
        case m.BipolarQuantize():
            return _f(op.scale) * np.where(x >= 0, 1, -1)
        case m.Affine():
            return _f(op.scale) * x + _f(op.offset)
        case m.MatMul():
            return x @ _weight(op.weight)
        case m.Conv():
            return _conv(op, x)
        case m.Elementwise():
            parameter = 0.0 if op.parameter is None else _f(op.parameter)
            return float_function(op.function, x, parameter)
        case m.ConvTranspose():
            return _conv_transpose(op, x, shape)
        case m.Mul():
            return x * operands[1]
        case m.Concat():
            return np.concatenate(operands, op.axis + 1)
        case m.Gather():
            return np.asarray(x.reshape(len(x), -1)[:, op.index])
        case m.Pad():
            margins = zip(op.pads[: len(shape)], op.pads[len(shape) :])
            return np.pad(x, [(0, 0), *margins], constant_values=float(op.fill))
        case m.Add():
            return x + operands[1]
        case m.MaxPool():
            dilations = op.dilations or (1,) * len(op.kernel)
            view = _windows(x, op.kernel, op.strides, op.pads, dilations, -np.inf)
            return np.asarray(view.max(axis=tuple(range(-len(op.kernel), 0))))
        case m.AveragePool():
            ones, taps = (1,) * len(op.kernel), tuple(range(-len(op.kernel), 0))
            view = _windows(x, op.kernel, op.strides, op.pads, ones, 0.0)
            counted = op.pads if op.counted is None else op.counted
            valid = _grown(np.ones_like(x), counted, 1.0)
            rest = tuple(pad - count for pad, count in zip(op.pads, counted))
            count = _windows(valid, op.kernel, op.strides, rest, ones, 0.0).sum(axis=taps)
            return np.asarray(view.sum(axis=taps) / count)
        case m.Reshape():
            return x.reshape(len(x), *shape)
        case m.Transpose():
            return x.transpose(0, *(axis + 1 for axis in op.permutation))
        case m.Softmax():
            e = np.exp(x - x.max(op.axis + 1, keepdims=True))
            return np.asarray(e / e.sum(op.axis + 1, keepdims=True))
        case m.ArgMax():
            result = np.argmax(x, op.axis + 1, keepdims=op.keep)
            return np.asarray(result)
    raise NotImplementedError(op)


def _grown(x: Array, pads: tuple[int, ...], fill: float) -> Array:
    rank = len(pads) // 2
    margins = [(0, 0), (0, 0), *((pads[a], pads[a + rank]) for a in range(rank))]
    return np.pad(x, margins, constant_values=fill)


def _conv_transpose(op: m.ConvTranspose, x: Array, shape: tuple[int, ...]) -> Array:
    """Each position adds its taps to the result, as the definition says."""
    weight = _weight(op.weight)
    rank, groups = len(op.strides), op.groups
    full = [
        shape[1 + a] + op.pads[a] + op.pads[a + rank] + op.strides[a] for a in range(rank)
    ]
    y = np.zeros((len(x), groups, shape[0] // groups, *full))
    split = x.reshape(len(x), groups, -1, *x.shape[2:])
    parts = weight.reshape(groups, -1, *weight.shape[1:])
    for tap in np.ndindex(*weight.shape[2:]):
        product = np.einsum("ngc...,gco->ngo...", split, parts[(..., *tap)])
        cuts = []
        for a in range(rank):
            start, step = tap[a] * op.dilations[a], op.strides[a]
            cuts.append(slice(start, start + (x.shape[2 + a] - 1) * step + 1, step))
        y[(..., *cuts)] += product
    cuts = [slice(op.pads[a], op.pads[a] + shape[1 + a]) for a in range(rank)]
    y = y[(..., *cuts)].reshape(len(x), *shape)
    return y if op.bias is None else y + _f(op.bias).reshape(-1, *(1,) * rank)


def _f(values: Array) -> Array:
    return values.astype(np.float64)


def _weight(weight: QuantizedConstant) -> Array:
    """Exact where scales are float32."""
    return (weight.values - _f(weight.zero_point)) * _f(weight.scale)


def _windows(
    x: Array,
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    pads: tuple[int, ...],
    dilations: tuple[int, ...],
    fill: float,
) -> Array:
    rank = len(kernel)
    margins = [(0, 0), (0, 0), *((pads[a], pads[a + rank]) for a in range(rank))]
    padded = np.pad(x, margins, constant_values=fill)
    extent = [(k - 1) * d + 1 for k, d in zip(kernel, dilations)]
    view = np.lib.stride_tricks.sliding_window_view(padded, extent, tuple(range(2, 2 + rank)))
    cuts = [slice(None, None, step) for step in (1, 1, *strides, *dilations)]
    return np.asarray(view[tuple(cuts)])


def _conv(op: m.Conv, x: Array) -> Array:
    weight = _weight(op.weight)
    kernel = weight.shape[2:]
    rank, groups = len(kernel), op.groups
    view = _windows(x, kernel, op.strides, op.pads, op.dilations, 0.0)
    space = view.shape[2 : 2 + rank]
    view = view.reshape(len(x), groups, weight.shape[1], *space, *kernel)
    weight = weight.reshape(groups, -1, *weight.shape[1:])
    letters = "hw"[:rank], "ij"[:rank]
    y = np.einsum(f"ngc{letters[0]}{letters[1]},goc{letters[1]}->ngo{letters[0]}", view, weight)
    y = y.reshape(len(x), -1, *space)
    return y if op.bias is None else y + _f(op.bias).reshape(-1, *(1,) * rank)
