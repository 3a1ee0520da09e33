"""Real TensorFlow Lite networks against outputs of TensorFlow 2.15's reference kernels."""

from time import process_time

import numpy as np
import pytest

from nn2rtl.design import Emulator, integer_graph
from nn2rtl.frontend import load
from nn2rtl.ir.graph import Graph
from nn2rtl.ir.model import FixedPointSoftmax

NETWORKS = [
    ("kws_ref_model", "kws01_int8_1000", 200),
    ("ad01_int8", "ad01_int8_io", 40),
    ("pretrainedResnet_quant", "ic_random_int8_io", 64),
    ("vww_96_int8", "vww_random_int8_io", 16),
]


def without_softmax(graph):
    end = graph[graph.outputs[0]]
    if not isinstance(end.op, FixedPointSoftmax):
        return graph
    rest = Graph(graph.name, dict(graph.nodes), dict(graph.types), [end.inputs[0]], ["logits"])
    del rest.nodes[end.name]
    return rest


@pytest.mark.parametrize(("name", "data", "samples"), NETWORKS)
def test_every_output(shared, name, data, samples):
    start = process_time()
    graph = load(shared / "tflite_mlperf_tiny" / f"{name}.tflite")
    assert process_time() - start < 2
    arrays = np.load(shared / "tflite_mlperf_tiny" / f"{data}.npz")
    x, end = arrays["x"][:samples], arrays["tflite_ref_out"][:samples]
    logits = arrays["tflite_ref_logits"][:samples] if "tflite_ref_logits" in arrays else end
    emulator = Emulator(integer_graph(without_softmax(graph)))
    np.testing.assert_array_equal(emulator.emulate(x, raw=True), logits)
    if logits is not end:
        emulator = Emulator(integer_graph(graph))
        np.testing.assert_array_equal(emulator.emulate(x, raw=True), end)
        # The real values are probabilities.
        real = (end.astype(float) + 128) / 256
        np.testing.assert_allclose(emulator.emulate(x), real, rtol=1e-12)


@pytest.mark.slow
def test_all_samples_of_keyword_spotting(shared):
    folder = shared / "tflite_mlperf_tiny"
    arrays = np.load(folder / "kws01_int8_1000.npz")
    emulator = Emulator(integer_graph(load(folder / "kws_ref_model.tflite")))
    result = emulator.emulate(arrays["x"], raw=True)
    np.testing.assert_array_equal(result, arrays["tflite_ref_out"])
    assert (result.argmax(axis=1) == arrays["y"]).mean() == 0.901
