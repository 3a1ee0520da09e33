import os

import pytest

from nn2rtl.boards import flows
from nn2rtl.boards.board import load_board
from nn2rtl.boards.flows import Missing, Stage, next_missing, write_project
from nn2rtl.errors import OptionsError, OutputError
from nn2rtl.tools import FoundTool, Tool

NEEDED = flows._NEEDED
FOUND = FoundTool(("tool",), None, "", "PATH")
ALL_NAMES = (
    "YOSYS", "VERILATOR", "VIVADO", "NEXTPNR_XILINX", "NEXTPNR_HIMBAECHEL", "FASM2FRAMES",
    "XC7FRAMES2BIT",
)  # fmt: skip


@pytest.fixture
def installed(monkeypatch):
    """Set which tools there are. The simulator needs a compiler, always named `compiler`."""

    def install(*names):
        def tool(name, needs=()):
            found = FOUND if name in names else None
            return Tool(name, "test", f"get {name}", lambda: found, needs=needs)

        stand_ins = {
            getattr(flows, name): tool(name, (tool("compiler"),) if name == "VERILATOR" else ())
            for name in ALL_NAMES
        }
        needed = {
            flow: {
                stage: tuple(tuple(stand_ins[t] for t in either) for either in tools)
                for stage, tools in stages.items()
            }
            for flow, stages in NEEDED.items()
        }
        monkeypatch.setattr(flows, "_NEEDED", needed)

    return install


@pytest.mark.parametrize(
    ("flow", "absent", "until", "has_pins", "stage", "tool"),
    [
        ("vivado", "YOSYS", "bitstream", True, "verilog", "YOSYS"),
        ("vivado", "VERILATOR", "sim", False, "sim", "VERILATOR"),
        ("vivado", "compiler", "sim", False, "sim", "compiler"),
        ("vivado", "VIVADO", "pnr", False, "synth", "VIVADO"),
        ("openxc7", "FASM2FRAMES", "bitstream", True, "bitstream", "FASM2FRAMES"),
        ("openxc7", "XC7FRAMES2BIT", "bitstream", True, "bitstream", "XC7FRAMES2BIT"),
    ],
)
def test_first_missing_tool(installed, flow, absent, until, has_pins, stage, tool):
    installed(*(name for name in (*ALL_NAMES, "compiler") if name != absent))
    missing = next_missing(flow, Stage(until), has_pins=has_pins)
    assert missing == Missing(Stage(stage), tool, f"get {tool}")


def test_nothing_missing(installed):
    installed(*ALL_NAMES, "compiler")
    for flow in ("vivado", "openxc7"):
        assert next_missing(flow, Stage.BITSTREAM, has_pins=True) is None
    installed("YOSYS", "VERILATOR", "compiler")
    assert next_missing("vivado", Stage.SIM) is None
    assert next_missing("openxc7", Stage.SYNTH) is None


def test_either_place_and_route(installed):
    common = ("YOSYS", "VERILATOR", "compiler")
    for one in ("NEXTPNR_XILINX", "NEXTPNR_HIMBAECHEL"):
        installed(*common, one)
        assert next_missing("openxc7", Stage.PNR, has_pins=True) is None
    installed(*common)
    missing = next_missing("openxc7", Stage.PNR, has_pins=True)
    assert missing == Missing(Stage.PNR, "NEXTPNR_XILINX", "get NEXTPNR_XILINX")


def test_bare_core_ends_before_pins(installed):
    installed(*ALL_NAMES, "compiler")
    assert next_missing("vivado", Stage.PNR) is None
    for flow, stage in (("vivado", Stage.BITSTREAM), ("openxc7", Stage.PNR)):
        missing = next_missing(flow, Stage.BITSTREAM)
        assert (missing.stage, missing.tool) == (stage, "a board shell")


def test_a_missing_simulator_does_not_hide_a_later_stage(installed):
    installed("YOSYS")
    assert next_missing("openxc7", Stage.SYNTH) is None
    assert next_missing("openxc7", Stage.PNR).stage is Stage.PNR
    assert next_missing("vivado", Stage.BITSTREAM).tool == "VIVADO"


def test_unknown_flow():
    with pytest.raises(OptionsError, match="unknown flow 'ise'; choose one of: vivado, openxc7"):
        next_missing("ise", Stage.SYNTH)


def test_projects(tmp_path):
    board = load_board("arty_a7")
    files = write_project(board, "vivado", 200e6, tmp_path / "v")
    assert [file.name for file in files] == ["nn2rtl_core.xdc", "build.tcl"]
    assert "-period 5.000 " in files[0].read_text()
    (script,) = write_project(board, "openxc7", 200e6, tmp_path / "o")
    assert script.name == "build_openxc7.sh"
    assert os.access(script, os.X_OK)
    assert sorted(path.name for path in tmp_path.glob("*/*")) == sorted(
        ["nn2rtl_core.xdc", "build.tcl", "build_openxc7.sh"]
    )


def test_nothing_is_written_on_an_error(tmp_path):
    board = load_board("arty_a7")
    with pytest.raises(OptionsError, match="is impossible"):
        write_project(board, "vivado", 0, tmp_path)
    with pytest.raises(OptionsError, match="no flow 'ise'"):
        write_project(board, "ise", 1e6, tmp_path)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_project(board, "vivado", 1e6, tmp_path / "file")
