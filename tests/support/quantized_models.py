"""Quantized ONNX networks, node by node, and their comparison with onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from model_executor import run_graph
from onnx import TensorProto, helper
from ties import Layer, compare, executed

from nn2rtl.design import Emulator, integer_graph
from nn2rtl.frontend import load
from nn2rtl.ir.model import ModelGraph

Array = np.ndarray[Any, Any]

RANGES = {
    "INT4": (-8, 7), "UINT4": (0, 15), "INT8": (-128, 127), "UINT8": (0, 255),
    "INT16": (-32768, 32767), "UINT16": (0, 65535), "INT32": (-(1 << 31), (1 << 31) - 1),
}  # fmt: skip


class Builder:
    """A network with input `x`; each method appends a node and returns its output's name.

    Parameters
    ----------
    shape : tuple of int
        Of the input, without the batch.
    kind : str
        Element type of the input.
    """

    def __init__(self, shape, kind="FLOAT", opset=21, seed=0):
        self.rng = np.random.default_rng(seed)
        self.shape, self.kind, self.opset = shape, kind, opset
        self.nodes, self.tensors = [], []

    def constant(self, values, kind="FLOAT"):
        name = f"constant{len(self.tensors)}"
        array = np.asarray(values)
        element = TensorProto.DataType.Value(kind)
        self.tensors.append(helper.make_tensor(name, element, array.shape, array.ravel()))
        return name

    def node(self, op, *inputs, domain="", outputs=1, **attributes):
        name = f"{op}{len(self.nodes)}"
        names = [name, *(f"{name}_{number}" for number in range(1, outputs))]
        self.nodes.append(helper.make_node(op, inputs, names, domain=domain, **attributes))
        return name

    def parameters(self, scale, zero, kind):
        zeros = np.broadcast_to(np.asarray(zero), np.shape(scale))
        return self.constant(scale), self.constant(zeros, kind)

    def quantize(self, x, scale, zero=0, kind="INT8", **attributes):
        return self.node("QuantizeLinear", x, *self.parameters(scale, zero, kind), **attributes)

    def dequantize(self, x, scale, zero=0, kind="INT8", **attributes):
        return self.node("DequantizeLinear", x, *self.parameters(scale, zero, kind), **attributes)

    def qdq(self, x, scale, zero=0, kind="INT8", **attributes):
        q = self.quantize(x, scale, zero, kind, **attributes)
        return self.dequantize(q, scale, zero, kind, **attributes)

    def integers(self, shape, kind="INT8"):
        low, high = RANGES[kind]
        low, high = max(low, -(1 << 12)), min(high, 1 << 12)
        return self.constant(self.rng.integers(low, high, shape, endpoint=True), kind)

    def weight(self, shape, kind="INT8", axis=None, scale=0.02, zero=0):
        """Random integers and a dequantizer; scales for each index of `axis`, if given."""
        if axis is None:
            return self.dequantize(self.integers(shape, kind), scale, zero, kind)
        scales = scale * self.rng.uniform(0.5, 1.5, shape[axis])
        return self.dequantize(self.integers(shape, kind), scales, zero, kind, axis=axis)

    def bias(self, count, scale):
        return self.dequantize(self.integers([count], "INT32"), scale, 0, "INT32")

    def model(self, output):
        graph = helper.make_graph(
            self.nodes,
            "network",
            [helper.make_tensor_value_info(
                "x", TensorProto.DataType.Value(self.kind), ["n", *self.shape]
            )],
            [helper.make_empty_tensor_value_info(output)],
            self.tensors,
        )  # fmt: skip
        domains = {node.domain for node in self.nodes} - {""}
        opsets = [helper.make_opsetid("", self.opset)]
        opsets += [helper.make_opsetid(domain, 1) for domain in domains]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10)

    def samples(self, count, spread=1.0):
        if self.kind == "FLOAT":
            values = self.rng.standard_normal((count, *self.shape)) * spread
            return values.astype(np.float32)
        low, high = RANGES[self.kind]
        values = self.rng.integers(low, high, (count, *self.shape), endpoint=True)
        return values.astype(self.kind.lower())


def agreement(
    model: onnx.ModelProto, x: Array, folder: Path
) -> tuple[ModelGraph, list[Layer], Array]:
    """Import a model, and compare it with onnxruntime and with its integer graph.

    Each quantizer that onnxruntime computes has to be explained (see `ties`); the integer graph's
    outputs have to equal the model graph's.

    Returns
    -------
    graph, layers, outputs
        Outputs of the integer graph.
    """
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    graph = load(path)
    layers = compare(graph, x, executed(graph, model, x))
    assert layers
    assert not [layer for layer in layers if layer.unexplained]
    outputs = Emulator(integer_graph(graph)).emulate(x)
    np.testing.assert_allclose(outputs, run_graph(graph, x), rtol=1e-9, atol=1e-9)
    return graph, layers, outputs
