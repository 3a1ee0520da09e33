"""Softmax of each dialect, against its reference executor."""

import numpy as np
import pytest
from onnx import helper
from quantized_models import Builder, agreement

from nn2rtl.design import Emulator, integer_graph
from nn2rtl.frontend import load
from nn2rtl.ir import integer as ig


def vectors(count, channels, seed=0):
    """int8 vectors of all spreads, equal elements among them."""
    rng = np.random.default_rng(seed)
    ends = np.sort(rng.integers(-128, 128, (count, 2)), axis=1)
    ends[::7, 1] = ends[::7, 0]
    return rng.integers(ends[:, :1], ends[:, 1:] + 1, (count, channels)).astype(np.int8)


@pytest.mark.parametrize(
    ("channels", "scale", "beta"),
    [(2, 0.1, 1.0), (12, 0.145, 1.0), (7, 1.0, 2.0), (31, 0.02, 0.5), (300, 0.03, 1.0),
     (3, 40.0, 1.0), (5, 1e-4, 1.0)],
)  # fmt: skip
def test_tflite(tmp_path, channels, scale, beta):
    models = pytest.importorskip("tflite_models")
    file = models.TfliteFile()
    x, y = file.tensor((1, channels), scale, 3), file.tensor((1, channels), 1 / 256, -128)
    file.operator("SOFTMAX", [x], [y], "SoftmaxOptions", Beta=beta)
    content = file.write([x], [y])
    samples = vectors(60, channels)
    wanted = models.run_reference(content, samples)
    path = tmp_path / "softmax.tflite"
    path.write_bytes(content)
    graph = integer_graph(load(path))
    (op,) = (node.op for node in graph if isinstance(node.op, ig.Softmax))
    assert op.division is ig.Division.RECIPROCAL
    results = Emulator(graph).emulate(samples, raw=True)
    assert np.array_equal(results.reshape(60, channels), wanted)


@pytest.mark.parametrize(
    ("scale", "zero", "kind"),
    [(1 / 256, -128, "INT8"), (1 / 255, 0, "UINT8"), (2**-16, 0, "UINT16")],
)
def test_qdq(tmp_path, scale, zero, kind):
    b = Builder((3, 10), "INT8")
    x = b.dequantize("x", 0.11, 3)
    y = b.qdq(b.node("Softmax", x, axis=-1), scale, zero, kind)
    samples = vectors(60, 30).reshape(60, 3, 10)
    graph, _, _ = agreement(b.model(y), samples, tmp_path)
    assert any(isinstance(node.op, ig.Softmax) for node in integer_graph(graph))


def test_qonnx(imported):
    nodes = [
        helper.make_node("Quant", ["x", "s", "z", "b"], ["q"], domain="qonnx.custom_op.general"),
        helper.make_node("Softmax", ["q"], ["p"], axis=1),
        helper.make_node(
            "Quant", ["p", "t", "z", "b"], ["y"], domain="qonnx.custom_op.general", signed=0
        ),
    ]
    constants = {"s": 0.5, "t": 1 / 16, "z": 0.0, "b": 4.0}
    graph = imported(nodes, [1, 5], constants)
    integers = integer_graph(graph)
    assert any(isinstance(node.op, ig.Softmax) for node in integers)
    result = Emulator(integers).emulate(np.array([[0.0, 0.5, 1.0, 3.5, -4.0]]))
    assert np.array_equal(result * 16, [[0, 1, 1, 14, 0]])
