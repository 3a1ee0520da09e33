"""`nn2rtl trace`: stages compared layer by layer, and differences explained."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import ties
from command_line import nn2rtl
from model_executor import run_graph
from onnx import helper, numpy_helper
from quantized_models import Builder
from tflite_cases import Case
from tiny_models import WEIGHTS, save_tiny, tiny_inputs, tiny_integers

import nn2rtl as nn2rtl_package
from nn2rtl.trace.executor import run

X = tiny_inputs() / 2  # real numbers, in steps of the input quantizer
SHARED = Path(__file__).resolve().parents[2] / "shared" / "models"


@pytest.fixture
def tiny(tmp_path):
    np.save(tmp_path / "x.npy", X)
    return save_tiny(tmp_path / "tiny.onnx")


@pytest.fixture
def traced(tiny, tmp_path):
    """The JSON of a trace of the tiny network, against given arrays."""

    def run(x=X, *options, status=0, **arrays):
        np.save(tmp_path / "x.npy", x)
        if arrays:
            np.savez(tmp_path / "reference.npz", **arrays)
            options = ("--against", tmp_path / "reference.npz", *options)
        command = ("trace", tiny, "--inputs", tmp_path / "x.npy", "--no-simulate", "--json")
        result = nn2rtl(*command, *options)
        assert result.status == status, result
        if status:
            assert result.err.startswith("nn2rtl: ")
        return result.json

    return run


def tensors(x=X):
    """All tensors of the tiny network, by its own executor."""
    integers = np.clip(np.rint(np.asarray(x) / 0.5), -8, 7)
    return {"xq": integers / 2, "y": tiny_integers(integers) / 2}


def verdicts(report):
    return [layer["verdict"] for layer in report["layers"]]


def test_all_stages(tiny, tmp_path):
    result = nn2rtl("trace", tiny, "--inputs", tmp_path / "x.npy", "--json")
    report = result.json
    assert result.status == 0
    assert report["reference"] == "float64" and "float64" in report["notes"][0]
    assert report["hardware"] == {"samples": 6, "mismatches": 0}
    assert report["first_difference"] is report["first_unexplained"] is None
    assert verdicts(report) == ["equal"] * 3
    first, _, last = report["layers"]
    assert (first["type"], first["type_low"], first["type_high"]) == ("int4", -8, 7)
    integers = np.clip(np.rint(X / 0.5), -8, 7)
    assert (first["low"], first["high"]) == (integers.min(), integers.max())
    assert first["at_low"] == (integers == -8).sum()
    assert last["at_low"] == (tiny_integers(integers) == 0).sum()
    text = nn2rtl("trace", tiny, "--inputs", tmp_path / "x.npy", "--no-simulate", "--samples", 2)
    assert text.status == 0 and "equal to the reference in 2 samples" in text.out


def test_against_arrays(traced):
    report = traced(**tensors())
    assert report["reference"] == "reference.npz" and not report["notes"]
    assert verdicts(report) == ["equal", "not compared", "equal"]


def test_a_wrong_element_is_named(traced):
    wrong = tensors()
    wrong["y"][1, 2] += 1.5
    report = traced(**wrong, status=1)
    assert report["first_unexplained"] == report["first_difference"] == report["layers"][2]["name"]
    layer = report["layers"][2]
    assert (layer["different"], layer["greatest"], layer["unexplained"]) == (1, 3, 1)
    assert verdicts(report) == ["equal", "not compared", "unexplained"]


def test_what_follows_from_an_earlier_difference(traced):
    other = X.copy()
    other[0, 0, 0, 0] = 3.0 if X[0, 0, 0, 0] < 0 else -3.0
    report = traced(**tensors(other), status=1)
    assert verdicts(report) == ["unexplained", "not compared", "follows"]
    assert report["layers"][2]["following"] == report["layers"][2]["different"] > 0


def test_a_tie_explains_a_difference(traced):
    x = X.copy()
    x[0, 0, 0, 0] = 0.25  # half a step: 0, or for an executor that is off by a bit, 1
    above = x.copy()
    above[0, 0, 0, 0] = 0.26
    report = traced(x, **tensors(above))
    assert verdicts(report)[0] == "ties" and verdicts(report)[2] in ("equal", "follows")
    assert report["first_unexplained"] is None and report["first_difference"]
    x[0, 0, 0, 0] = 0.2499  # further from the boundary than float32's errors
    assert verdicts(traced(x, **tensors(above), status=1))[0] == "unexplained"


def test_integer_arrays_are_exact(traced):
    """Steps of one in the reference's own integers have no rounding to blame."""
    x = np.zeros((1, 4))
    x[0, 0] = 0.25
    real = tensors(x)
    report = traced(x, y=(real["y"] + 1).astype(np.int64), status=1)
    assert verdicts(report)[2] == "unexplained"


