"""Real QDQ networks, converted from TensorFlow Lite, against onnxruntime."""

import time

import numpy as np
import onnx
import pytest
from model_executor import run_graph
from quantized_models import agreement
from ties import compare, executed

from nn2rtl.design import Emulator, integer_graph
from nn2rtl.frontend import load

NETWORKS = {
    "kws_ref_model": "kws01_int8_1000",
    "ad01_int8": "ad01_int8_io",
    "pretrainedResnet_quant": "ic_random_int8_io",
}
SAMPLES = 12


@pytest.mark.parametrize("name", NETWORKS)
def test_layers(shared, name):
    path = shared / "qdq_mlperf_tiny" / f"{name}.qdq.onnx"
    start = time.perf_counter()
    graph = load(path)
    assert time.perf_counter() - start < 2
    x = np.load(shared / "tflite_mlperf_tiny" / f"{NETWORKS[name]}.npz")["x"][:SAMPLES]
    layers = compare(graph, x, executed(graph, onnx.load(path), x))
    assert len(layers) >= 10
    assert not [layer for layer in layers if layer.unexplained]
    assert sum(layer.different for layer in layers) < 1e-5 * sum(x.numbers for x in layers)
    outputs = Emulator(integer_graph(graph)).emulate(x[:4])  # quantized softmax included
    assert np.array_equal(outputs, np.rint(run_graph(graph, x[:4])))


@pytest.mark.parametrize("name", ["hello_world_int8"])
def test_whole_network(shared, tmp_path, name):
    model = onnx.load(shared / "qdq_mlperf_tiny" / f"{name}.qdq.onnx")
    size = model.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    x = np.random.default_rng(0).integers(-128, 127, (64, size), endpoint=True)
    agreement(model, x.astype(np.int8), tmp_path)
