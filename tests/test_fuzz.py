"""Random networks and damaged files: a right answer or an `Nn2RtlError`, nothing else.

Many more of each, in an hour: ``pytest -m slow tests/test_fuzz.py``.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_executor import run_graph
from onnx import helper
from random_models import RandomModel
from tiny_models import layers, network

import nn2rtl
from nn2rtl.build import check_simulation
from nn2rtl.design import Emulator, integer_graph
from nn2rtl.errors import Nn2RtlError
from nn2rtl.simulation import Stalls
from nn2rtl.trace import trace
from nn2rtl.trace.executor import run
from nn2rtl.trace.inputs import model_input
from nn2rtl.trace.references import FLOAT64, Run, executed

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "models"
SUPPORT = ROOT / "tests" / "support"

FAST = settings(
    max_examples=60, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
MANY = settings(FAST, max_examples=5000, derandomize=False)


@st.composite
def random_models(draw, dialect):
    return RandomModel(lambda n: draw(st.integers(0, n - 1)), dialect)


def seeded(seed, **size):
    rng = np.random.default_rng(seed)
    return RandomModel(lambda n: int(rng.integers(n)), **size)


def saved(model, folder):
    path = folder / "random.onnx"
    path.write_bytes(model.proto.SerializeToString())
    return path


def check_integers(model, folder):
    """Whether the network can be computed; if so, its integers are equal to its executor's."""
    path = saved(model, folder)
    try:
        net = nn2rtl.load(path)
        graph = integer_graph(net)
    except Nn2RtlError:
        return False
    x = model.inputs(4)
    emulator = Emulator(graph)
    stream = emulator.stream(x)
    real = model_input(net, graph, x, stream)
    if model.dialect == "qdq":
        reference = executed(path, net, real)
        assert reference.name.startswith("onnxruntime"), reference.note
    else:
        reference = Run("float64", dict(run(net, real)), FLOAT64)
        expected = run_graph(net, x)
        close = {"rtol": 1e-9, "atol": 1e-9}
        np.testing.assert_allclose(reference.tensors[net.outputs[0]], expected, **close)
    found = trace(net, graph, stream, real, reference)
    assert found.first_unexplained is None, found
    if found.first_difference is None and model.dialect != "qdq":
        np.testing.assert_allclose(emulator.emulate(x), expected, **close)
    return True


@FAST
@given(model=random_models("qonnx"))
def test_random_networks(tmp_path, model):
    check_integers(model, tmp_path)


@settings(FAST, max_examples=25)
@given(model=random_models("qdq"))
def test_random_networks_against_onnxruntime(tmp_path, model):
    pytest.importorskip("onnxruntime")
    check_integers(model, tmp_path)


@pytest.mark.slow
@MANY
@given(model=random_models("qonnx"))
def test_many_random_networks(tmp_path, model):
    check_integers(model, tmp_path)


@pytest.mark.slow
@MANY
@given(model=random_models("qdq"))
def test_many_random_networks_against_onnxruntime(tmp_path, model):
    pytest.importorskip("onnxruntime")
    check_integers(model, tmp_path)


def test_most_random_networks_can_be_computed(tmp_path):
    """Else the tests above would say nothing."""
    count = 40
    assert sum(check_integers(seeded(seed), tmp_path) for seed in range(count)) > count // 2


def check_hardware(seed, folder):
    model = seeded(seed, size=5)
    try:
        net = nn2rtl.load(saved(model, folder))
        design = nn2rtl.compile(net, options={"interval_cycles": 4000})
    except Nn2RtlError:
        return False
    x = model.inputs(6)
    result = design.simulate(x)
    assert result.mismatches == 0
    check_simulation(design, result)
    stalled = design.simulate(x, stalls=Stalls(idle=0.3, backpressure=0.5, seed=seed))
    assert stalled.mismatches == 0
    return True