def test_unnamed_arrays(traced):
    assert verdicts(traced(something=tensors()["y"])) == ["not compared", "not compared", "equal"]
    real = tensors()
    total = real["xq"].reshape(6, 4) @ WEIGHTS / 4
    arrays = (real["xq"], total, np.maximum(total, 0), real["y"])
    report = traced(**dict(zip(("one", "two", "three", "four"), arrays)))
    assert verdicts(report) == ["equal"] * 3
    assert "matched by order" in report["notes"][0]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"xp": X, "y": X}, "'xp' is named like no tensor of the model; names that are: x"),
        ({"y": np.zeros((6, 4))}, "'y' has shape [6, 4]; 6 samples of shape [3] are compared"),
        ({"y": np.zeros((5, 3))}, "'y' has shape [5, 3]; 6 samples"),
        ({"y": np.full((6, 3), "a")}, "'y' is of type <U1"),
    ],
)
def test_bad_arrays(tiny, tmp_path, arrays, message):
    np.savez(tmp_path / "reference.npz", **arrays)
    command = ("trace", tiny, "--inputs", tmp_path / "x.npy", "--no-simulate", "--against")
    text = nn2rtl(*command, tmp_path / "reference.npz").refusal()
    assert text.startswith(f"{tmp_path}/reference.npz: array") and message in text
    assert "No such file" in nn2rtl(*command, tmp_path / "absent.npz").refusal()
    assert "no file of numpy arrays" in nn2rtl(*command, tiny).refusal()


def quantized_by_onnx(path, seed=3):
    """A QDQ network with scales that are no powers of two, so that float32 rounds."""
    rng = np.random.default_rng(seed)
    nodes, constants = [], {}

    def constant(name, values):
        constants[name] = numpy_helper.from_array(values, name)
        return name

    def quantize(x, y, scale, zero):
        operands = [constant(f"{y}_s", np.float32(scale)), constant(f"{y}_z", np.int8(zero))]
        nodes.append(helper.make_node("QuantizeLinear", [x, *operands], [f"{y}_q"], name=f"{y}_q"))
        nodes.append(
            helper.make_node("DequantizeLinear", [f"{y}_q", *operands], [y], name=f"{y}_d")
        )

    quantize("x", "xd", 0.0173, 3)
    size = 4
    for index in range(3):
        weights = rng.integers(-127, 128, (size, size, 3, 3)).astype(np.int8)
        parts = [constant(f"w{index}", weights), constant(f"ws{index}", np.float32(0.0031))]
        nodes.append(helper.make_node("DequantizeLinear", parts, [f"wd{index}"], name=f"wd{index}"))
        source = "xd" if index == 0 else f"a{index - 1}"
        nodes.append(
            helper.make_node("Conv", [source, f"wd{index}"], [f"c{index}"], name=f"conv{index}",
                             pads=[1, 1, 1, 1])
        )  # fmt: skip
        quantize(f"c{index}", f"a{index}", 0.0291, -7)
    graph = helper.make_graph(
        nodes, "qdq", [helper.make_tensor_value_info("x", 1, (1, size, 9, 9))],
        [helper.make_tensor_value_info("a2", 1, (1, size, 9, 9))], list(constants.values()),
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)
    return rng.normal(size=(12, size, 9, 9)).astype(np.float32)


def test_onnxruntime(tmp_path):
    """Thousands of float32 roundings, each equal or shown to be a tie."""
    pytest.importorskip("onnxruntime")
    np.save(tmp_path / "x.npy", quantized_by_onnx(tmp_path / "qdq.onnx"))
    command = ("trace", tmp_path / "qdq.onnx", "--inputs", tmp_path / "x.npy", "--no-simulate")
    report = nn2rtl(*command, "--json").json
    assert report["reference"].startswith("onnxruntime")
    assert len(report["layers"]) == 7 and "not compared" not in verdicts(report)
    assert report["first_unexplained"] is None


