"""A network that compiles in seconds, and the parts to make others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

Array = np.ndarray[Any, Any]

WEIGHTS = np.array([[3, -2, 1], [0, 1, -3], [-1, 2, 2], [2, -3, 0]])
SHAPE = (2, 1, 2)
"""Of one input of the tiny network: channels, rows, columns."""


def network(
    nodes: list[onnx.NodeProto],
    constants: dict[str, Any],
    shape: tuple[int | str | None, ...] = (1, *SHAPE),
    *,
    name: str = "tiny",
    x: str = "x",
    y: str = "y",
) -> onnx.ModelProto:
    """A model of one input and one output; constants that are no arrays become float32."""
    initializers = [
        numpy_helper.from_array(v if isinstance(v, np.ndarray) else np.float32(v), k)
        for k, v in constants.items()
    ]
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info(x, onnx.TensorProto.FLOAT, shape)],
        [helper.make_empty_tensor_value_info(y)],
        initializers,
    )
    domains = {node.domain for node in nodes} - {""}
    opsets = [helper.make_opsetid("", 13), *(helper.make_opsetid(d, 1) for d in domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def quantizer(x: str, y: str, *, scale: str = "s", bits: str = "b", **more: Any) -> onnx.NodeProto:
    """A QONNX quantizer whose scale, zero point (z) and bit width are constants."""
    domain = "qonnx.custom_op.general"
    return helper.make_node("Quant", [x, scale, "z", bits], [y], domain=domain, **more)


def dense(x: str, weights: str, y: str, name: str = "dense") -> onnx.NodeProto:
    return helper.make_node("MatMul", [x, weights], [y], name=name)


def layers(*, quantized_input: bool = True) -> tuple[list[onnx.NodeProto], dict[str, Any]]:
    """Nodes and constants: 4-bit inputs in steps of 0.5, a dense layer, ReLU, 4-bit outputs."""
    nodes = [
        quantizer("x", "xq") if quantized_input else helper.make_node("Identity", ["x"], ["xq"]),
        helper.make_node("Flatten", ["xq"], ["flat"]),
        quantizer("w", "wq", scale="ws"),
        dense("flat", "wq", "sum"),
        helper.make_node("Relu", ["sum"], ["relu"]),
        quantizer("relu", "y", signed=0),
    ]
    weights = (WEIGHTS / 4).astype(np.float32)
    return nodes, {"w": weights, "s": 0.5, "ws": 0.25, "z": 0.0, "b": 4.0}


def save_tiny(path: Path, **changes: Any) -> Path:
    """Write the tiny network, with some of its constants changed."""
    nodes, constants = layers()
    path.write_bytes(network(nodes, {**constants, **changes}).SerializeToString())
    return path


def tiny_integers(x: Array) -> Array:
    """Integers of the tiny network's outputs [samples, 3] for its input integers."""
    sums = x.reshape(len(x), -1) @ WEIGHTS  # in steps of 0.125: 4 of them are an output step
    return np.clip(np.rint(np.maximum(sums, 0) / 4), 0, 15).astype(np.int64)


def tiny_inputs(samples: int = 6) -> Array:
    """Input integers of the tiny network over its whole range."""
    return np.random.default_rng(3).integers(-8, 8, (samples, *SHAPE))