@pytest.mark.parametrize("seed", [13, 21])
def test_random_hardware(tmp_path, seed):
    assert check_hardware(seed, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 200))
def test_much_random_hardware(tmp_path, seed):
    if not check_hardware(seed, tmp_path):
        pytest.skip("cannot be computed on integers")


# -- damaged files -------------------------------------------------------------------------------

FILES = {
    "digits_mlp": (ROOT / "examples" / "digits" / "mlp.onnx", None),
    "digits_cnn": (ROOT / "examples" / "digits" / "cnn.onnx", None),
    "qdq_sine": (SHARED / "qdq_mlperf_tiny" / "hello_world_int8.qdq.onnx", None),
    "qdq_kws": (SHARED / "qdq_mlperf_tiny" / "kws_ref_model.qdq.onnx", None),
    "tflite_kws": (SHARED / "tflite_mlperf_tiny" / "kws_ref_model.tflite", None),
    "multithreshold": (SHARED / "multithreshold_tfc" / "model.onnx", "uint8:1/256"),
    "requantshift": (SHARED / "requantshift_kws" / "network.onnx", "uint8:1"),
}


def check_damaged(name, count, seed, folder):
    path, input_type = FILES[name]
    if not path.exists():
        pytest.skip(f"{path} is not here")
    command = [sys.executable, "-W", "ignore", SUPPORT / "damage.py", path, count, seed, folder]
    command += [] if input_type is None else [input_type]
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=60 + 20 * count, check=True
    )
    report = json.loads(done.stdout)
    assert report["failures"] == []
    assert report["read"] + report["refused"] == count and report["refused"]
    assert report["MiB"] < 1024


@pytest.mark.parametrize(
    ("name", "count"), [("digits_mlp", 25), ("qdq_kws", 12), ("tflite_kws", 6)]
)
def test_damaged_files(tmp_path, name, count):
    check_damaged(name, count, 0, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_many_damaged_files(tmp_path, name):
    check_damaged(name, 1000, 1000, tmp_path)


# -- refused by name -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("op", "domain", "message"),
    [
        ("FloatQuant", "qonnx.custom_op.general", "FloatQuant.*; quantize to integers"),
        ("MVAU_hls", "finn.custom_op.fpgadataflow.hls", "MVAU_hls.*"),
        ("MVAU_rtl", "finn.custom_op.fpgadataflow.rtl", "MVAU_rtl.*"),
        ("StreamingFCLayer_Batch", "finn.custom_op.fpgadataflow", "StreamingFCLayer_Batch.*"),
        ("StreamingDataflowPartition", "finn.custom_op.fpgadataflow", "Streaming.*"),
        ("LSTM", "", "recurrent operator LSTM"),
        ("GRU", "", "recurrent operator GRU"),
        ("RNN", "", "recurrent operator RNN"),
        ("If", "", r"control flow \(If\)"),
        ("Loop", "", r"control flow \(Loop\)"),
        ("Scan", "", r"control flow \(Scan\)"),
    ],
)
def test_refused_by_name(tmp_path, op, domain, message):
    nodes, constants = layers()
    nodes[4] = helper.make_node(op, ["sum"], ["relu"], name="strange", domain=domain)
    path = tmp_path / "model.onnx"
    path.write_bytes(network(nodes, constants).SerializeToString())
    with pytest.raises(Nn2RtlError, match=f"^strange: .*{message}") as caught:
        nn2rtl.load(path)
    assert caught.value.remedy


def test_networks_in_floating_point_are_refused(tmp_path):
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], name="dense")]
    weights = np.random.default_rng(1).normal(size=(2, 3)).astype(np.float32)
    path = tmp_path / "model.onnx"
    path.write_bytes(network(nodes, {"w": weights}, (1, 2)).SerializeToString())
    with pytest.raises(Nn2RtlError, match="dense: .*quantize") as caught:
        integer_graph(nn2rtl.load(path))
    assert caught.value.remedy
