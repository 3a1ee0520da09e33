"""Tool flows: which stages there are, what each needs, and the files that a user can run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from nn2rtl.boards import openxc7, vivado
from nn2rtl.boards.board import FLOW_NAMES, Board
from nn2rtl.boards.xdc import CORE, core_constraints
from nn2rtl.errors import OptionsError, OutputError
from nn2rtl.files import write_whole
from nn2rtl.tools import (
    FASM2FRAMES,
    NEXTPNR_HIMBAECHEL,
    NEXTPNR_XILINX,
    VERILATOR,
    VIVADO,
    XC7FRAMES2BIT,
    YOSYS,
    Tool,
)

__all__ = ["Missing", "Stage", "next_missing", "write_project"]


class Stage(StrEnum):
    """Stages from a core to a bitstream, in order."""

    VERILOG = "verilog"
    SIM = "sim"
    SYNTH = "synth"
    PNR = "pnr"
    BITSTREAM = "bitstream"


@dataclass(frozen=True)
class Missing:
    """Why a flow stops before ``stage``: the tool that is missing, and how to get it."""

    stage: Stage
    tool: str
    how_to_get: str


# For each stage, what it needs; of the tools in one tuple, any will do.
_COMMON: dict[Stage, tuple[tuple[Tool, ...], ...]] = {
    Stage.VERILOG: ((YOSYS,),),
    Stage.SIM: ((VERILATOR,),),
}
_NEEDED: dict[str, dict[Stage, tuple[tuple[Tool, ...], ...]]] = {
    "vivado": {
        **_COMMON,
        Stage.SYNTH: ((VIVADO,),),
        Stage.PNR: ((VIVADO,),),
        Stage.BITSTREAM: ((VIVADO,),),
    },
    "openxc7": {
        **_COMMON,
        Stage.SYNTH: ((YOSYS,),),
        Stage.PNR: ((NEXTPNR_XILINX, NEXTPNR_HIMBAECHEL),),
        Stage.BITSTREAM: ((FASM2FRAMES,), (XC7FRAMES2BIT,)),
    },
}

# The first stage that needs pins: Vivado can place and route a core out of context.
_NEEDS_PINS = {"vivado": Stage.BITSTREAM, "openxc7": Stage.PNR}


def _with_needs(tool: Tool) -> Iterator[Tool]:
    yield tool
    for needed in tool.needs:
        yield from _with_needs(needed)


def next_missing(flow: str, until: Stage, *, has_pins: bool = False) -> Missing | None:
    """What stops ``flow`` first on its way to the end of the stage ``until``, if anything.

    Simulation is on the way only when it is the stage that is wanted: no later stage needs it.

    Parameters
    ----------
    flow : str
        ``vivado`` or ``openxc7``.
    until : Stage
        Last stage that is wanted.
    has_pins : bool
        Whether the design is a whole board design, not a bare core.

    Raises
    ------
    OptionsError
        There is no such flow.
    """
    if flow not in _NEEDED:
        raise OptionsError(
            f"unknown flow {flow!r}", remedy=f"choose one of: {', '.join(FLOW_NAMES)}"
        )
    for stage in Stage:
        if stage is Stage.SIM and until is not Stage.SIM:
            continue
        if stage is _NEEDS_PINS[flow] and not has_pins:
            return Missing(
                stage,
                "a board shell",
                "a bare core has no pins: instantiate it in a design for the board",
            )
        for alternatives in _NEEDED[flow][stage]:
            if any(all(tool.find() for tool in _with_needs(one)) for one in alternatives):
                continue
            # The first alternative is the one to recommend; name just the part that is missing.
            tool = next(tool for tool in _with_needs(alternatives[0]) if not tool.find())
            return Missing(stage, tool.name, tool.how_to_get)
        if stage is until:
            break
    return None


def write_project(board: Board, flow: str, frequency_hz: float, cwd: Path) -> tuple[Path, ...]:
    """Write what a user runs to build the core (``nn2rtl_core.v``, not written here) by hand.

    Returns
    -------
    tuple of Path
        The files: constraints and ``build.tcl`` for Vivado, ``build_openxc7.sh`` for openXC7.

    Raises
    ------
    OptionsError
        The board has no such flow, or the frequency is impossible.
    OutputError
        ``cwd`` cannot be written.
    """
    options = board.flow(flow)
    constraints = core_constraints(frequency_hz)
    try:
        cwd.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{cwd} cannot be written: {error.strerror}") from error
    if flow == "vivado":
        tcl = vivado.build_tcl(board)
        return (
            write_whole(cwd / f"{CORE}.xdc", constraints),
            write_whole(cwd / vivado.SCRIPT, tcl),
        )
    script = openxc7.build_script(board.name, options)
    path = write_whole(cwd / openxc7.SCRIPT, script)
    path.chmod(0o755)
    return (path,)
