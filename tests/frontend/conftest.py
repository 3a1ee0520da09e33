"""Models from a few nodes, and a float64 executor of the model graph."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from nn2rtl.frontend import load
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


def build(
    nodes: list[onnx.NodeProto],
    shape: list[int | str | None] | None = None,
    constants: dict[str, Any] | None = None,
    *,
    inputs: dict[str, Any] | None = None,
    outputs: tuple[str, ...] = ("y",),
    opset: int = 13,
) -> onnx.ModelProto:
    """A model with input `x` and output `y`; constants without a type are float32."""
    initializers = []
    for name, value in (constants or {}).items():
        array = np.asarray(value)
        if not isinstance(value, np.ndarray | np.generic) and array.dtype == np.float64:
            array = array.astype(np.float32)
        initializers.append(numpy_helper.from_array(array, name))
    given = inputs or {"x": shape or [1, 4]}
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info(k, onnx.TensorProto.FLOAT, v) for k, v in given.items()],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        initializers,
    )
    domains = {node.domain for node in nodes} - {""}
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


@pytest.fixture
def imported(tmp_path: Path) -> Callable[..., ModelGraph]:
    """Builds a model, writes it to a file and loads that."""

    def run(*args: Any, **kwargs: Any) -> ModelGraph:
        path = tmp_path / "model.onnx"
        path.write_bytes(build(*args, **kwargs).SerializeToString())
        return load(path)

    return run


@pytest.fixture
def build_model() -> Callable[..., onnx.ModelProto]:
    return build


@pytest.fixture
def execute() -> Callable[[ModelGraph, Array], Array]:
    return run_graph


@pytest.fixture
def shared() -> Path:
    """Folder of real models beside the repository."""
    folder = Path(__file__).resolve().parents[2].parent / "shared" / "models"
    if not folder.is_dir():
        pytest.skip(f"real models are not in {folder}")
    return folder


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
