from pathlib import Path

import pytest
import yaml

from nn2rtl.boards.board import Clock, Pin, board_names, load_board
from nn2rtl.boards.resources import Resources
from nn2rtl.errors import OptionsError


@pytest.fixture
def description() -> dict:
    return {
        "title": "Mine",
        "vendor": "Me",
        "page": "https://example.org/board",
        "family": "artix7",
        "package": "csg324",
        "clock": {"pin": "E3", "frequency_hz": 50_000_000, "iostandard": "LVCMOS33"},
        "reset": {"pin": "C2", "iostandard": "LVCMOS33", "active_low": True},
        "leds": [{"pin": "H5", "iostandard": "LVCMOS33"}],
        "variants": {
            "mine": {
                "part": "xc7a35tcsg324-1",
                "speed_grade": "-1",
                "resources": {"lut": 10, "ff": 20, "bram36": 1.5, "dsp": 0, "carry": 5},
                "flows": {"vivado": {}},
            }
        },
    }


def write(folder: Path, description: object) -> str:
    file = folder / "board.yaml"
    file.write_text(yaml.safe_dump(description))
    return str(file)


def test_own_boards():
    assert board_names() == ("arty_a7", "arty_a7_100t", "pynq_z2")
    arty = load_board("arty_a7")
    assert (arty.name, arty.part, arty.package) == ("arty_a7", "xc7a35ticsg324-1L", "csg324")
    assert arty.clock == Clock("E3", 100_000_000, "LVCMOS33")
    assert arty.reset == Pin("C2", "LVCMOS33", active_low=True)
    assert [led.pin for led in arty.leds] == ["H5", "J5", "T9", "T10"]
    assert arty.resources == Resources(20800, 41600, 50, 90, 5200)
    assert load_board("arty_a7_100t").resources == Resources(63400, 126800, 135, 240, 15850)
    pynq = load_board("pynq_z2")
    assert (pynq.part, pynq.clock.frequency_hz) == ("xc7z020clg400-1", 125_000_000)
    assert pynq.resources == Resources(53200, 106400, 140, 220, 13300)
    assert not pynq.reset.active_low


def test_flow_options():
    arty = load_board("arty_a7")
    assert arty.flow("vivado").device == "xc7a35ticsg324-1L"
    open_flow = arty.flow("openxc7")
    assert (open_flow.device, open_flow.database) == ("xc7a35tcsg324-1", "artix7")
    assert (open_flow.no_dsp, open_flow.no_srl, open_flow.no_lutram) == (True, True, False)
    with pytest.raises(OptionsError, match="no flow 'ise'; choose one of: vivado, openxc7"):
        arty.flow("ise")


def test_own_file(tmp_path, description):
    path = write(tmp_path, description)
    assert load_board(path).clock.frequency_hz == 50_000_000
    assert load_board(f"{path}#mine") == load_board(path)
    description["variants"]["other"] = {**description["variants"]["mine"], "title": "Other"}
    path = write(tmp_path, description)
    assert load_board(f"{path}#other").title == "Other"
    with pytest.raises(OptionsError, match="NAME one of: mine, other"):
        load_board(path)
    with pytest.raises(OptionsError, match="has no board 'third'"):
        load_board(f"{path}#third")


def test_unknown_board():
    with pytest.raises(OptionsError, match="'arty'; choose one of arty_a7, arty_a7_100t, pynq_z2"):
        load_board("arty")


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        (("colour",), "red", "unknown key 'colour'; known keys: variants, title"),
        (("clock", "duty"), 50, "unknown key 'duty'; known keys: pin, frequency_hz, iostandard"),
        (("variants", "mine", "resources", "uram"), 1, "unknown key 'uram'"),
        (("variants", "mine", "flows", "ise"), {}, "unknown key 'ise'; known keys: vivado"),
        (("variants", "mine", "flows"), {}, "flows is empty"),
        (("variants",), {}, "variants is empty"),
        (("variants", "mine"), None, "mine is None"),
        (("variants", "Mine"), {}, "'Mine' names a board"),
        (("title",), "Mine [exec rm]", "title is"),
        (("title",), "Mine\nexit", "title is"),
        (("family",), None, "family is None"),
        (("clock", "pin"), "E3]", "pin is 'E3]'"),
        (("clock", "pin"), "E3\n", "pin is"),
        (("clock", "frequency_hz"), "fast", "frequency_hz is 'fast'"),
        (("clock", "frequency_hz"), True, "frequency_hz is True"),
        (("clock", "frequency_hz"), 0, "at least 1"),
        (("clock", "frequency_hz"), float("nan"), "frequency_hz is nan"),
        (("reset", "iostandard"), "$x", "iostandard is"),
        (("reset", "active_low"), "yes", "write true or false"),
        (("leds",), "H5", "write a list"),
        (("leds",), ["H5"], r"leds\[0\] must be a mapping"),
        (("variants", "mine", "resources", "bram36"), 1.3, "multiple of 0.5"),
        (("variants", "mine", "resources", "lut"), 1.5, "whole number"),
        (("variants", "mine", "part"), "xc7a35tcsg324-1;exit", "part is"),
        (("variants", "mine", "part"), "xc7a35tcpg236-1", "does not end in package and speed"),
        (("variants", "mine", "flows"), {"openxc7": {}}, "database is missing"),
    ],
)
def test_bad_descriptions(tmp_path, description, where, value, message):
    section = description
    for key in where[:-1]:
        section = section[key]
    section[where[-1]] = value
    with pytest.raises(OptionsError, match=message):
        load_board(write(tmp_path, description))


def test_bad_files(tmp_path, description):
    del description["clock"]
    with pytest.raises(OptionsError, match="board mine: clock is missing; add a line"):
        load_board(write(tmp_path, description))
    with pytest.raises(OptionsError, match="must be a mapping"):
        load_board(write(tmp_path, [1]))
    file = tmp_path / "bad.yaml"
    file.write_text("a: [")
    with pytest.raises(OptionsError, match=r"bad\.yaml is no valid YAML"):
        load_board(str(file))
    file.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(OptionsError, match="not UTF-8 text"):
        load_board(str(file))
    with pytest.raises(OptionsError, match="No such file"):
        load_board(str(tmp_path / "none.yaml"))