def test_integers_between_operators(tmp_path):
    """Operators on integers have no real tensors: their integers are compared."""
    pytest.importorskip("onnxruntime")
    b = Builder([2, 6, 6])
    name = b.quantize("x", 0.05)
    for scale in (0.11, 0.7):
        parts = [b.integers([2, 2, 3, 3]), *b.parameters([0.02, 0.03], 0, "INT8")]
        before = b.parameters(0.05 if scale == 0.11 else 0.11, 0, "INT8")
        name = b.node("QLinearConv", name, *before, *parts, *b.parameters(scale, 0, "INT8"))
    onnx.save(b.model(b.dequantize(name, 0.7)), tmp_path / "model.onnx")
    x = b.samples(6)
    np.save(tmp_path / "x.npy", x)
    command = ("trace", tmp_path / "model.onnx", "--inputs", tmp_path / "x.npy", "--no-simulate")
    report = nn2rtl(*command, "--json").json
    names = [layer["name"] for layer in report["layers"] if layer["verdict"] != "not compared"]
    assert report["first_unexplained"] is None and len(names) == 3
    model = onnx.load(tmp_path / "model.onnx")
    first = next(node.output[0] for node in model.graph.node if node.op_type == "QLinearConv")
    wrong = ties.run(model, x, [first])[first]
    wrong[2, 1, 0, 1] ^= 2
    np.savez(tmp_path / "reference.npz", **{first: wrong})
    report = nn2rtl(*command, "--json", "--against", tmp_path / "reference.npz").json
    assert report["first_unexplained"] == names[1]
    layer = next(layer for layer in report["layers"] if layer["name"] == names[1])
    assert layer["unexplained"] == 1


def test_every_integer_reaches_the_reference(tmp_path):
    """Of a scale with which float64 does not return to the integer."""
    pytest.importorskip("ai_edge_litert")
    case = Case()
    x = case.x(1, 2, scale=13998325 / 2**29, zero_point=8)
    y = case.apply("LOGISTIC", [x], (1, 2), scale=1 / 256, zero_point=-128)
    (tmp_path / "model.tflite").write_bytes(case.file.write([x], [y]))
    np.save(tmp_path / "x.npy", np.arange(-128, 128).reshape(128, 2))
    command = ("trace", tmp_path / "model.tflite", "--inputs", tmp_path / "x.npy")
    report = nn2rtl(*command, "--no-simulate", "--json").json
    assert report["reference"].startswith("LiteRT") and report["first_difference"] is None


def test_float64_executor(tiny, tmp_path):
    path = tiny
    net = nn2rtl_package.load(path)
    values = dict(run(net, X.reshape(-1, 2, 1, 2)))
    expected = run_graph(net, X.reshape(-1, 2, 1, 2))
    np.testing.assert_array_equal(values[net.outputs[0]], expected)


@pytest.mark.parametrize(
    ("model", "inputs", "options"),
    [
        ("qonnx_tfc/TFC_2W2A.onnx", "qonnx_tfc/tfc_2w2a.npz", ()),
        (
            "requantshift_kws/network.onnx",
            "requantshift_kws/inputs.npz",
            ("--input-type", "uint8:1", "--against", "requantshift_kws/activations.npz"),
        ),
        ("tflite_mlperf_tiny/kws_ref_model.tflite", "tflite_mlperf_tiny/kws01_int8_1000.npz", ()),
        ("qdq_mlperf_tiny/kws_ref_model.qdq.onnx", "tflite_mlperf_tiny/kws01_int8_1000.npz", ()),
    ],
)
def test_real_models(model, inputs, options):
    if not (SHARED / model).exists():
        pytest.skip(f"{SHARED / model} is not here")
    if model.endswith("tflite"):
        pytest.importorskip("ai_edge_litert")
    options = [SHARED / word if "/" in word and ".npz" in word else word for word in options]
    samples = 1 if options else 4
    command = ("trace", SHARED / model, "--inputs", SHARED / inputs, "--samples", samples)
    result = nn2rtl(*command, *options, "--no-simulate", "--json")
    assert result.status == 0, result.err
    found = verdicts(result.json)
    assert "unexplained" not in found and found.count("equal") > 4
    if "requantshift" in model:
        assert set(found) == {"not compared", "equal"} and found.count("equal") >= 20


@pytest.mark.parametrize("name", ["digits_mlp", "digits_cnn", "tfc_1w1a", "tfc_2w2a", "rn06"])
def test_every_layer_equals_qonnx(real_model, name, tmp_path):
    """QONNX's own executor, layer by layer."""
    pytest.importorskip("qonnx")
    example = real_model(name)
    np.save(tmp_path / "x.npy", example.inputs()[:3])
    options = ["--input-type", example.input_type] if example.input_type else []
    command = ("trace", example.path, "--inputs", tmp_path / "x.npy", "--no-simulate", "--json")
    report = nn2rtl(*command, *options).json
    assert report["reference"].startswith("qonnx")
    assert report["first_unexplained"] is None
    assert sum(layer["verdict"] == "equal" for layer in report["layers"]) >= 6
