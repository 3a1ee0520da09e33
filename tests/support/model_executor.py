"""A float64 executor of the model graph: what a model means, independent of the integer graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nn2rtl.ir import model as m
from nn2rtl.ir.model import ModelGraph

Array = np.ndarray[Any, Any]

_ROUND: dict[m.Rounding, Callable[[Array], Array]] = {
    m.Rounding.HALF_EVEN: np.rint,
    m.Rounding.HALF_AWAY: lambda x: np.sign(x) * np.floor(np.abs(x) + 0.5),
    m.Rounding.HALF_TO_ZERO: lambda x: np.sign(x) * np.ceil(np.abs(x) - 0.5),
    m.Rounding.UP: lambda x: np.sign(x) * np.ceil(np.abs(x)),
    m.Rounding.DOWN: np.trunc,
    m.Rounding.CEIL: np.ceil,
    m.Rounding.FLOOR: np.floor,
}


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
            return s * (np.clip(_ROUND[op.rounding](x / s + z), op.low, op.high) - z)
        case m.BipolarQuantize():
            return _f(op.scale) * np.where(x >= 0, 1, -1)
        case m.Affine():
            return _f(op.scale) * x + _f(op.offset)
        case m.MatMul():
            return x @ _f(op.weight.exact())
        case m.Conv():
            return _conv(op, x)
        case m.Elementwise():
            function = {
                m.Function.RELU: lambda v: np.maximum(v, 0),
                m.Function.SIGMOID: lambda v: 1 / (1 + np.exp(-v)),
                m.Function.TANH: np.tanh,
            }[op.function]
            return np.asarray(function(x))
        case m.Add():
            return x + operands[1]
        case m.MaxPool():
            view = _windows(x, op.kernel, op.strides, op.pads, (1,) * len(op.kernel), -np.inf)
            return np.asarray(view.max(axis=tuple(range(-len(op.kernel), 0))))
        case m.AveragePool():
            view = _windows(x, op.kernel, op.strides, op.pads, (1,) * len(op.kernel), 0.0)
            return np.asarray(view.mean(axis=tuple(range(-len(op.kernel), 0))))
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


def _f(values: Array) -> Array:
    return values.astype(np.float64)


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
    weight = _f(op.weight.exact())
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
