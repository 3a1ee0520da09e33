"""From Verilog to a simulator executable: Verilator, then g++ called directly.

Verilator's own makefile is not used: it wants `python` on PATH and precompiles headers, which costs
small designs more than it saves. Its runtime library is compiled once and cached by itself. Time
to compile matters more than speed: networks are megabytes of Verilog, and run for few cycles.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from nn2rtl import cache
from nn2rtl.errors import SimulationError, ToolError
from nn2rtl.sim.cells import models_of
from nn2rtl.tools import GXX, VERILATOR, FoundTool

TOP = "nn2rtl_core"

_VERILATOR_FLAGS = (
    "--cc", "--top-module", TOP, "--prefix", f"V{TOP}", "--no-timing", "-Wno-fatal", "-Wno-lint",
    "-Wno-style",
    # Registers and memories without an initial value start at random, by the run's seed.
    "--x-initial", "unique", "--x-assign", "unique",
    # Functions of this many operations: compile time falls several times for large designs.
    "--output-split-cfuncs", "500", "--output-split", "5000",
)  # fmt: skip
_CXX_FLAGS = ("-std=gnu++17", "-w")
_FAST = "-Os"  # compiles a third faster than -O1 and runs as fast
_SLOW = "-O0"  # what runs once: constructors, initial values
_UNIT_BYTES = 1 << 21  # source text that one g++ process compiles at most, to bound its memory
_PORTS = {
    "clk": "IN", "rst": "IN", "s_axis_tdata": "IN", "s_axis_tvalid": "IN", "s_axis_tlast": "IN",
    "s_axis_tready": "OUT", "m_axis_tdata": "OUT", "m_axis_tvalid": "OUT", "m_axis_tlast": "OUT",
    "m_axis_tready": "IN",
}  # fmt: skip


@dataclass(frozen=True)
class Executable:
    """A compiled simulator.

    Attributes
    ----------
    path : Path
        The program; its arguments are documented in harness.cpp.
    in_bytes, out_bytes : int
        Bytes of s_axis_tdata and m_axis_tdata.
    """

    path: Path
    in_bytes: int
    out_bytes: int


def read_verilog(verilog: str | Path) -> str:
    """The text of a Verilog file, or the text itself, with models of the FPGA's cells in it.

    Raises
    ------
    SimulationError
        The file cannot be read or the text defines no module `nn2rtl_core`.
    """
    if isinstance(verilog, Path):
        try:
            text = verilog.read_text()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise SimulationError(f"cannot read {verilog}: {reason}") from error
    else:
        text = verilog
    if not re.search(rf"\bmodule\s+\\?{TOP}\b", text):
        raise SimulationError(
            f"the Verilog defines no module {TOP}",
            remedy="give the Verilog text as str, or a file as pathlib.Path",
        )
    return "\n".join((text, *models_of(text).values()))


def compile_simulator(text: str, *, trace: bool, threads: int) -> Executable:
    """Compile Verilog text, or take the result of an earlier time from the cache.

    Raises
    ------
    SimulationError
        The module's ports are not those of an AXI4-Stream core.
    ToolError
        Verilator or g++ is missing or failed.
    """
    verilator, gxx = VERILATOR.require(), GXX.require()
    harness = resources.files("nn2rtl.sim").joinpath("harness.cpp").read_text()
    flags = (*_VERILATOR_FLAGS, "--threads", str(threads), *(("--trace-vcd",) if trace else ()))
    place = cache.entry(
        "simulator", text, harness, verilator.version_text, gxx.version_text,
        " ".join((*flags, *_CXX_FLAGS, _FAST, _SLOW)),
    )  # fmt: skip

    def make(folder: Path) -> None:
        folder.mkdir()
        (folder / "design.v").write_text(text)
        (folder / "harness.cpp").write_text(harness)
        _run((*verilator.command, *flags, "--Mdir", ".", "design.v"), folder, verilator.env)
        ports = _ports(folder / f"V{TOP}.h")
        include = _include_folder(verilator)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            library = [
                pool.submit(_runtime_object, gxx, verilator, name)
                for name in _runtime_sources(trace)
            ]
            units = [
                pool.submit(_compile_unit, gxx, include, folder, trace, number, *unit)
                for number, unit in enumerate(_units(folder))
            ]
            try:
                objects = [future.result() for future in (*library, *units)]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        _run((*gxx.command, "-o", "simulate", *map(str, objects), "-pthread"), folder)
        for path in folder.iterdir():  # keep what is needed: objects are tens of megabytes
            if path.name != "simulate":
                path.unlink()
        (folder / "ports.json").write_text(json.dumps(ports))

    folder = cache.build(place, make)
    ports = json.loads((folder / "ports.json").read_text())
    return Executable(folder / "simulate", ports["s_axis_tdata"], ports["m_axis_tdata"])


def _ports(header: Path) -> dict[str, int]:
    """Bytes of the two tdata ports, from the class that Verilator wrote; checks all ports."""
    found = {
        name: (direction, int(high) - int(low) + 1)
        for direction, name, high, low in re.findall(
            r"VL_(IN|OUT)(?:8|16|64|W)?\(&?(\w+),(\d+),(\d+)", header.read_text()
        )
    }
    remedy = "simulate Verilog written by nn2rtl, or wrap the module"
    for name, direction in _PORTS.items():
        if name not in found or found[name][0] != direction:
            kind = "input" if direction == "IN" else "output"
            raise SimulationError(f"{TOP} has no {kind} {name}", remedy=remedy)
        width = found[name][1]
        if name.endswith("tdata") and width % 8:
            raise SimulationError(f"{name} has {width} bits, not whole bytes", remedy=remedy)
    return {name: found[name][1] // 8 for name in ("s_axis_tdata", "m_axis_tdata")}


def _include_folder(verilator: FoundTool) -> Path:
    root = verilator.env.get("VERILATOR_ROOT") or os.environ.get("VERILATOR_ROOT")
    if not root:
        root = _run((*verilator.command, "--getenv", "VERILATOR_ROOT"), Path.cwd()).strip()
    return Path(root) / "include"


def _runtime_sources(trace: bool) -> tuple[str, ...]:
    names = ("verilated.cpp", "verilated_threads.cpp")
    return (*names, "verilated_vcd_c.cpp") if trace else names


def _runtime_object(gxx: FoundTool, verilator: FoundTool, name: str) -> Path:
    """One compiled file of Verilator's runtime library, from the cache."""
    include = _include_folder(verilator)
    flags = (*_CXX_FLAGS, "-O2", *_defines(trace=True))
    key = (gxx.version_text, verilator.version_text, " ".join(flags), (include / name).read_bytes())

    def make(path: Path) -> None:
        search = (f"-I{include}", f"-I{include / 'vltstd'}")
        source = str(include / name)
        _run((*gxx.command, *flags, *search, "-c", "-o", str(path), source), path.parent)

    return cache.build(cache.entry("verilated", name, *key), make)


