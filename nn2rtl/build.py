"""Build a design for its board, as far as wanted or as the tools at hand go."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nn2rtl.boards.board import Board
from nn2rtl.boards.flows import Missing, Stage, next_missing, write_project
from nn2rtl.boards.resources import Resources
from nn2rtl.boards.synthesis import SynthesisResult, synthesize
from nn2rtl.boards.vivado import run_vivado
from nn2rtl.design import Design
from nn2rtl.elaborate import TOP
from nn2rtl.errors import (
    Nn2RtlError,
    OptionsError,
    ResourceError,
    SimulationError,
    ToolError,
)
from nn2rtl.files import staging, write_whole
from nn2rtl.ir.types import IntArray
from nn2rtl.report.data import Outcome, StageRecord, make_report
from nn2rtl.report.html import html_report
from nn2rtl.report.interface import interface_page
from nn2rtl.sim.cells import CELLS, models_of
from nn2rtl.simulation import Simulation

TOOLCHAINS = {"auto": "auto", "open": "openxc7", "vivado": "vivado"}
SAMPLES = 8
"""Inferences, of random inputs over the whole input range, that a build simulates."""
_PERHAPS = {"netlist.v", *CELLS.values()}  # files that not every build writes
HOPELESS = 1.3
"""A design predicted to need this many times what the board has is not synthesized."""


@dataclass(frozen=True)
class BuildResult:
    """What a build did.

    Attributes
    ----------
    report : dict
        As documented in docs/report.md; also in report.json.
    folder : Path
        Where the files are.
    error : Nn2RtlError or None
        Why the build ended before what was asked for.
    """

    report: dict[str, Any]
    folder: Path
    error: Nn2RtlError | None


def build(
    design: Design,
    folder: Path,
    *,
    until: str | None = None,
    toolchain: str = "auto",
    model_file: Path | None = None,
    on_stage: Callable[[str], None] | None = None,
) -> BuildResult:
    """Write Verilog, simulate it, synthesize it, and go on as far as possible.

    The report is written whatever happens after planning; the folder's files appear together at
    the end.

    Parameters
    ----------
    design : Design
        What to build.
    folder : Path
        Where the files go; made if missing.
    until : str, optional
        Last stage wanted: ``verilog``, ``sim``, ``synth``, ``pnr`` or ``bitstream``. If not
        given, as far as the installed tools go.
    toolchain : str
        ``open`` (Yosys), ``vivado``, or ``auto``: Vivado if it is installed.
    model_file : Path, optional
        The model's file, for its name and hash in the report.
    on_stage : callable, optional
        Is told what begins.

    Returns
    -------
    BuildResult
        With the report; its ``error`` says what kept the build from what was asked for: a
        `ResourceError` (too large), `ToolError` or `SimulationError`.

    Raises
    ------
    OptionsError
        If stage or toolchain do not exist.
    OutputError
        If the folder cannot be written.
    """
    if until is not None and until not in list(Stage):
        raise OptionsError(f"no stage {until!r}", remedy=f"choose {', '.join(Stage)}")
    if toolchain not in TOOLCHAINS:
        raise OptionsError(f"no toolchain {toolchain!r}", remedy=f"choose {', '.join(TOOLCHAINS)}")
    flow = _flow(design.board, TOOLCHAINS[toolchain])
    with staging(folder) as stage:
        run = _Run(design, stage, flow, until, on_stage or (lambda text: None))
        error = run.all()
        outcome = run.outcome(model_file, [p.name for p in sorted(stage.iterdir())])
        report = make_report(design, outcome)
        write_whole(stage / "report.json", json.dumps(report, indent=1))
        write_whole(stage / "report.html", html_report(report))
        write_whole(stage / "interface.md", interface_page(report))
    for name in _PERHAPS - set(report["files"]):
        (folder / name).unlink(missing_ok=True)  # of an earlier build, of another design
    return BuildResult(report, folder, error)


def _flow(board: Board, wanted: str) -> str:
    names = [flow.name for flow in board.flows]
    if wanted == "auto":
        has_vivado = "vivado" in names and next_missing("vivado", Stage.SYNTH) is None
        return "vivado" if has_vivado else "openxc7"
    board.flow(wanted)
    return wanted


@dataclass
class _Run:
    """The stages of one build, and what they found."""

    design: Design
    folder: Path
    flow: str
    until: str | None
    tell: Callable[[str], None]
    reached: str = "plan"
    stages: list[StageRecord | tuple[str, str, float | None, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    tools: dict[str, str] = field(default_factory=dict)
    simulation: Simulation | None = None
    synthesis: SynthesisResult | None = None
    fmax_mhz: float | None = None

    def all(self) -> Nn2RtlError | None:
        """Do what is wanted; the error that ended it, if any."""
        steps = {
            Stage.VERILOG: self._verilog,
            Stage.SIM: self._simulate,
            Stage.SYNTH: self._synthesize,
            Stage.PNR: self._place_and_route,
            Stage.BITSTREAM: self._bitstream,
        }
        for stage, step in steps.items():
            missing = self._missing(stage)
            if missing is not None:
                note = f"{missing.stage}: needs {missing.tool}; {missing.how_to_get}"
                self.stages.append((stage.value, "skipped", None, note))
                is_needed = stage in (self.until, Stage.VERILOG)
                if is_needed or (self.until is not None and stage is not Stage.SIM):
                    return ToolError(f"stage {stage} needs {missing.tool}",
                                     remedy=missing.how_to_get)
                if stage is Stage.SIM:
                    self.notes.append("not simulated: " + note)
                    continue
                return None
            try:
                with self._timed(stage):
                    step()
            except Nn2RtlError as error:
                return error
            if self.until == stage:
                break
        return None

    def outcome(self, model_file: Path | None, files: list[str]) -> Outcome:
        """What is to be reported."""
        digest = None
        if model_file is not None:
            digest = hashlib.sha256(model_file.read_bytes()).hexdigest()
        return Outcome(
            stage=self.reached,
            stages=self.stages,
            simulation=self.simulation,
            synthesis=self.synthesis,
            fmax_mhz=self.fmax_mhz,
            files=sorted([*files, "report.json", "report.html", "interface.md"]),
            notes=self.notes,
            tools=self.tools,
            model_file=None if model_file is None else model_file.name,
            model_sha256=digest,
        )

    # -- stages ----------------------------------------------------------------------------------

    def _missing(self, stage: Stage) -> Missing | None:
        missing = next_missing(self.flow, stage)
        # Earlier stages have been done or skipped with a word of their own.
        return missing if missing is not None and missing.stage == stage else None

    @contextmanager
    def _timed(self, stage: Stage) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        except Nn2RtlError as error:
            self.stages.append(
                (stage.value, "failed", time.monotonic() - started, error.line())
            )
            raise
        self.reached = stage.value
        self.stages.append((stage.value, "done", time.monotonic() - started, ""))

    def _verilog(self) -> None:
        self.tell("elaborating, writing Verilog")
        write_whole(self.folder / f"{TOP}.v", self.design.verilog)
        for name, text in models_of(self.design.verilog).items():
            write_whole(self.folder / name, text)
        for flow in self.design.board.flows:
            write_project(self.design.board, flow.name, self.design.clock_hz, self.folder)

    def _simulate(self) -> None:
        self.tell("simulating with Verilator")
        self.simulation = self.design.simulate(random_inputs(self.design, SAMPLES))
        check_simulation(self.design, self.simulation)

    def _synthesize(self) -> None:
        board, predicted = self.design.board, self.design.planned.total
        for name in Resources.names():
            if predicted[name] > HOPELESS * board.resources[name]:
                raise too_large(board, predicted, "predicted to need", name)
        if self.flow == "vivado":
            self._run_vivado()
            return
        self.tell("synthesizing with Yosys")
        source = write_whole(self.folder / f"{TOP}.il", self.design.rtlil)
        try:
            self.synthesis = synthesize(
                source, TOP, board, self.folder, no_dsp=not self.design.options.dsp
            )
        finally:
            source.unlink()
        self.tools["yosys"] = self.synthesis.tool
        if self.synthesis.resources.dsp and board.flow(self.flow).no_dsp:
            self.notes.append(
                f"the {self.flow} flow maps without DSP slices, which this design uses; plan with "
                "--no-dsp for it"
            )
        exceeded = board.resources.exceeded_by(self.synthesis.resources)
        if exceeded:
            raise too_large(board, self.synthesis.resources, "needs", exceeded[0])

    def _run_vivado(self) -> None:
        self.tell("building with Vivado")
        result = run_vivado(self.folder, self.design.clock_hz)
        self.fmax_mhz = result.fmax_mhz
        if not result.is_met:
            raise ToolError(
                f"the clock of {self.design.clock_hz / 1e6:g} MHz is missed; "
                f"{result.fmax_mhz:.1f} MHz are reached",
                remedy="set a lower clock_mhz, or fold layers more",
            )

    def _place_and_route(self) -> None:
        # Vivado's script has done it together with synthesis; the open flow ends before.
        self.tell("placed and routed")

    def _bitstream(self) -> None:
        raise ToolError("a bare core has no pins", remedy="build until pnr")


def random_inputs(design: Design, samples: int, seed: int = 0) -> IntArray:
    """Random integers over the whole input range, in the model's shape."""
    spec, _ = design.graph.spec()
    kind = design.planned.plan.input.result.type
    rng = np.random.default_rng(seed)
    return rng.integers(kind.low, kind.high, (samples, *spec.shape), endpoint=True)


