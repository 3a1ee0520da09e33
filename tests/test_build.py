"""Builds: stages, files, reports, and what happens when one fails."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib import resources

import numpy as np
import pytest
from command_line import nn2rtl
from onnx import helper
from tiny_models import WEIGHTS, dense, network, quantizer, save_tiny, tiny_inputs

import nn2rtl as nn2rtl_package
import nn2rtl.design as nn2rtl_design
from nn2rtl import tools
from nn2rtl.build import build, check_simulation, random_inputs
from nn2rtl.errors import OptionsError, SimulationError, ToolError

VERILOG_FILES = {"nn2rtl_core.v", "nn2rtl_core.xdc", "build.tcl", "build_openxc7.sh"}
REPORT_FILES = {"report.json", "report.html", "interface.md"}


@pytest.fixture
def tiny(tmp_path):
    return save_tiny(tmp_path / "tiny.onnx")


@pytest.fixture
def without(monkeypatch):
    """Hides tools."""
    find = tools._find

    def hide(*hidden):
        monkeypatch.setattr(tools, "_find", lambda tool: None if tool in hidden else find(tool))

    return hide


@pytest.fixture
def small_board(tmp_path):
    """A function from resources to a board that has no more of them."""
    text = (resources.files("nn2rtl.boards") / "pynq_z2.yaml").read_text()

    def write(**most):
        changed = text
        for name, value in most.items():
            changed, count = re.subn(rf"\b{name}: \d+", f"{name}: {value}", changed)
            assert count == 1
        (tmp_path / "small.yaml").write_text(changed)
        return tmp_path / "small.yaml"

    return write


def statuses(report):
    return {stage["name"]: stage["status"] for stage in report["stages"]}


def test_to_synthesis(tiny, tmp_path):
    folder = tmp_path / "new" / "build"
    report = nn2rtl("build", tiny, "-o", folder, "--toolchain", "open", "--json").json
    assert statuses(report) == {
        "verilog": "done", "sim": "done", "synth": "done", "pnr": "skipped"
    }  # fmt: skip
    assert report["stage"] == "synth"
    assert (report["samples"], report["mismatches"]) == (8, 0)
    assert report["latency_cycles"] == report["predicted"]["latency_cycles"]
    assert report["interval_cycles"] == report["predicted"]["interval_cycles"]
    names = {"lut", "ff", "bram36", "dsp", "carry"}
    assert set(report["resources"]) == set(report["board_resources"]) == names
    assert 0 < report["resources"]["lut"] <= report["board_resources"]["lut"] == 20800
    assert report["resources"]["ff"] > 0 and report["fmax_mhz"] is None and report["fits"]
    assert report["tools"]["yosys"]
    assert set(report["files"]) == VERILOG_FILES | REPORT_FILES | {"netlist.v"}
    assert set(os.listdir(folder)) == set(report["files"])
    assert json.loads((folder / "report.json").read_text()) == report
    assert "module nn2rtl_core" in (folder / "netlist.v").read_text()


def test_slices_have_their_model_beside(tiny, tmp_path):
    """A core of DSP slices needs their behavioural model, in a file that synthesis leaves out."""
    config = tmp_path / "dsp.yaml"
    config.write_text("layers: {dense: {dsp: true}}")
    folder = tmp_path / "build"
    result = nn2rtl("build", tiny, "-o", folder, "--config", config, "--until", "verilog")
    assert result.status == 0, result.err
    assert set(os.listdir(folder)) == VERILOG_FILES | REPORT_FILES | {"dsp48e1.v"}


def test_until_and_the_summary(tiny, tmp_path):
    folder = tmp_path / "build"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    result = nn2rtl("build", tiny, "-o", folder, "--until", "verilog")
    assert (result.status, result.err) == (0, "")
    assert "not simulated" in result.out and str(folder / "report.html") in result.out
    assert set(os.listdir(folder)) == VERILOG_FILES | REPORT_FILES | {"notes.txt"}
    assert (folder / "notes.txt").read_text() == "mine"
    report = json.loads((folder / "report.json").read_text())
    assert (report["stage"], report["model"]["file"]) == ("verilog", "tiny.onnx")
    assert report["resources"] is report["latency_cycles"] is None
    assert os.stat(folder / "report.html").st_mode & 0o444


def test_the_python_interface(tiny, tmp_path):
    design = nn2rtl_package.compile(nn2rtl_package.load(tiny))
    told = []
    result = design.build(tmp_path / "build", until="sim", on_stage=told.append)
    assert (result.error, result.folder) == (None, tmp_path / "build")
    assert result.report["mismatches"] == 0 and len(told) == 2
    for wrong in ({"until": "later"}, {"toolchain": "quartus"}):
        with pytest.raises(OptionsError, match="choose"):
            build(design, tmp_path / "other", **wrong)
    assert not (tmp_path / "other").exists()


def test_random_inputs_cover_the_range(tiny):
    design = nn2rtl_package.compile(nn2rtl_package.load(tiny))
    x = random_inputs(design, 500)
    assert x.shape == (500, 2, 1, 2) and (x.min(), x.max()) == (-8, 7)
    assert design.stream(x).shape == (500, 4)


def test_times_are_checked_beat_by_beat(tiny):
    design = nn2rtl_package.compile(nn2rtl_package.load(tiny))
    run = design.simulate(tiny_inputs(3))
    check_simulation(design, run)
    check_simulation(design, replace(run, input_cycles=run.input_cycles + 5,
                                     output_cycles=run.output_cycles + 5))
    late = run.output_cycles.copy()
    late[1] += 1
    with pytest.raises(SimulationError, match="differs from the predicted"):
        check_simulation(design, replace(run, output_cycles=late))
    with pytest.raises(SimulationError, match="1 of 3 inferences differ"):
        check_simulation(design, replace(run, mismatches=1))


def test_a_difference_from_the_model_fails(tiny, tmp_path, monkeypatch):
    real = nn2rtl_design.run_stream

    def wrong(*args, **kwargs):
        outputs, *times = real(*args, **kwargs)
        return outputs ^ 1, *times

    monkeypatch.setattr(nn2rtl_design, "run_stream", wrong)
    result = nn2rtl("build", tiny, "-o", tmp_path / "build", "--json")
    assert "8 of 8 inferences differ from the integer model" in result.refusal(1)
    assert result.json["mismatches"] == 8
    assert statuses(result.json) == {"verilog": "done", "sim": "failed"}


def test_too_large(tiny, tmp_path, small_board):
    folder = tmp_path / "build"
    result = nn2rtl("build", tiny, "-o", folder, "--board", small_board(lut=20), "--json",
                    "--until", "synth")  # fmt: skip
    report = result.json
    needed = report["predicted_resources"]["lut"]
    assert (
        f"the design is too large for pynq_z2: predicted to need {needed} LUTs of 20 "
        f"({5 * needed} %); choose a larger board"
    ) in result.refusal()
    assert json.loads((folder / "report.json").read_text()) == report
    assert not report["fits"] and report["files"] == sorted(os.listdir(folder))
    assert statuses(report) == {"verilog": "done", "sim": "done", "synth": "failed"}


def test_too_large_only_after_synthesis(tiny, tmp_path, small_board, monkeypatch):
    design = nn2rtl_package.compile(nn2rtl_package.load(tiny))

    def synthesized(source, top, board, cwd, **more):
        return Synthesis(board.resources + replace(board.resources, lut=0, bram36=0, dsp=0))

    class Synthesis:
        tool, by_instance, uncounted = "none", {}, {}

        def __init__(self, resources):
            self.resources = self.own = resources

    monkeypatch.setattr("nn2rtl.build.synthesize", synthesized)
    result = design.build(tmp_path / "build", until="synth", toolchain="open")
    assert "too large for arty_a7: needs 83200 registers of 41600 (200 %)" in str(result.error)
    assert result.report["resources"]["ff"] == 83200


@pytest.mark.parametrize(
    ("hidden", "options", "status", "stage", "message"),
    [
        ((tools.YOSYS,), (), 1, "plan", "stage verilog needs Yosys; run `pip install"),
        ((tools.VERILATOR,), ("--until", "sim"), 1, "verilog", "stage sim needs Verilator"),
        ((tools.GXX,), ("--until", "sim"), 1, "verilog", r"sim needs g\+\+; install it"),
        ((tools.GXX,), ("--until", "verilog"), 0, "verilog", None),
        ((tools.VIVADO,), ("--toolchain", "vivado", "--until", "synth"), 1, "sim",
         "stage synth needs Vivado; install Vivado"),
        ((tools.VIVADO,), ("--toolchain", "vivado"), 0, "sim", None),
    ],
)  # fmt: skip
def test_missing_tools(tiny, tmp_path, without, hidden, options, status, stage, message):
    without(*hidden)
    result = nn2rtl("build", tiny, "-o", tmp_path / "build", "--json", *options)
    if status:
        assert re.search(message, result.refusal(status))
    assert (result.status, result.json["stage"]) == (status, stage)
    assert set(os.listdir(tmp_path / "build")) >= REPORT_FILES


def test_a_skipped_simulation_is_noted(tiny, tmp_path, without, monkeypatch):
    def fails(*args, **kwargs):
        raise ToolError("it was tried")

    without(tools.GXX, tools.VIVADO)
    monkeypatch.setattr("nn2rtl.build.synthesize", fails)
    result = nn2rtl("build", tiny, "-o", tmp_path / "build", "--json")
    assert result.refusal(1) == "it was tried"
    assert statuses(result.json) == {"verilog": "done", "sim": "skipped", "synth": "failed"}
    assert "not simulated: sim: needs g++" in result.json["notes"][0]


def test_unwritable_folder(tiny, tmp_path):
    (tmp_path / "file").write_text("mine")
    before = sorted(os.listdir(tmp_path))
    for folder in (tmp_path / "file", tmp_path / "file" / "below", "/proc/build"):
        message = nn2rtl("build", tiny, "-o", folder, "--until", "verilog").refusal()
        assert message.startswith(f"{folder}: output folder cannot be written: ")
        assert message.endswith("; choose another with -o")
    assert sorted(os.listdir(tmp_path)) == before
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_build_leaves_nothing(tiny, tmp_path, number):
    """In the middle of Yosys, in a group of processes as a terminal makes it."""
    folder = tmp_path / "build"
    child = subprocess.Popen(
        [sys.executable, "-m", "nn2rtl.cli", "build", tiny, "-o", folder],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "NN2RTL_CACHE": str(tmp_path / "cache")},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    with child:
        deadline = time.monotonic() + 60
        while not any(tmp_path.glob("cache/yosys-*/*.log")):
            assert child.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        os.killpg(child.pid, number)
        out, err = child.communicate(timeout=60)
    assert (child.returncode, out, err.strip()) == (1, "", "nn2rtl: interrupted")
    assert not folder.exists()
    assert sorted(os.listdir(tmp_path)) == ["cache", "tiny.onnx"]
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


HOSTILE = (
    "$(touch PWNED) `touch PWNED` ; touch PWNED # ]; exec touch PWNED; [\n\"PWNED\" 'PWNED' "
    "\\PWNED\nmodule PWNED; endmodule // */ $PWNED \x1b[2J <b>PWNED</b> |PWNED| ünï\u202e"
)
NAMES = [
    HOSTILE, "a" * 10_000, "module", "endmodule", "nn2rtl_core", "clk", "s_axis_tdata", "a b",
    "a_b", "a.b", "", "../../PWNED",
]  # fmt: skip


def test_names_never_reach_a_tool(tmp_path):
    """Names of nodes, tensors and graph: not in what tools read, and safe in what people read."""
    nodes, previous = [quantizer(f"{HOSTILE}x", "q")], "q"
    for index, name in enumerate(NAMES):
        end = f"{HOSTILE}y" if index == len(NAMES) - 1 else f"q{index}{HOSTILE}"
        nodes += [
            quantizer(f"w{HOSTILE}", f"wq{index}", scale="ws"),
            dense(previous, f"wq{index}", f"sum{index}{HOSTILE}", name),
            helper.make_node("Relu", [f"sum{index}{HOSTILE}"], [f"r{index}"], name=name + "r"),
            quantizer(f"r{index}", end, name=name + "q"),
        ]
        previous = end
    constants = {
        f"w{HOSTILE}": (WEIGHTS[:3] / 4).astype(np.float32), "s": 0.5, "ws": 0.25, "z": 0.0,
        "b": 4.0,
    }  # fmt: skip
    model = network(nodes, constants, (1, 3), name=HOSTILE, x=f"{HOSTILE}x", y=f"{HOSTILE}y")
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    folder = tmp_path / "build"
    result = nn2rtl("build", tmp_path / "model.onnx", "-o", folder, "--until", "verilog")
    assert (result.status, result.err) == (0, "")
    for name in VERILOG_FILES:
        text = (folder / name).read_text()
        assert not re.search(r"PWNED|touch |exec |<b>|a{41}", text), name
        assert text.replace("\n", "").isprintable() and text.isascii()
    verilog = (folder / "nn2rtl_core.v").read_text()
    # An instance for each layer (and converters between), whatever became of its name.
    instances = re.findall(r"^  \\nn2rtl_core\.\w+ +(n_[a-z0-9_]{1,40}) \($", verilog, re.MULTILINE)
    assert len(set(instances)) == len(instances) >= len(NAMES)
    html = (folder / "report.html").read_text()
    assert "<b>PWNED" not in html and "&lt;b&gt;PWNED" in html
    for text in (html, (folder / "interface.md").read_text(), result.out):
        assert "\x1b" not in text and "\u202e" not in text
    layers = json.loads((folder / "report.json").read_text())["layers"]
    assert {layer["source"] for layer in layers} >= {HOSTILE, "a" * 10_000, "module"}
    assert sorted(os.listdir(tmp_path)) == ["build", "model.onnx"]
    shown = nn2rtl("inspect", tmp_path / "model.onnx").out
    assert "\x1b" not in shown and "\u202e" not in shown