def _defines(*, trace: bool) -> tuple[str, ...]:
    on = int(trace)
    return (
        "-DVERILATOR=1", "-DVM_COVERAGE=0", "-DVM_SC=0", "-DVM_TIMING=0", f"-DVM_TRACE={on}",
        "-DVM_TRACE_FST=0", f"-DVM_TRACE_VCD={on}", "-DVM_TRACE_SAIF=0",
    )  # fmt: skip


def _units(folder: Path) -> list[tuple[str, list[Path]]]:
    """Optimization and files of each g++ run: as few as keep all cores busy."""
    sources = sorted(folder.glob(f"V{TOP}*.cpp"))
    slow = [path for path in sources if "__Slow" in path.name]
    fast = [folder / "harness.cpp", *(path for path in sources if path not in slow)]
    units = [(_FAST, unit) for unit in _balance(fast, os.cpu_count() or 1)]
    return units + [(_SLOW, unit) for unit in _balance(slow, 1)]


def _compile_unit(
    gxx: FoundTool, include: Path, folder: Path, trace: bool, number: int, optimize: str,
    files: list[Path],
) -> Path:  # fmt: skip
    """Compile files of Verilator's output, or the harness, as one."""
    source, result = folder / f"unit{number}.cpp", folder / f"unit{number}.o"
    source.write_text("".join(f'#include "{path.name}"\n' for path in files))
    search = ("-I.", f"-I{include}", f"-I{include / 'vltstd'}")
    flags = (*_CXX_FLAGS, optimize, *_defines(trace=trace), *search)
    _run((*gxx.command, *flags, "-c", "-o", result.name, source.name), folder)
    return result


def _balance(files: Iterable[Path], least: int) -> list[list[Path]]:
    """Share files among `least` units of about equal size, more where they would be too large."""
    sized = sorted(((path.stat().st_size, path) for path in files), reverse=True)
    total = sum(size for size, _ in sized)
    # A unit parses 40,000 lines of headers before its own: small designs stay in one.
    count = max(1, min(least, total // 100_000), -(-total // _UNIT_BYTES))
    units: list[list[Path]] = [[] for _ in range(count)]
    loads = [0] * count
    for size, path in sized:
        lightest = loads.index(min(loads))
        units[lightest].append(path)
        loads[lightest] += size
    return [unit for unit in units if unit]


def _run(command: tuple[str, ...], folder: Path, env: dict[str, str] | None = None) -> str:
    """Run a tool and return what it prints; ToolError with its first error line if it fails."""
    # Deep expressions overflow the usual stack; Verilator's wrapper lifts the limit as well.
    shell = ("/bin/sh", "-c", 'ulimit -s unlimited 2>/dev/null; exec "$@"', "sh")
    prefix = shell if shutil.which("/bin/sh") else ()
    try:
        done = subprocess.run(
            (*prefix, *command), cwd=folder, capture_output=True, text=True, errors="replace",
            env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except OSError as error:
        raise ToolError(f"cannot run {command[0]}: {error.strerror or error}") from error
    if done.returncode:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        errors = [line for line in lines if re.search(r"%Error|\berror\b", line)]
        name = Path(command[0]).name
        detail = (errors or lines or [f"exit status {done.returncode}"])[0]
        remedy = "check free memory" if "Killed" in done.stderr else None
        raise ToolError(f"{name} failed: {detail.strip()}", remedy=remedy)
    return done.stdout
