"""The commands: what they print, write and return."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from command_line import nn2rtl
from tiny_models import SHAPE, save_tiny, tiny_inputs, tiny_integers

import nn2rtl as nn2rtl_package
import nn2rtl.design as nn2rtl_design
from nn2rtl.design import Design

X = tiny_inputs()
Y = tiny_integers(X)


@pytest.fixture
def tiny(tmp_path):
    return save_tiny(tmp_path / "tiny.onnx")


@pytest.fixture
def save(tmp_path):
    def run(array, name="x.npy"):
        np.save(tmp_path / name, array)
        return tmp_path / name

    return run


def test_inspect(tiny):
    report = nn2rtl("inspect", tiny, "--json").json
    assert report["stage"] == "plan" and report["model"]["file"] == "tiny.onnx"
    assert report["samples"] is report["resources"] is None
    text = nn2rtl("inspect", tiny)
    assert text.status == 0 and "dense" in text.out and not text.err


def test_emulate(tiny, save, tmp_path):
    y = tmp_path / "y.npy"
    result = nn2rtl("emulate", tiny, "--inputs", save(X), "-o", y, "--raw", "--json")
    assert result.json == {"samples": 6, "output_shape": [6, 3], "files": [str(y)]}
    np.testing.assert_array_equal(np.load(y), Y)
    assert np.load(y).dtype == np.int64
    assert nn2rtl("emulate", tiny, "--inputs", save(X), "-o", y).out == f"6 inferences -> {y}\n"
    np.testing.assert_array_equal(np.load(y), Y / 2)
    assert nn2rtl("emulate", tiny, "--inputs", save(X), "--raw").out == f"{Y}\n"


def test_simulate(tiny, save, tmp_path):
    y = tmp_path / "y.npy"
    command = ("simulate", tiny, "--inputs", save(X), "-o", y)
    report = nn2rtl(*command, "--json", "--raw").json
    assert (report["samples"], report["mismatches"]) == (6, 0)
    assert report["latency_cycles"] == report["predicted"]["latency_cycles"] > 0
    assert report["interval_cycles"] == report["predicted"]["interval_cycles"] > 0
    assert (report["board"], report["clock_mhz"]) == ("arty_a7", 100)
    assert report["files"] == [str(y)]
    np.testing.assert_array_equal(np.load(y), Y)
    text = nn2rtl(*command, "--samples", 2)
    assert text.out.startswith("2 of 2 inferences bit-exact; latency ")
    np.testing.assert_array_equal(np.load(y), Y[:2] / 2)
    alone = nn2rtl(*command, "--samples", 1, "--json").json
    assert alone["samples"] == 1 and alone["interval_cycles"] is None


@pytest.mark.parametrize("command", ["emulate", "simulate"])
@pytest.mark.parametrize(
    ("x", "y"),
    [
        (X, Y),
        (X.astype(np.int8), Y),
        (X / 2, Y),
        ((X / 2).astype(np.float32), Y),
        (X[0] / 2, Y[:1]),
        (X[0], Y[:1]),
        (X.reshape(6, 4) / 2, Y),
        (X[:3].reshape(3, 4), Y[:3]),
        (np.asfortranarray(X), Y),
        (np.where(X < 0, -1e300, 1e308), tiny_integers(np.where(X < 0, -8, 7))),
    ],
)
def test_forms_of_inputs(tiny, save, tmp_path, command, x, y):
    result = nn2rtl(command, tiny, "--inputs", save(x), "-o", tmp_path / "y", "--raw")
    assert (result.status, result.err) == (0, "")
    np.testing.assert_array_equal(np.load(tmp_path / "y"), y)


def test_a_single_sample_is_not_cut(tiny, save):
    assert SHAPE[0] > 1  # or the next line would not tell
    report = nn2rtl("simulate", tiny, "--inputs", save(X[0]), "--samples", 1, "--json").json
    assert (report["samples"], report["mismatches"]) == (1, 0)


def test_waves(tiny, save, tmp_path):
    waves = tmp_path / "out.vcd"
    report = nn2rtl("simulate", tiny, "--inputs", save(X), "--waves", waves, "--json").json
    assert report["files"] == [str(waves)]
    header, _, changes = waves.read_text().partition("$enddefinitions $end")
    for port in ("clk", "s_axis_tdata", "m_axis_tvalid"):
        assert re.search(rf"\$var wire +\d+ \S+ {port}\b", header)
    assert changes.count("\n#") >= 2 * report["latency_cycles"]


def test_interrupted_simulation_leaves_no_waves(tiny, save, tmp_path, monkeypatch):
    waves = tmp_path / "out.vcd"

    def interrupted(self, x, *, waves, **more):
        waves.write_text("$date")
        raise KeyboardInterrupt

    monkeypatch.setattr(Design, "simulate", interrupted)
    result = nn2rtl("simulate", tiny, "--inputs", save(X), "--waves", waves)
    assert (result.status, result.err.strip()) == (1, "nn2rtl: interrupted")
    assert not waves.exists()


def test_a_difference_from_the_model_fails(tiny, save, monkeypatch):
    real = nn2rtl_design.run_stream

    def wrong(*args, **kwargs):
        outputs, *times = real(*args, **kwargs)
        outputs[2, 0] ^= 1
        return outputs, *times

    monkeypatch.setattr(nn2rtl_design, "run_stream", wrong)
    result = nn2rtl("simulate", tiny, "--inputs", save(X), "--json")
    assert result.json["mismatches"] == 1
    assert "1 of 6 inferences differ from the integer model" in result.refusal(1)


def test_simulate_and_build_plan_the_same(tiny, save, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("board: pynq_z2\nlayers:\n  dense: {pe: 1, simd: 2, dsp: false}\n")
    options = ("--config", config, "--clock-mhz", 50, "--json")
    simulated = nn2rtl("simulate", tiny, "--inputs", save(X), *options).json
    built = nn2rtl("build", tiny, "--until", "verilog", "-o", tmp_path / "build", *options).json
    inspected = nn2rtl("inspect", tiny, *options).json
    assert simulated["board"] == built["board"]["name"] == "pynq_z2"
    assert simulated["clock_mhz"] == built["clock_mhz"] == 50
    assert simulated["mismatches"] == 0
    assert simulated["predicted"] == built["predicted"] == inspected["predicted"]
    assert simulated["interval_cycles"] == built["predicted"]["interval_cycles"] == 6
    assert built["layers"] == inspected["layers"]
    assert [(layer["pe"], layer["simd"]) for layer in built["layers"]] == [(1, 2)]


def test_options_of_the_plan(tiny, tmp_path):
    slow = nn2rtl("inspect", tiny, "--json", "--interval-cycles", 12).json
    fast = nn2rtl("inspect", tiny, "--json").json
    assert fast["predicted"]["interval_cycles"] < slow["predicted"]["interval_cycles"] <= 12
    assert slow["predicted_resources"]["lut"] < fast["predicted_resources"]["lut"]
    config = tmp_path / "config.yaml"
    config.write_text("board: pynq_z2\ninterval_cycles: 12\nclock_mhz: 60\n")
    options = ("--json", "--config", config, "--board", "arty_a7_100t")
    report = nn2rtl("inspect", tiny, *options).json
    assert report["board"]["name"] == "arty_a7_100t"
    assert (report["clock_mhz"], report["predicted"]) == (60, slow["predicted"])
    config.write_text("layers: {dense: {pe: 1, simd: 1}}")
    missed = nn2rtl("inspect", tiny, "--config", config, "--interval-cycles", 3).refusal()
    assert missed.startswith("an interval of 3 cycles is out of reach within the budget; allow 12")


def test_boards_and_doctor():
    boards = {row["name"]: row for row in nn2rtl("boards", "--json").json["boards"]}
    assert boards["arty_a7"]["resources"]["lut"] == 20800
    assert "arty_a7" in nn2rtl("boards").out
    tools = {row["name"]: row for row in nn2rtl("doctor", "--json").json["tools"]}
    assert tools["g++"]["found"] and tools["g++"]["version"]
    assert all(row["how_to_get"] for row in tools.values())
    assert "Vivado" in nn2rtl("doctor").out


def test_help_and_wrong_usage(tiny):
    assert nn2rtl("--help").status == nn2rtl("build", "-h").status == 0
    assert nn2rtl("--version").out.startswith("nn2rtl, version ")
    for wrong in (
        (), ("frob",), ("inspect",), ("simulate", tiny), ("inspect", tiny, "--clock-mhz", "x"),
        ("inspect", tiny, "--interval-cycles", 0), ("build", tiny, "--until", "later"),
    ):  # fmt: skip
        result = nn2rtl(*wrong)
        assert result.status == 2 and result.err and not result.out


def test_internal_errors_are_told_from_the_users(tiny, monkeypatch):
    def broken(path):
        raise RuntimeError("out of order")

    monkeypatch.setattr(nn2rtl_package, "load", broken)
    result = nn2rtl("inspect", tiny)
    assert result.status == 1
    assert result.err.startswith("nn2rtl: internal error: RuntimeError: out of order; ")
    monkeypatch.setenv("NN2RTL_DEBUG", "1")
    with pytest.raises(RuntimeError):
        nn2rtl("inspect", tiny)


def test_as_a_program(tiny, tmp_path):
    def program(*arguments, **more):
        return subprocess.run(
            [sys.executable, "-m", "nn2rtl.cli", *arguments], stderr=subprocess.PIPE, text=True,
            timeout=60, cwd=tmp_path, **more,
        )  # fmt: skip

    # A terminal without the characters of the tables.
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii"}
    shown = program("inspect", "tiny.onnx", env=ascii_only, stdout=subprocess.PIPE)
    assert (shown.returncode, shown.stderr) == (0, "") and "dense" in shown.stdout
    with open("/dev/full", "w") as full:
        result = program("boards", "--json", stdout=full)
    assert result.returncode == 1
    assert result.stderr == "nn2rtl: no space is left; free some on the disk written to\n"
    # A name that is not UTF-8.
    missing = os.fsdecode(b"\xff.onnx")
    result = program("inspect", missing, stdout=subprocess.PIPE)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert json.loads(program("boards", "--json", stdout=subprocess.PIPE).stdout)["boards"]
