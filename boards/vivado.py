"""Build a core with AMD Vivado, out of context, and read what its reports say."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nn2rtl.boards.board import Board
from nn2rtl.boards.process import run_process
from nn2rtl.boards.resources import Resources
from nn2rtl.boards.xdc import CORE, clock_period_ns
from nn2rtl.errors import OptionsError, OutputError, ToolError
from nn2rtl.tools import VIVADO

__all__ = ["SCRIPT", "VivadoResult", "build_tcl", "read_timing", "read_utilization", "run_vivado"]

SCRIPT = "build.tcl"
_UTILIZATION = "utilization.rpt"
_TIMING = "timing.rpt"

_TEMPLATE = """\
# Builds {core}.v out of context for {title} with Vivado:
#     vivado -mode batch -source {script}
# The core is a block of a larger design: it has no pins, so there is no bitstream.
file delete -force {utilization} {timing}
read_verilog {core}.v
read_xdc -mode out_of_context {core}.xdc
synth_design -top {core} -part {part} -mode out_of_context{options}
opt_design
place_design
phys_opt_design
route_design
write_checkpoint -force {core}.dcp
report_utilization -file {utilization}
report_timing_summary -file {timing}
set path [get_timing_paths -setup -max_paths 1]
if {{[llength $path] == 0}} {{
    puts stderr "nn2rtl: no timed path: is the clock of {core} constrained?"
    exit 1
}}
set wns [get_property SLACK $path]
puts "nn2rtl: worst negative slack $wns ns"
if {{$wns < 0}} {{
    puts stderr "nn2rtl: timing is not met"
    exit 1
}}
exit 0
"""


@dataclass(frozen=True)
class VivadoResult:
    """A placed and routed core.

    Attributes
    ----------
    resources : Resources
    period_ns : float
        Clock period that was asked for.
    wns_ns : float
        Worst negative slack: what is left of the period on the slowest path.
    """

    resources: Resources
    period_ns: float
    wns_ns: float

    @property
    def fmax_mhz(self) -> float:
        """Highest clock frequency that the routed core meets."""
        return 1000 / (self.period_ns - self.wns_ns)

    @property
    def is_met(self) -> bool:
        """Whether the core runs at the clock that was asked for."""
        return self.wns_ns >= 0


def build_tcl(board: Board) -> str:
    """Non-project Vivado script; it exits with 1 when a step fails or timing is not met.

    Raises
    ------
    OptionsError
        The board's Vivado flow forbids RAM in LUTs, for which Vivado has no switch.
    """
    flow = board.flow("vivado")
    if flow.no_lutram:
        raise OptionsError(
            f"board {board.name}: no_lutram has no equivalent in Vivado",
            remedy="remove it from the vivado flow",
        )
    options = (" -max_dsp 0" if flow.no_dsp else "") + (" -no_srlextract" if flow.no_srl else "")
    return _TEMPLATE.format(
        core=CORE,
        title=board.title,
        part=flow.device,
        options=options,
        script=SCRIPT,
        utilization=_UTILIZATION,
        timing=_TIMING,
    )


def read_utilization(report: str) -> Resources:
    """Resources from the text of ``report_utilization``.

    Raises
    ------
    ToolError
        The text has no such table.
    """

    def used(name: str, absent: float | None = None) -> float:
        # A figure of estimated LUTs has a star at its name.
        row = re.search(rf"^\|\s*{name}\*?\s*\|\s*([0-9.]+)\s*\|", report, re.MULTILINE)
        if row:
            return float(row[1])
        if absent is None:
            raise ToolError(
                f"Vivado's utilization report has no row {name!r}", remedy=f"look at {_UTILIZATION}"
            )
        return absent

    return Resources(
        lut=int(used("Slice LUTs")),
        ff=int(used("Slice Registers")),
        bram36=used("Block RAM Tile"),
        dsp=int(used("DSPs")),
        # The table of primitives lists only those that are used.
        carry=int(used("CARRY4", absent=0)),
    )


def read_timing(report: str) -> float:
    """Worst negative slack in ns from the text of ``report_timing_summary``.

    Raises
    ------
    ToolError
        The text has no such table, or no path was timed.
    """
    table = re.search(r"^\s*WNS\(ns\).*\n[\s-]*\n\s*(\S+)", report, re.MULTILINE)
    if not table or not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", table[1]):
        raise ToolError(
            "Vivado's timing report has no worst negative slack",
            remedy=f"look at {_TIMING}: is the core's clock constrained?",
        )
    return float(table[1])


def run_vivado(
    cwd: Path,
    frequency_hz: float,
    *,
    timeout: float | None = None,
    on_line: Callable[[str], None] | None = None,
) -> VivadoResult:
    """Run the build script in ``cwd``, where the core and its constraints are.

    Missed timing is a result, not an error.

    Parameters
    ----------
    cwd : Path
        With what :func:`nn2rtl.boards.flows.write_project` wrote, and the core's Verilog.
    frequency_hz : float
        The clock of the constraints there.
    timeout : float, optional
        Seconds.
    on_line : callable, optional
        Called with each line that Vivado prints.

    Raises
    ------
    ToolError
        Vivado is missing, failed, or took longer than ``timeout``.
    """
    tool = VIVADO.require()
    period_ns = clock_period_ns(frequency_hz)
    reports = [cwd / _UTILIZATION, cwd / _TIMING]
    try:
        for report in reports:  # Those of an earlier run must not pass for this one's.
            report.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{error.filename} cannot be removed: {error.strerror}") from error
    result = run_process(
        [*tool.command, "-mode", "batch", "-nojournal", "-log", "vivado.log", "-source", SCRIPT],
        cwd,
        name="Vivado",
        env=tool.env,
        timeout=timeout,
        on_line=on_line,
    )
    if not all(report.is_file() for report in reports):
        lines = [line for line in result.output.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")] or lines
        raise ToolError(
            f"Vivado failed (exit status {result.status}): {' | '.join(errors[-3:])}",
            remedy=f"see {cwd / 'vivado.log'}",
        )
    utilization, timing = (report.read_text(encoding="utf-8") for report in reports)
    built = VivadoResult(
        resources=read_utilization(utilization), period_ns=period_ns, wns_ns=read_timing(timing)
    )
    if result.status != 0 and built.is_met:
        raise ToolError(
            f"Vivado failed after its reports (exit status {result.status})",
            remedy=f"see {cwd / 'vivado.log'}",
        )
    return built
