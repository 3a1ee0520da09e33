"""Differences between a quantized model and a float32 executor of it, layer by layer.

The model is defined in real numbers. An executor in float32 may round a number the other way that
lies closer to a rounding boundary than float32 tells. `compare` computes each quantizer from the
executor's own operands, and finds for each number that differs whether that is the cause: whether
the executor's integer is what rounding yields within float32's error around the exact value.

The error of a sum is relative to the sum of its terms' absolute values, not to the sum; so each
tensor is accompanied by the magnitudes that its float32 errors are relative to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
import onnxruntime
from model_executor import _step as step

from nn2rtl.ir import model as m
from nn2rtl.ir.model import ModelGraph
from nn2rtl.ir.types import QuantizedConstant, exact_array

Array = np.ndarray[Any, Any]

UNIT = 2.0**-24  # half a unit in the last place of float32, relative
ROUNDINGS = 8  # in units of `UNIT`, relative to the magnitude


@dataclass(frozen=True)
class Layer:
    """Agreement of one quantizer with the executor.

    Parameters
    ----------
    name : str
        Node of the model graph.
    numbers, different, unexplained : int
        How many there are, differ, and differ by more than float32's error explains.
    """

    name: str
    numbers: int
    different: int
    unexplained: int


def compare(
    graph: ModelGraph, x: Array, integers: Mapping[str, Array], roundings: float = ROUNDINGS
) -> list[Layer]:
    """Each quantizer of a model graph against an executor's integers.

    Parameters
    ----------
    x : array [samples, ...]
        Inputs.
    integers : mapping
        The executor's integers, by quantizer (from `executed`).
    """
    values: dict[str, Array] = {}
    magnitudes: dict[str, Array] = {}
    layers = []
    for node in graph:
        operands = [values[name] for name in node.inputs] or [x.astype(np.float64)]
        sizes = [magnitudes[name] for name in node.inputs] or [np.abs(operands[0])]
        shape = graph.types[node.name].shape
        if isinstance(node.op, m.Quantize) and node.name in integers:
            given = integers[node.name].astype(np.float64).reshape(len(x), *shape)
            layers.append(_layer(node.name, node.op, operands[0], sizes[0], given, roundings))
            scale, zero = (v.astype(np.float64) for v in (node.op.scale, node.op.zero_point))
            values[node.name] = scale * (given - zero)
            magnitudes[node.name] = np.abs(values[node.name])
        else:
            values[node.name] = step(node.op, operands, shape)
            magnitudes[node.name] = _magnitude(node.op, operands, sizes, values[node.name])
    return layers


def _layer(
    name: str, op: m.Quantize, x: Array, magnitude: Array, given: Array, roundings: float
) -> Layer:
    def levels(shift: Array | float) -> Array:
        scale, zero = (v.astype(np.float64) for v in (op.scale, op.zero_point))
        real = step(op, [x + shift], x.shape[1:])
        return np.asarray(np.rint(real / scale + zero))

    error = roundings * UNIT * magnitude
    least, most = levels(-error), levels(error)
    different = given != levels(0.0)
    unexplained = different & ((given < least) | (given > most))
    return Layer(name, given.size, int(different.sum()), int(unexplained.sum()))


def _magnitude(op: m.ModelOp, operands: list[Array], sizes: list[Array], result: Array) -> Array:
    """What the float32 error of a result is relative to."""
    match op:
        case m.Affine():
            op = m.Affine(exact_array(np.abs(op.scale)), exact_array(np.abs(op.offset)))
        case m.Conv() | m.ConvTranspose():
            bias = None if op.bias is None else exact_array(np.abs(op.bias))
            op = replace(op, weight=_absolute(op.weight), bias=bias)
        case m.MatMul():
            op = m.MatMul(_absolute(op.weight))
        case m.Mul():
            a, b = operands
            return np.asarray(np.abs(a) * sizes[1] + np.abs(b) * sizes[0])
        case m.Elementwise(m.Function.EXP):
            return np.asarray(result * (1 + sizes[0]))
        case m.Elementwise() | m.Softmax():  # slopes of at most one
            return np.asarray(sizes[0] + np.abs(result))
        case m.Quantize() | m.BipolarQuantize() | m.Round() | m.MultiThreshold() | m.ArgMax():
            return np.abs(result)
        case m.Pad():
            op = m.Pad(op.pads, abs(op.fill))
    return step(op, sizes, result.shape[1:])


def _absolute(weight: QuantizedConstant) -> QuantizedConstant:
    values = np.abs(weight.values - weight.zero_point.astype(np.int64))
    return QuantizedConstant(values, exact_array(np.abs(weight.scale)), exact_array(0), weight.type)


def executed(graph: ModelGraph, model: onnx.ModelProto, x: Array) -> dict[str, Array]:
    """onnxruntime's integers of each quantizer of a model graph, without graph optimizations.

    Parameters
    ----------
    graph : ModelGraph
        Imported from `model`.
    x : array [samples, ...]
        Inputs, of the model's own element type.
    """
    quantizers = {node.source: node.name for node in graph if isinstance(node.op, m.Quantize)}
    wider = onnx.ModelProto()
    wider.CopyFrom(model)
    tensors = {}
    for node in model.graph.node:
        label = node.name or node.output[0]
        if label in quantizers:  # integers of four bits cannot be fetched
            narrow, wide = node.output[0], f"{node.output[0]}_int32"
            cast = onnx.helper.make_node("Cast", [narrow], [wide], to=onnx.TensorProto.INT32)
            wider.graph.node.append(cast)
            tensors[wide] = quantizers[label]
    return {tensors[name]: value for name, value in run(wider, x, list(tensors)).items()}


def run(model: onnx.ModelProto, x: Array, names: list[str]) -> dict[str, Array]:
    """Tensors of a model by onnxruntime, without graph optimizations."""
    wider = onnx.ModelProto()
    wider.CopyFrom(model)
    known = {output.name for output in wider.graph.output}
    wider.graph.output.extend(
        onnx.helper.make_empty_tensor_value_info(name) for name in names if name not in known
    )
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(wider.SerializeToString(), options)
    return dict(zip(names, session.run(names, {session.get_inputs()[0].name: x})))