def check_simulation(design: Design, simulation: Simulation) -> None:
    """Check outputs and every beat's time against the models.

    Raises
    ------
    SimulationError
        If the hardware differs from the integer model, or from its predicted timing.
    """
    if simulation.mismatches:
        raise SimulationError(
            f"{simulation.mismatches} of {simulation.samples} inferences differ from the integer "
            "model",
            remedy="please report this, with the model: it is a defect of nn2rtl",
        )
    timing = design.timing(simulation.samples)
    start = simulation.input_cycles[0]
    if not (
        np.array_equal(timing.input_cycles, simulation.input_cycles - start)
        and np.array_equal(timing.output_cycles, simulation.output_cycles - start)
    ):
        raise SimulationError(
            f"the simulated latency of {simulation.latency_cycles} cycles (or the time of some "
            f"beat) differs from the predicted {timing.latency_cycles}",
            remedy="please report this, with the model: it is a defect of nn2rtl",
        )


def too_large(board: Board, needed: Resources, verb: str, name: str) -> ResourceError:
    """The error for a design that exceeds the board."""
    unit = {"lut": "LUTs", "ff": "registers", "bram36": "block RAMs", "dsp": "DSP slices",
            "carry": "carry cells"}[name]
    have = board.resources[name]
    return ResourceError(
        f"the design is too large for {board.name}: {verb} {needed[name]:g} {unit} of {have:g} "
        f"({100 * needed[name] / have:.0f} %)",
        remedy="choose a larger board, fewer bits, or a smaller network",
    )
