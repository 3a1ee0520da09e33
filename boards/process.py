"""Run an external tool as a child process that never outlives its caller."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from nn2rtl.errors import ToolError

__all__ = ["ProcessResult", "run_process"]

# A tool that is interrupted gets this long to remove its own temporary files.
_GRACE_SECONDS = 2.0


@dataclass(frozen=True)
class ProcessResult:
    """How a child process ended.

    Attributes
    ----------
    status : int
        Exit status; negative for the number of the signal that ended it.
    output : str
        Everything it wrote, standard error and output in one.
    seconds : float
        Wall-clock time.
    peak_mb : float
        Largest resident memory of it or one of its children, in 2**20 bytes.
    """

    status: int
    output: str
    seconds: float
    peak_mb: float


def _collect(process: subprocess.Popen[str], lines: queue.Queue[str | float]) -> None:
    """Pass on each line of output, then reap the process and pass on its peak memory."""
    with cast(IO[str], process.stdout) as stream:
        for line in stream:
            lines.put(line.rstrip("\r\n"))
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    lines.put(usage.ru_maxrss / 1024)


def _stop(process: subprocess.Popen[str], reader: threading.Thread) -> None:
    """End the process and all of its group: by interrupt, then by force what is left."""
    for number, seconds in ((signal.SIGINT, _GRACE_SECONDS), (signal.SIGKILL, None)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        reader.join(seconds)


def run_process(
    command: Sequence[str],
    cwd: Path,
    *,
    name: str,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
    on_line: Callable[[str], None] | None = None,
) -> ProcessResult:
    """Run ``command`` in ``cwd`` and wait for it.

    The process gets a group of its own. Whatever ends the wait early (the timeout, Ctrl-C, an
    exception from ``on_line``) ends that whole group too.

    Parameters
    ----------
    name : str
        What people call the tool, for error messages.
    env : Mapping, optional
        Environment variables to set, over those of this process.
    timeout : float, optional
        Seconds after which to give up.
    on_line : callable, optional
        Called in the caller's thread with each line of output as it comes.

    Raises
    ------
    ToolError
        The command cannot be started, or takes longer than ``timeout``.
    """
    start = time.monotonic()
    try:
        process = subprocess.Popen(
            list(command),
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise ToolError(f"{name} cannot be started: {error.strerror}") from error
    lines: queue.Queue[str | float] = queue.Queue()
    reader = threading.Thread(target=_collect, args=(process, lines), daemon=True)
    reader.start()
    output: list[str] = []
    try:
        while True:
            left = None if timeout is None else max(0.0, start + timeout - time.monotonic())
            try:
                item = lines.get(timeout=left)
            except queue.Empty:
                raise ToolError(
                    f"{name} did not finish within {timeout:g} s",
                    remedy="allow more time, or make the design smaller",
                ) from None
            if isinstance(item, float):
                break
            output.append(item)
            if on_line is not None:
                on_line(item)
    except BaseException:
        _stop(process, reader)
        raise
    return ProcessResult(
        status=process.returncode,
        output="\n".join(output),
        seconds=time.monotonic() - start,
        peak_mb=item,
    )
