import os
import sys
import time

import pytest

from nn2rtl.boards.process import run_process
from nn2rtl.errors import ToolError


def run(code, cwd, **options):
    return run_process([sys.executable, "-c", code], cwd, name="Python", **options)


def is_alive(pid: int) -> bool:
    """Whether the process runs (an ended one may wait as a zombie for a lazy init)."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_output_status_and_figures(tmp_path):
    lines = []
    code = "import os, sys; print(os.environ['WORD']); print(os.getcwd(), file=sys.stderr); exit(3)"
    result = run(code, tmp_path, env={"WORD": "hello"}, on_line=lines.append)
    assert result.status == 3
    assert sorted(result.output.splitlines()) == sorted(lines) == sorted(["hello", str(tmp_path)])
    assert 0 < result.seconds < 10
    assert 1 < result.peak_mb < 500


def ended(pids: list[int]) -> bool:
    """Whether all end within 5 s: a killed process may need a moment."""
    deadline = time.monotonic() + 5
    while any(map(is_alive, pids)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


# Prints its own number and that of its child, which ignores the interrupt and has no part in the
# output, so only the group leads to it.
FAMILY = """
import os, signal, subprocess, sys, time
old = signal.signal(signal.SIGINT, signal.SIG_IGN)
sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
child = subprocess.Popen(sleep, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
signal.signal(signal.SIGINT, old)
print(os.getpid(), child.pid, flush=True)
time.sleep(60)
"""


def test_timeout_ends_the_whole_group(tmp_path):
    lines = []
    start = time.monotonic()
    with pytest.raises(ToolError, match="Python did not finish within 1 s"):
        run(FAMILY, tmp_path, timeout=1, on_line=lines.append)
    assert time.monotonic() - start < 10
    assert ended([int(pid) for pid in lines[0].split()])


def test_interrupt_ends_the_process(tmp_path):
    lines = []

    def interrupt(line):
        lines.append(line)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run("import os, time; print(os.getpid(), flush=True); time.sleep(60)", tmp_path,
            on_line=interrupt)  # fmt: skip
    assert ended([int(lines[0])])


def test_missing_program(tmp_path):
    with pytest.raises(ToolError, match="Tool cannot be started: No such file"):
        run_process([os.fspath(tmp_path / "none")], tmp_path, name="Tool")
