import dataclasses
import sys

import pytest

from nn2rtl.boards import vivado
from nn2rtl.boards.board import load_board
from nn2rtl.boards.resources import Resources
from nn2rtl.boards.vivado import build_tcl, read_timing, read_utilization, run_vivado
from nn2rtl.errors import OptionsError, ToolError
from nn2rtl.tools import FoundTool, Tool

# Rows and headings as Vivado writes them, most rows left out.
UTILIZATION = """\
+----------------------------+------+-------+------------+-----------+-------+
|          Site Type         | Used | Fixed | Prohibited | Available | Util% |
+----------------------------+------+-------+------------+-----------+-------+
| Slice LUTs                 | 1234 |     0 |          0 |     20800 |  5.93 |
|   LUT as Logic             | 1200 |     0 |          0 |     20800 |  5.77 |
| Slice Registers            | 2345 |     0 |          0 |     41600 |  5.64 |
| Block RAM Tile    |  3.5 |     0 |          0 |        50 |  7.00 |
| DSPs           |   12 |     0 |          0 |        90 | 13.33 |
| Ref Name | Used | Functional Category |
| CARRY4   |   77 |          CarryLogic |
"""

TIMING = """\
| Design Timing Summary
| ---------------------

    WNS(ns)      TNS(ns)  TNS Failing Endpoints  TNS Total Endpoints      WHS(ns)
    -------      -------  ---------------------  -------------------      -------
      {wns}        0.000                      0                 5000        0.052
"""


@pytest.fixture
def fake_vivado(monkeypatch, tmp_path):
    """Put a Python program in the place of Vivado."""

    def install(code):
        program = tmp_path / "fake_vivado.py"
        program.write_text(f"import sys\n{code}\n")
        found = FoundTool((sys.executable, str(program)), (2024, 2), "2024.2", "PATH")
        monkeypatch.setattr(vivado, "VIVADO", Tool("Vivado", "test", "no need", lambda: found))

    return install


def reports(wns: str, status: int = 0) -> str:
    return (
        f"open('utilization.rpt', 'w').write({UTILIZATION!r})\n"
        f"open('timing.rpt', 'w').write({TIMING.format(wns=wns)!r})\n"
        f"sys.exit({status})"
    )


def test_script():
    assert build_tcl(load_board("arty_a7")).splitlines() == [
        "# Builds nn2rtl_core.v out of context for Arty A7-35T with Vivado:",
        "#     vivado -mode batch -source build.tcl",
        "# The core is a block of a larger design: it has no pins, so there is no bitstream.",
        "file delete -force utilization.rpt timing.rpt",
        "read_verilog nn2rtl_core.v",
        "read_xdc -mode out_of_context nn2rtl_core.xdc",
        "synth_design -top nn2rtl_core -part xc7a35ticsg324-1L -mode out_of_context",
        "opt_design",
        "place_design",
        "phys_opt_design",
        "route_design",
        "write_checkpoint -force nn2rtl_core.dcp",
        "report_utilization -file utilization.rpt",
        "report_timing_summary -file timing.rpt",
        "set path [get_timing_paths -setup -max_paths 1]",
        "if {[llength $path] == 0} {",
        '    puts stderr "nn2rtl: no timed path: is the clock of nn2rtl_core constrained?"',
        "    exit 1",
        "}",
        "set wns [get_property SLACK $path]",
        'puts "nn2rtl: worst negative slack $wns ns"',
        "if {$wns < 0} {",
        '    puts stderr "nn2rtl: timing is not met"',
        "    exit 1",
        "}",
        "exit 0",
    ]


def test_options_of_the_flow():
    board = load_board("pynq_z2")
    flow = dataclasses.replace(board.flow("vivado"), no_dsp=True, no_srl=True)
    script = build_tcl(dataclasses.replace(board, flows=(flow,)))
    assert "-part xc7z020clg400-1 -mode out_of_context -max_dsp 0 -no_srlextract\n" in script
    flow = dataclasses.replace(flow, no_lutram=True)
    with pytest.raises(OptionsError, match="no_lutram has no equivalent"):
        build_tcl(dataclasses.replace(board, flows=(flow,)))


def test_reports():
    assert read_utilization(UTILIZATION) == Resources(1234, 2345, 3.5, 12, 77)
    estimated = UTILIZATION.replace("Slice LUTs ", "Slice LUTs*").replace("CARRY4", "OTHER")
    assert read_utilization(estimated) == Resources(1234, 2345, 3.5, 12, 0)
    with pytest.raises(ToolError, match="no row 'DSPs'"):
        read_utilization(UTILIZATION.replace("DSPs", "DSP"))
    assert read_timing(TIMING.format(wns="-0.125")) == -0.125
    for text in ("", TIMING.format(wns="NA")):
        with pytest.raises(ToolError, match="no worst negative slack"):
            read_timing(text)


def test_run(fake_vivado, tmp_path):
    fake_vivado("print(sys.argv[1:])\n" + reports("1.250"))
    lines = []
    result = run_vivado(tmp_path, 100e6, on_line=lines.append)
    assert (result.wns_ns, result.period_ns, result.is_met) == (1.25, 10.0, True)
    assert result.fmax_mhz == pytest.approx(1000 / 8.75)
    assert result.resources.lut == 1234
    assert "'-mode', 'batch'" in lines[0] and "'-source', 'build.tcl'" in lines[0]


def test_missed_timing_is_a_result(fake_vivado, tmp_path):
    fake_vivado(reports("-2.500", status=1))
    result = run_vivado(tmp_path, 100e6)
    assert not result.is_met
    assert result.fmax_mhz == pytest.approx(80)


def test_failure(fake_vivado, tmp_path):
    # Reports of an earlier run do not hide it.
    for name, text in (("utilization.rpt", UTILIZATION), ("timing.rpt", TIMING.format(wns="1.0"))):
        (tmp_path / name).write_text(text)
    fake_vivado("print('INFO: x')\nprint('ERROR: [Synth 8-439] module not found')\nsys.exit(1)")
    with pytest.raises(ToolError, match=r"exit status 1\): ERROR: \[Synth 8-439\]"):
        run_vivado(tmp_path, 100e6)
    fake_vivado(reports("1.000", status=1))
    with pytest.raises(ToolError, match="failed after its reports"):
        run_vivado(tmp_path, 100e6)
