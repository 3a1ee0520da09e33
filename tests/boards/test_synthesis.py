import dataclasses
import json
import re

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from nn2rtl.boards import synthesis
from nn2rtl.boards.board import load_board
from nn2rtl.boards.resources import Resources
from nn2rtl.boards.synthesis import HIDE_WIRE_NAMES, synth_command, synthesize
from nn2rtl.boards.yosys import YosysLog
from nn2rtl.errors import OptionsError, ToolError


class Product(wiring.Component):
    a: In(signed(8))
    b: In(signed(8))
    o: Out(signed(16))

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.o.eq(self.a * self.b)
        return m


class Brackets(wiring.Component):
    """Registers whose names abc9 takes for bits of each other: Yosys 0.70 stops if they stay."""

    i: In(4)
    j: In(4)
    o: Out(4)

    def elaborate(self, platform):
        m = Module()
        s = Signal(4, name="s")
        t = Signal(1, name="s[0]")
        u = Signal(1, name="s[1]")
        m.d.sync += [
            s.eq(self.i ^ self.j),
            t.eq(self.i[0] & self.j[1]),
            u.eq(self.i[3] | self.j[2]),
        ]
        mixed = Cat(t & self.i[1], u & self.j[0], t ^ u, s[0] & t)
        m.d.comb += self.o.eq((s + self.i) ^ mixed)
        return m


class Products(wiring.Component):
    """Two multipliers and `Brackets` in instances, and 16 flip-flops of the top's own."""

    i: In(data.ArrayLayout(signed(8), 2))
    o: Out(signed(16))
    p: Out(4)

    def elaborate(self, platform):
        m = Module()
        m.submodules.first = first = Product()
        m.submodules.second = second = Product()
        m.submodules.brackets = brackets = Brackets()
        m.d.comb += [first.a.eq(self.i[0]), first.b.eq(self.i[1])]
        m.d.comb += [second.a.eq(first.o[:8].as_signed()), second.b.eq(self.i[1])]
        m.d.comb += [brackets.i.eq(self.i[0]), brackets.j.eq(self.i[1]), self.p.eq(brackets.o)]
        m.d.sync += self.o.eq(second.o)
        return m


@pytest.fixture
def source(tmp_path):
    def write(component):
        path = tmp_path / "core.il"
        path.write_text(rtlil.convert(component, name="core"))
        return path

    return write


def test_resources_by_instance(source, tmp_path):
    out = tmp_path / "out"
    result = synthesize(source(Products()), "core", load_board("arty_a7"), out)
    assert set(result.by_instance) == {"first", "second", "brackets"}
    assert [result.by_instance[name].dsp for name in ("first", "second")] == [1, 1]
    assert result.by_instance["brackets"].ff == 6
    assert result.own == Resources(ff=16)
    assert result.resources == Resources.total([result.own, *result.by_instance.values()])
    assert result.cells["DSP48E1"] == 2
    assert result.uncounted == {}
    assert [path.name for path in out.iterdir()] == ["netlist.v"]
    netlist = result.netlist.read_text()
    for module, ports in (("core", "clk rst i o p"), (r"\core.brackets ", "clk rst i j o")):
        header = re.search(rf"^module {re.escape(module)}\((.*)\);$", netlist, re.MULTILINE)
        assert sorted(header[1].split(", ")) == sorted(ports.split())


@pytest.fixture
def fake_yosys(monkeypatch):
    """Put the reports of a run in the place of Yosys: cells of each module, ports, instances."""

    def install(modules, instances="", ports=("core/a\n", "core/a\n")):
        def run(script, cwd, *, expect, **_):
            statistics = {
                "modules": {
                    f"\\{name}": {"num_cells_by_type": cells} for name, cells in modules.items()
                }
            }
            contents = ("netlist", json.dumps(statistics), *ports, instances)
            for name, text in zip(expect, contents, strict=True):
                (cwd / name).write_text(text)
            return YosysLog("", "0.70 fake", 1.0, 2.0)

        monkeypatch.setattr(synthesis, "run_yosys", run)

    return install


def test_copies_of_a_module_count_each(fake_yosys, tmp_path):
    fake_yosys(
        {
            "core": {"pair": 2, "INV": 1, "PS7": 1},
            "pair": {"bit": 2, "LUT4": 1},
            "bit": {"FDRE": 3},
        },
        "  cell \\pair \\p0\n  end\n  cell \\pair $p1\n  end\n  cell \\INV \\i\n  end\n",
    )
    result = synthesize(tmp_path / "core.v", "core", load_board("arty_a7"), tmp_path)
    pair = Resources(lut=1, ff=6)
    assert result.by_instance == {"p0": pair, "$p1": pair}
    assert result.own == Resources(lut=1)
    assert result.resources == Resources(lut=3, ff=12)
    assert result.cells == {"FDRE": 12, "INV": 1, "LUT4": 2, "PS7": 1}
    assert result.uncounted == {"PS7": 1}


def test_unmapped_cells_are_an_error(fake_yosys, tmp_path):
    fake_yosys({"core": {"FDRE": 1, "sub": 1}, "sub": {"$print": 1}})
    with pytest.raises(ToolError, match=r"no primitives of the part: \$print"):
        synthesize(tmp_path / "core.v", "core", load_board("arty_a7"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_renamed_ports_are_an_error(fake_yosys, tmp_path):
    fake_yosys({"core": {}}, ports=("core/a\ncore/b\n", "core/b\ncore/$1\n"))
    with pytest.raises(ToolError, match="fake renamed ports"):
        synthesize(tmp_path / "core.v", "core", load_board("arty_a7"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_options_reach_yosys():
    assert synth_command("core", no_dsp=True, no_lutram=True) == (
        "synth_xilinx -family xc7 -top core -abc9 -noiopad -noclkbuf -nodsp -nolutram"
    )
    assert synth_command("core", flatten=True, no_srl=True).endswith(" -flatten -nosrl")
    assert HIDE_WIRE_NAMES == "rename -hide w:*"


def test_refusals(tmp_path):
    board = load_board("arty_a7")
    with pytest.raises(OptionsError, match="'core; shell' is no plain Verilog identifier"):
        synthesize(tmp_path / "a.v", "core; shell", board, tmp_path)
    with pytest.raises(OptionsError, match=r"a\.vhd is neither RTLIL nor Verilog"):
        synthesize(tmp_path / "a.vhd", "core", board, tmp_path)
    other = dataclasses.replace(board, part="xcku5p-1")
    with pytest.raises(OptionsError, match="none of the 7 series"):
        synthesize(tmp_path / "a.v", "core", other, tmp_path)
