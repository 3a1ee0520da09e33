"""Simulation of an emitted core under cocotb, with the testbench of cocotb_bench.py."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from nn2rtl import cache
from nn2rtl.errors import OutputError, SimulationError, ToolError
from nn2rtl.sim.compile import TOP, read_verilog
from nn2rtl.sim.result import RunResult
from nn2rtl.sim.verilator import check_run
from nn2rtl.tools import COCOTB, GXX, ICARUS, MAKE, PERL, VERILATOR

# cocotb's runner takes its tools from the environment and ends the process on errors: it gets one
# of its own.
_CHILD = """\
import json, sys
from cocotb_tools.runner import get_runner
call = json.load(sys.stdin)
getattr(get_runner(call["simulator"]), call["method"])(**call["arguments"])
"""
_VERILATOR_ARGS = (
    "--no-timing", "-Wno-fatal", "-Wno-lint", "-Wno-style", "--output-split-cfuncs", "500",
    "--x-initial", "unique", "--x-assign", "unique",
    # cocotb's runner makes every signal public, which forbids most optimization of a large core.
    "--no-public-flat-rw",
)  # fmt: skip
_PUBLIC = f"""\
`verilator_config
public_flat_rw -module "{TOP}" -var "clk"
public_flat_rw -module "{TOP}" -var "rst"
public_flat_rw -module "{TOP}" -var "s_axis_*"
public_flat_rw -module "{TOP}" -var "m_axis_*"
"""


def build(verilog: str | Path, *, trace: bool = False) -> CocotbSimulator:
    """Compile a core for cocotb, or take it from the cache.

    Verilator is used if it is there with all that its makefiles need, else Icarus Verilog.

    Parameters
    ----------
    verilog : str or Path
        Verilog text, or a file; see `verilator.build`.
    trace : bool
        Whether runs can write waveforms.

    Raises
    ------
    SimulationError
        The file cannot be read.
    ToolError
        cocotb, cocotbext-axi or a simulator is missing or failed; or waveforms were asked for and
        only Icarus Verilog is there.
    """
    cocotb = COCOTB.require()
    text = read_verilog(verilog)
    simulator = _choose(trace)
    tool = (VERILATOR if simulator == "verilator" else ICARUS).require()
    arguments: dict[str, Any] = {"hdl_toplevel": TOP, "waves": trace, "timescale": ["1ns", "1ps"]}
    if simulator == "verilator":
        arguments["build_args"] = _VERILATOR_ARGS
    place = cache.entry(
        "cocotb", text, json.dumps(arguments), _PUBLIC, simulator, tool.version_text,
        cocotb.version_text, sys.prefix,
    )  # fmt: skip

    def make(folder: Path) -> None:
        folder.mkdir()
        source = folder / "design.v"
        source.write_text(text)
        sources = [str(source)]
        if simulator == "verilator":
            (folder / "public.vlt").write_text(_PUBLIC)
            sources.insert(0, str(folder / "public.vlt"))
        status, log = _call(
            simulator, "build", {**arguments, "sources": sources, "build_dir": str(folder)}
        )
        if status:
            errors = re.findall(r"^.*(?:%Error|\berror\b).*$", log, re.MULTILINE)
            detail = (errors or log.strip().splitlines() or [f"exit status {status}"])[0]
            raise ToolError(f"cocotb could not build the simulator: {detail.strip()}")

    return CocotbSimulator(cache.build(place, make), simulator, trace)


def _choose(trace: bool) -> str:
    """Name of the simulator, as cocotb knows it."""
    if all(tool.find() for tool in (VERILATOR, GXX, MAKE, PERL)):
        return "verilator"
    if ICARUS.find() is None or trace:
        for tool in (VERILATOR, MAKE, PERL):
            tool.require()
    return "icarus"


def _call(
    simulator: str, method: str, arguments: dict[str, Any], env: dict[str, str] | None = None,
    timeout: float | None = None,
) -> tuple[int, str]:  # fmt: skip
    """Call a method of cocotb's runner in a process of its own; returns status and output."""
    variables = {**os.environ, **(env or {})}
    variables.pop("PYTEST_CURRENT_TEST", None)  # the runner behaves differently under pytest
    found = VERILATOR.find()
    if simulator == "verilator" and found:
        variables |= found.env
        folders = [str(Path(found.command[0]).parent), variables.get("PATH", "")]
        variables["PATH"] = os.pathsep.join(folders)
        # Verilator's makefile: precompiled headers of split designs do not compile without the
        # first, and it takes the name of Python from the machine that built Verilator.
        variables["MAKEFLAGS"] = f"CFG_CXXFLAGS_PCH_I=-include PYTHON3={sys.executable}"
    try:
        done = subprocess.run(
            (sys.executable, "-c", _CHILD), env=variables, timeout=timeout, text=True,
            input=json.dumps({"simulator": simulator, "method": method, "arguments": arguments}),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace",
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise SimulationError(
            f"the simulation was not done after {timeout:g} seconds",
            remedy="simulate fewer inferences or allow more time",
        ) from error
    return done.returncode, done.stdout


@dataclass(frozen=True)
class CocotbSimulator:
    """A core compiled for cocotb; `build` makes it.

    Attributes
    ----------
    folder : Path
        cocotb's build folder.
    simulator : str
        "verilator" or "icarus".
    trace : bool
        Whether it can write waveforms.
    """

    folder: Path
    simulator: str
    trace: bool

    def run(
        self,
        beats_in: npt.ArrayLike,
        out_beats: int,
        *,
        in_per_inference: int,
        out_per_inference: int,
        idle: float = 0.0,
        backpressure: float = 0.0,
        seed: int = 0,
        waves: Path | None = None,
        max_idle_cycles: int = 1_000_000,
        timeout: float = 3600.0,
    ) -> RunResult:
        """Feed beats and collect the outputs; see `verilator.Simulator.run`.

        Raises
        ------
        SimulationError
            The design stalls, violates AXI4-Stream, or sends too much.
        OutputError
            The waveform cannot be written.
        """
        beats = check_run(
            beats_in, None, idle, backpressure, in_per_inference, out_per_inference, out_beats
        )
        if waves is not None and not self.trace:
            raise ValueError("waves needs a simulator from build(..., trace=True)")
        with tempfile.TemporaryDirectory(prefix="nn2rtl-cocotb-") as name:
            folder = Path(name)
            bench = resources.files("nn2rtl.sim").joinpath("cocotb_bench.py").read_text()
            (folder / "cocotb_bench.py").write_text(bench)
            np.save(folder / "beats.npy", beats)
            settings = {
                "BEATS": folder / "beats.npy", "RESULT": folder / "result.npz",
                "OUT_BEATS": out_beats, "IN_PER_INFERENCE": in_per_inference,
                "OUT_PER_INFERENCE": out_per_inference, "IDLE": idle,
                "BACKPRESSURE": backpressure, "SEED": seed, "MAX_IDLE_CYCLES": max_idle_cycles,
            }  # fmt: skip
            random_start = ["+verilator+rand+reset+2", f"+verilator+seed+{seed % 0x7FFFFFFF + 1}"]
            arguments: dict[str, Any] = {
                "test_module": "cocotb_bench", "hdl_toplevel": TOP, "hdl_toplevel_lang": "verilog",
                "build_dir": str(self.folder), "test_dir": str(folder), "seed": seed,
                "results_xml": str(folder / "results.xml"), "waves": waves is not None,
                "plusargs": random_start if self.simulator == "verilator" else [],
                "extra_env": {f"NN2RTL_{key}": str(value) for key, value in settings.items()},
            }  # fmt: skip
            path = os.pathsep.join(filter(None, (name, os.environ.get("PYTHONPATH"))))
            status, log = _call(self.simulator, "test", arguments, {"PYTHONPATH": path}, timeout)
            if waves is not None and (folder / "dump.vcd").exists():
                try:
                    shutil.copyfile(folder / "dump.vcd", waves)
                except OSError as error:
                    raise OutputError(f"cannot write {waves}: {error.strerror}") from error
            _check_passed(folder / "results.xml", status, log)
            with np.load(folder / "result.npz") as saved:
                result = RunResult(
                    saved["outputs"], saved["in_cycles"], saved["out_cycles"],
                    saved["last_flags"], in_per_inference, out_per_inference,
                )  # fmt: skip
        result.check_last()
        return result


def _check_passed(results: Path, status: int, log: str) -> None:
    """Raise SimulationError unless cocotb's JUnit file tells of one test, which passed."""
    lines = log.strip().splitlines()
    if not results.exists():
        detail = lines[-1].strip() if lines else f"exit status {status}"
        raise SimulationError(f"the cocotb simulation ended without a result: {detail}")
    root = ElementTree.parse(results).getroot()
    for kind in ("failure", "error"):
        for entry in root.iter(kind):
            raise SimulationError(entry.get("message") or (entry.text or kind).strip())
    if status or len(list(root.iter("testcase"))) != 1 or list(root.iter("skipped")):
        raise SimulationError(f"the cocotb simulation ended with status {status}: {lines[-1:]}")
