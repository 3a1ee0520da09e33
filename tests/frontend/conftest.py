"""Models from a few nodes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from model_executor import run_graph
from onnx import helper, numpy_helper

from nn2rtl.design import Emulator, integer_graph
from nn2rtl.errors import UnsupportedError
from nn2rtl.frontend import load
from nn2rtl.ir.model import ArgMax, ModelGraph, Softmax

Array = np.ndarray[Any, Any]



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
def equals_onnxruntime(imported: Callable[..., ModelGraph]) -> Callable[..., ModelGraph]:
    """Checks an imported model on random inputs against onnxruntime; returns its graph.

    Then the same between quantizers: the integer graph against the model graph, or that it is
    refused with a message that matches `refused`.
    """

    def run(
        nodes: list[onnx.NodeProto],
        shape: list[int],
        constants: dict[str, Any],
        opset: int = 13,
        refused: str | None = None,
        emulated: bool = True,
    ) -> ModelGraph:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(
            build(nodes, shape, constants, opset=opset).SerializeToString(),
            options,
            providers=["CPUExecutionProvider"],
        )
        graph = imported(nodes, shape, constants, opset=opset)
        rng = np.random.default_rng(1)
        for _ in range(4):
            x = rng.normal(0, 2, shape).astype(np.float32)
            (wanted,) = session.run(None, {"x": x})
            given = run_graph(graph, x)
            assert given.shape == wanted.shape
            np.testing.assert_allclose(given, wanted, rtol=1e-4, atol=1e-4)
        if emulated and not any(isinstance(node.op, Softmax | ArgMax) for node in graph):
            inner = imported(*between_quantizers(nodes, constants, shape), opset=opset)
            if refused is None:
                check_emulation(inner, rng.integers(-20, 20, (6, *shape[1:])) / 4)
            else:
                with pytest.raises(UnsupportedError, match=refused):
                    integer_graph(inner)
        return graph

    return run


def between_quantizers(
    nodes: list[onnx.NodeProto], constants: dict[str, Any], shape: list[int]
) -> tuple[list[onnx.NodeProto], list[int], dict[str, Any]]:
    """The model with its input and output quantized to 5 and 6 bits."""
    inner = []
    for node in nodes:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.input[:] = ["quantized" if name == "x" else name for name in copy.input]
        copy.output[:] = ["real" if name == "y" else name for name in copy.output]
        inner.append(copy)
    quantizers = [
        helper.make_node("Quant", [source, scale, "zero", bits], [result], domain="onnx.brevitas")
        for source, scale, bits, result in (("x", "step", "five", "quantized"),
                                            ("real", "fine", "six", "y"))
    ]  # fmt: skip
    more = {"step": 0.25, "fine": 0.125, "zero": 0.0, "five": 5.0, "six": 6.0}
    return [quantizers[0], *inner, quantizers[1]], shape, {**constants, **more}


def check_emulation(graph: ModelGraph, x: Array) -> None:
    np.testing.assert_array_equal(Emulator(integer_graph(graph)).emulate(x), run_graph(graph, x))


@pytest.fixture
def shared() -> Path:
    """Folder of real models beside the repository."""
    folder = Path(__file__).resolve().parents[2].parent / "shared" / "models"
    if not folder.is_dir():
        pytest.skip(f"real models are not in {folder}")
    return folder
