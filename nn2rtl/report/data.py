"""The report as data: everything that is known of a build, JSON-serialisable, in one place."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from nn2rtl.boards.synthesis import SynthesisResult
from nn2rtl.report.layers import LayerReport, resources_entry
from nn2rtl.report.meaning import input_entry, output_entry
from nn2rtl.simulation import Simulation

if TYPE_CHECKING:  # at run time the design knows the build, which knows the report
    from nn2rtl.design import Design

STAGES = ("plan", "verilog", "sim", "synth", "pnr", "bitstream")
STATUSES = ("done", "skipped", "failed")


@dataclass(frozen=True)
class StageRecord:
    """A stage of a build: its name, how it went, how long it took, and a word about it.

    `status` is one of `STATUSES`; `seconds` is wall-clock time, None if it was not measured.
    """

    name: str
    status: str
    seconds: float | None = None
    detail: str = ""


@dataclass(frozen=True)
class Outcome:
    """What a build did, besides the design itself.

    Attributes
    ----------
    stage : str
        The last stage that was reached, one of `STAGES`.
    stages : list of StageRecord or tuple
        All stages in order; a tuple has StageRecord's fields.
    simulation : Simulation or None
        Without random stalls, so that its latency and interval are the hardware's own.
    synthesis : SynthesisResult or None
        What synthesis found.
    fmax_mhz : float or None
        Highest clock after place and route.
    files : list of str
        Names of the files written.
    notes : list of str
        What the user should know.
    tools : dict of str to str
        Version of each tool used.
    model_file, model_sha256 : str or None
        Name and digest of the model file.
    """

    stage: str
    stages: list[StageRecord | tuple[str, str, float | None, str]] = field(default_factory=list)
    simulation: Simulation | None = None
    synthesis: SynthesisResult | None = None
    fmax_mhz: float | None = None
    files: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    tools: dict[str, str] = field(default_factory=dict)
    model_file: str | None = None
    model_sha256: str | None = None

    def __post_init__(self) -> None:
        records = [s if isinstance(s, StageRecord) else StageRecord(*s) for s in self.stages]
        for name in (self.stage, *(record.name for record in records)):
            if name not in STAGES:
                raise ValueError(f"stage must be one of {', '.join(STAGES)}, not {name!r}")
        for record in records:
            if record.status not in STATUSES:
                raise ValueError(
                    f"status must be one of {', '.join(STATUSES)}, not {record.status!r}"
                )


def make_report(design: Design, outcome: Outcome) -> dict[str, Any]:
    """Everything that is known of a build.

    Parameters
    ----------
    design : Design
        The planned design.
    outcome : Outcome
        What was done with it.

    Returns
    -------
    dict
        As documented in docs/report.md; what is not known is None.
    """
    planned, board, simulation = design.planned, design.board, outcome.simulation
    timing, plan = planned.timing, planned.plan
    latency = timing.latency_cycles if simulation is None else simulation.latency_cycles
    interval = None if simulation is None else simulation.interval_cycles
    synthesis = outcome.synthesis
    needed = planned.total if synthesis is None else synthesis.resources
    records = [s if isinstance(s, StageRecord) else StageRecord(*s) for s in outcome.stages]
    return {
        "nn2rtl": _version(),
        "model": {
            "name": design.model.name,
            "file": outcome.model_file,
            "sha256": outcome.model_sha256,
        },
        "board": {"name": board.name, "title": board.title, "part": board.part},
        "stage": outcome.stage,
        "stages": [
            {"name": s.name, "status": s.status, "seconds": s.seconds, "detail": s.detail}
            for s in records
        ],
        "samples": None if simulation is None else simulation.samples,
        "mismatches": None if simulation is None else simulation.mismatches,
        "latency_cycles": None if simulation is None else simulation.latency_cycles,
        "interval_cycles": interval,
        "predicted": {
            "latency_cycles": timing.latency_cycles,
            "interval_cycles": timing.interval_cycles,
        },
        "clock_mhz": design.clock_hz / 1e6,
        "latency_us": latency / design.clock_hz * 1e6,
        "inferences_per_second": design.clock_hz
        / (timing.interval_cycles if interval is None else interval),
        "resources": None if synthesis is None else resources_entry(synthesis.resources),
        "predicted_resources": resources_entry(planned.total),
        "board_resources": resources_entry(board.resources),
        "fits": needed.fits(board.resources),
        "uncounted_cells": {} if synthesis is None else dict(synthesis.uncounted),
        "fmax_mhz": outcome.fmax_mhz,
        "layers": LayerReport(planned, synthesis).entries(),
        "input": input_entry(plan),
        "output": output_entry(plan),
        "files": list(outcome.files),
        "tools": dict(outcome.tools),
        "notes": list(outcome.notes),
    }


def _version() -> str | None:
    try:
        return version("nn2rtl")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return None
