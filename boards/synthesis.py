"""Synthesize a core for a board's part with Yosys, and count what it needs."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nn2rtl.boards.board import Board
from nn2rtl.boards.resources import Resources, is_counted
from nn2rtl.boards.yosys import run_yosys
from nn2rtl.errors import OptionsError, ToolError

__all__ = ["HIDE_WIRE_NAMES", "SynthesisResult", "synth_command", "synthesize"]

# abc9 stops on an assertion (rtlil.cc: count_id(wire->name) == 0) for some public names with
# brackets, which Amaranth gives to members of arrays (YosysHQ/yosys 4349: bit 0 of a wire `s` and
# a wire `s[0]`). Hiding leaves the names of ports alone.
HIDE_WIRE_NAMES = "rename -hide w:*"

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# A cell in RTLIL: its kind, then its name.
_CELL = re.compile(r"^ *cell (\S+) (\S+)$", re.MULTILINE)
_READERS = {".il": "read_rtlil", ".v": "read_verilog"}
_NETLIST = "netlist.v"
_STATISTICS = "nn2rtl_stat.json"
_PORTS_BEFORE = "nn2rtl_ports_before.txt"
_PORTS_AFTER = "nn2rtl_ports_after.txt"
_INSTANCES = "nn2rtl_instances.il"


@dataclass(frozen=True)
class SynthesisResult:
    """What a synthesized design needs.

    Attributes
    ----------
    resources : Resources
        Of the whole design; equal to ``own`` plus the sum of ``by_instance``.
    own : Resources
        Of the cells in the top module itself.
    by_instance : dict
        Of each instance in the top module, with everything below it, by instance name.
    cells : dict
        Number of cells of each primitive in the whole design.
    uncounted : dict
        The part of ``cells`` whose cost is not known, so is not in ``resources``.
    netlist : Path
        Verilog of the mapped design.
    tool : str
        Version of Yosys.
    seconds, peak_mb : float
        Wall-clock time and peak memory (2**20 bytes) of Yosys.
    """

    resources: Resources
    own: Resources
    by_instance: dict[str, Resources]
    cells: dict[str, int]
    uncounted: dict[str, int]
    netlist: Path
    tool: str
    seconds: float
    peak_mb: float


def synth_command(
    top: str,
    *,
    flatten: bool = False,
    no_dsp: bool = False,
    no_srl: bool = False,
    no_lutram: bool = False,
) -> str:
    """The Yosys command that maps a core to 7-series primitives.

    A core has no pins, so it gets no pads and no clock buffers.

    Raises
    ------
    OptionsError
        ``top`` is not a plain Verilog identifier.
    """
    if not _IDENTIFIER.fullmatch(top):
        raise OptionsError(
            f"top module {top!r} is no plain Verilog identifier",
            remedy="use letters, digits and underscores, not a digit first",
        )
    wanted = {
        "-flatten": flatten,
        "-nodsp": no_dsp,
        "-nosrl": no_srl,
        "-nolutram": no_lutram,
    }
    options = "".join(f" {option}" for option, is_wanted in wanted.items() if is_wanted)
    return f"synth_xilinx -family xc7 -top {top} -abc9 -noiopad -noclkbuf{options}"


def _script(reader: str, source: str, top: str, mapping: str) -> str:
    return "\n".join(
        (
            f"{reader} {source}",
            # The mapping reads the part's cells, and then checks that there are no other modules.
            f"hierarchy -top {top}",
            f"tee -q -o {_PORTS_BEFORE} select -list x:*",
            HIDE_WIRE_NAMES,
            f"tee -q -o {_PORTS_AFTER} select -list x:*",
            mapping,
            # Notes on where a flattened cell came from: no hardware.
            "delete */t:$scopeinfo",
            f"tee -q -o {_STATISTICS} stat -json",
            f"dump -o {_INSTANCES} {top}/c:*",
            f"write_verilog -noattr {_NETLIST}",
        )
    )


class _Hierarchy:
    """Cells of each module of a mapped design, from ``stat -json``."""

    def __init__(self, statistics: str) -> None:
        modules = json.loads(statistics)["modules"]
        self._content: dict[str, dict[str, int]] = {
            # Some versions of Yosys count submodules apart from cells.
            name.removeprefix("\\"): {
                **module["num_cells_by_type"],
                **module.get("num_submodules_by_type", {}),
            }
            for name, module in modules.items()
        }
        self._total: dict[str, Counter[str]] = {}

    def __contains__(self, module: str) -> bool:
        return module in self._content

    def own(self, module: str) -> Counter[str]:
        """Number of primitives of each kind in the module itself."""
        return Counter({k: n for k, n in self._content[module].items() if k not in self})

    def total(self, module: str) -> Counter[str]:
        """Number of primitives of each kind in the module and everything below it."""
        if module not in self._total:
            total = self.own(module)
            for kind, copies in self._content[module].items():
                if kind in self:
                    for primitive, count in self.total(kind).items():
                        total[primitive] += count * copies
            self._total[module] = total
        return self._total[module]


def synthesize(
    source: Path,
    top: str,
    board: Board,
    cwd: Path,
    *,
    flatten: bool = False,
    no_dsp: bool = False,
    no_srl: bool = False,
    no_lutram: bool = False,
    timeout: float | None = None,
    on_line: Callable[[str], None] | None = None,
) -> SynthesisResult:
    """Map a core to the primitives of a board's part.

    Parameters
    ----------
    source : Path
        RTLIL (``.il``) or Verilog (``.v``).
    top : str
        Name of the top module.
    board : Board
        With a 7-series part.
    cwd : Path
        Where ``netlist.v`` goes.
    flatten : bool
        Dissolve the hierarchy first. It saves some flip-flops, but merges adder chains, and leaves
        nothing to count by instance.
    no_dsp, no_srl, no_lutram : bool
        Do not infer DSP slices, shift registers in LUTs, RAM in LUTs.

    Raises
    ------
    OptionsError
        The part is none of the 7 series, or the source is of another kind.
    ToolError
        Yosys is missing or failed, or left something unmapped.
    """
    if not board.part.startswith("xc7"):
        raise OptionsError(
            f"board {board.name} has the part {board.part}, which is none of the 7 series",
            remedy="choose a board with an xc7 part",
        )
    if source.suffix not in _READERS:
        raise OptionsError(
            f"{source.name} is neither RTLIL nor Verilog", remedy="give a .il or .v file"
        )
    mapping = synth_command(top, flatten=flatten, no_dsp=no_dsp, no_srl=no_srl, no_lutram=no_lutram)
    reports = (_STATISTICS, _PORTS_BEFORE, _PORTS_AFTER, _INSTANCES)
    log = run_yosys(
        _script(_READERS[source.suffix], f"design{source.suffix}", top, mapping),
        cwd,
        expect=(_NETLIST, *reports),
        inputs={f"design{source.suffix}": source},
        timeout=timeout,
        on_line=on_line,
    )
    statistics, ports_before, ports_after, instances = (_take(cwd / name) for name in reports)
    netlist = cwd / _NETLIST
    if sorted(ports_before.split()) != sorted(ports_after.split()):
        netlist.unlink()
        raise ToolError(f"Yosys {log.tool} renamed ports of the design", remedy="use a newer Yosys")
    hierarchy = _Hierarchy(statistics)
    cells = hierarchy.total(top)
    leftover = sorted(kind for kind in cells if kind.startswith("$"))
    if leftover:
        netlist.unlink()
        raise ToolError(
            f"Yosys left cells that are no primitives of the part: {', '.join(leftover)}",
            remedy="allow more kinds of primitives, or report it with the design",
        )
    return SynthesisResult(
        resources=Resources.from_cells(cells),
        own=Resources.from_cells(hierarchy.own(top)),
        by_instance={
            name.removeprefix("\\"): Resources.from_cells(hierarchy.total(module))
            for kind, name in _CELL.findall(instances)
            if (module := kind.removeprefix("\\")) in hierarchy
        },
        cells=dict(sorted(cells.items())),
        uncounted={kind: n for kind, n in sorted(cells.items()) if not is_counted(kind)},
        netlist=netlist,
        tool=log.tool,
        seconds=log.seconds,
        peak_mb=log.peak_mb,
    )


def _take(path: Path) -> str:
    """Content of a file that is of no use afterwards."""
    text = path.read_text(encoding="utf-8")
    path.unlink()
    return text
