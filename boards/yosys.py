"""Run Yosys, natively or as WebAssembly (YoWASP), and make sure that it ran to the end.

YoWASP's Yosys can stop in the middle of a script with exit status 0, and its standard output is
lost once ABC has run. So a run counts as done only when its log *file* has the end mark that the
script prints last, and every expected file is there.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nn2rtl import cache
from nn2rtl.boards.process import run_process
from nn2rtl.errors import OutputError, ToolError
from nn2rtl.tools import YOSYS

__all__ = ["YosysLog", "rtlil_to_verilog", "run_yosys"]

_END_MARK = "nn2rtl: end of script"
_SCRIPT = "nn2rtl_script.ys"
_LOG = "nn2rtl_yosys.log"
_QUOTED_LINES = 5

# What YoWASP prints before it compiles its WebAssembly module, on the first run only.
_COMPILING = "Preparing to run"

# Attributes that say how Amaranth made the design, not what it is.
_AMARANTH_ATTRIBUTES = ("generator", "top", "src", "amaranth.hierarchy", "amaranth.decoding")


@dataclass(frozen=True)
class YosysLog:
    """A finished run of Yosys.

    Attributes
    ----------
    text : str
        The complete log.
    tool : str
        Version of Yosys, as it says it.
    seconds, peak_mb : float
        Wall-clock time and peak memory (2**20 bytes).
    """

    text: str
    tool: str
    seconds: float
    peak_mb: float


def _is_temporary(path: Path) -> bool:
    """Whether ``path`` lies below a folder that YoWASP replaces by an empty one of its own."""
    folders = {Path("/tmp").resolve(), Path(tempfile.gettempdir()).resolve()}
    return any(path.resolve().is_relative_to(folder) for folder in folders)


@contextmanager
def _scratch(cwd: Path) -> Iterator[Path]:
    """A folder to run in: below ``cwd``, or in the cache where YoWASP would lose files there."""
    parent = cache.root() if _is_temporary(cwd) else cwd
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(
            prefix="yosys-", dir=parent, ignore_cleanup_errors=True
        )
    except OSError as error:
        raise OutputError(f"{parent} cannot be written: {error.strerror}") from error
    with folder as name:
        yield Path(name)


def _quote(text: str) -> str:
    """The lines that say what went wrong: from the first error on, else the last ones."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [n for n, line in enumerate(lines) if line.startswith(("ERROR:", "terminate called"))]
    lines = lines[errors[0] :] if errors else lines[-_QUOTED_LINES:]
    return " | ".join(lines[:_QUOTED_LINES]) or "it printed nothing"


def _run(
    script: str,
    scratch: Path,
    expect: Sequence[str],
    timeout: float | None,
    on_line: Callable[[str], None] | None,
) -> YosysLog:
    tool = YOSYS.require()
    (scratch / _SCRIPT).write_text(f"{script}\nlog {_END_MARK}\n", encoding="utf-8")

    def pass_on(line: str) -> None:
        if on_line is None:
            return
        if line.startswith(_COMPILING):
            line = "First run: compiling Yosys for this machine, 30 s to 2 min, only once."
        on_line(line)

    result = run_process(
        [*tool.command, "-l", _LOG, "-s", _SCRIPT],
        scratch,
        name="Yosys",
        env=tool.env,
        timeout=timeout,
        on_line=pass_on,
    )
    log_file = scratch / _LOG
    log = log_file.read_text(encoding="utf-8", errors="replace") if log_file.exists() else ""
    missing = [name for name in expect if not (scratch / name).is_file()]
    if result.status != 0:
        reason = f"Yosys failed (exit status {result.status})"
    elif _END_MARK not in log.splitlines():
        reason = "Yosys stopped in the middle of its script without an error"
    elif missing:
        reason = f"Yosys did not write {missing[0]}"
    else:
        return YosysLog(log, tool.version_text, result.seconds, result.peak_mb)
    raise ToolError(
        f"{reason}: {_quote(log or result.output)}",
        remedy=(
            "its WebAssembly version cannot work below the system's temporary folder; "
            "set NN2RTL_CACHE to a folder elsewhere, or install Yosys itself"
            if _is_temporary(scratch) and tool.source != "PATH"
            else None
        ),
    )


def run_yosys(
    script: str,
    cwd: Path,
    *,
    expect: Sequence[str],
    inputs: Mapping[str, Path] | None = None,
    timeout: float | None = None,
    on_line: Callable[[str], None] | None = None,
) -> YosysLog:
    """Run a Yosys script, and move the files that it has to write into ``cwd``.

    Parameters
    ----------
    script : str
        Yosys commands. They run in a scratch folder: file names without folders only.
    cwd : Path
        Where the expected files go, whole or not at all; made if missing.
    expect : Sequence of str
        Names of the files that the script writes.
    inputs : Mapping, optional
        Files that the script reads: its name for each, and where it is.
    timeout : float, optional
        Seconds.
    on_line : callable, optional
        Called with lines of progress. Not all lines: see :attr:`YosysLog.text`.

    Raises
    ------
    ToolError
        No Yosys, a failure or silent stop of it, a missing output file, or the timeout.
    OutputError
        ``cwd`` cannot be written, or an input cannot be read.
    """
    with _scratch(cwd) as scratch:
        try:
            cwd.mkdir(parents=True, exist_ok=True)
            for name, path in (inputs or {}).items():
                shutil.copyfile(path, scratch / name)
        except OSError as error:
            raise OutputError(f"{error.filename} cannot be used: {error.strerror}") from error
        log = _run(script, scratch, expect, timeout, on_line)
        try:
            for name in expect:
                # The scratch folder may be on another file system, where a rename is no option.
                partial = cwd / f".{name}.part"
                shutil.copyfile(scratch / name, partial)
                os.replace(partial, cwd / name)
        except OSError as error:
            raise OutputError(f"{cwd} cannot be written: {error.strerror}") from error
    return log


def rtlil_to_verilog(
    rtlil: str,
    cwd: Path,
    *,
    timeout: float | None = None,
    on_line: Callable[[str], None] | None = None,
) -> str:
    """Verilog of a design that Amaranth gave as RTLIL.

    Parameters
    ----------
    rtlil : str
        From ``amaranth.back.rtlil``.
    cwd : Path
        Folder to work in; nothing is left there.

    Raises
    ------
    ToolError
        As :func:`run_yosys`.
    """
    removed = " ".join(f"-remove {name}" for name in _AMARANTH_ATTRIBUTES)
    script = "\n".join(
        (
            "read_rtlil design.il",
            # Multiplexers stay `case` statements, and look-up tables with them.
            "proc -nomux -norom",
            "memory_collect",
            f"attrmap {removed}",
            f"attrmap -modattr {removed}",
            "write_verilog -norename design.v",
        )
    )
    with _scratch(cwd) as scratch:
        (scratch / "design.il").write_text(rtlil, encoding="utf-8")
        _run(script, scratch, ("design.v",), timeout, on_line)
        return (scratch / "design.v").read_text(encoding="utf-8")
