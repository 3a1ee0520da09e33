import os
import subprocess

import pytest

from nn2rtl.boards.board import load_board
from nn2rtl.boards.openxc7 import SCRIPT, build_script


@pytest.fixture
def run(tmp_path):
    """Run the script with a shell program in the place of Yosys."""

    def run(yosys):
        tools = tmp_path / "tools"
        tools.mkdir()
        (tools / "yosys").write_text(f"#!/bin/sh\n{yosys}\n")
        (tools / "yosys").chmod(0o755)
        script = build_script("arty_a7", load_board("arty_a7").flow("openxc7"))
        (tmp_path / SCRIPT).write_text(script)
        return subprocess.run(
            ["sh", tmp_path / SCRIPT],
            env={"PATH": f"{tools}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
        )

    return run


def test_synthesis_then_a_clear_stop(run, tmp_path):
    done = run('echo "$@"; echo "{}" > nn2rtl_core.json')
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == "-l yosys.log -s nn2rtl_core.ys"
    assert "This is as far as a bare core goes: place and route needs a pin" in done.stdout
    assert "xc7a35tcsg324-1, prjxray database artix7" in done.stdout
    assert (tmp_path / "nn2rtl_core.ys").read_text().splitlines() == [
        "read_verilog nn2rtl_core.v",
        "hierarchy -top nn2rtl_core",
        "rename -hide w:*",
        "synth_xilinx -family xc7 -top nn2rtl_core -abc9 -noiopad -noclkbuf -flatten -nodsp -nosrl",
        "write_json nn2rtl_core.json",
    ]


def test_silent_stop(run, tmp_path):
    (tmp_path / "nn2rtl_core.json").write_text("of an earlier run")
    done = run("exit 0")
    assert done.returncode == 1
    assert "Yosys stopped before its end" in done.stderr
    assert "Synthesis is done" not in done.stdout
