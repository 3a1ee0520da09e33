"""Options: what is read, and what is refused."""

from fractions import Fraction

import pytest

from nn2rtl.errors import OptionsError
from nn2rtl.options import InputType, LayerOptions, Options, load_options, options_from


def test_input_type():
    assert InputType.parse("int8:0.5") == InputType(8, True, Fraction(1, 2))
    assert InputType.parse("uint8:1/255") == InputType(8, False, Fraction(1, 255))
    assert str(InputType.parse("uint4:1e-1")) == "uint4:1/10"


@pytest.mark.parametrize(
    "text",
    [
        "int8", "float:1", "int8:", "int8:x", "int8:1/0", "int8:-1", "int8:nan", "int17:1",
        "int8:1e99999999", "int8:1e-400", "int0:1", "int1:1", "",
    ],
)
def test_bad_input_type(text):
    with pytest.raises(OptionsError, match="input type|scale"):
        InputType.parse(text)


def test_yaml(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(
        "board: pynq_z2\nclock_mhz: 80\ninput_type: int8:0.25\n"
        "layers:\n  conv: {pe: 4, dsp: false}\n"
    )
    assert load_options(path) == Options(
        board="pynq_z2",
        clock_mhz=80,
        input_type=InputType(8, True, Fraction(1, 4)),
        layers={"conv": LayerOptions(pe=4, dsp=False)},
    )
    path.write_text("")
    assert load_options(path) == Options()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bord: arty_a7", "unknown key 'bord'.*known keys: board, clock_mhz"),
        ("- 1", "not a mapping"),
        ("board: [", "not valid YAML"),
        ("board: 3", "board is 3; it must be a name"),
        ("clock_mhz: -1", "clock_mhz is -1"),
        ("clock_mhz: true", "clock_mhz is True"),
        ("dsp: 1", "dsp is 1; it must be true or false"),
        ("utilization: 2", "utilization is 2"),
        ("layers: 3", "layers is 3"),
        ("clock_mhz: 2001-13-45", "not valid YAML"),
        ("board: " + 5000 * "[", "not valid YAML"),
        ("layers: {a: {pes: 3}}", "layer a: unknown key 'pes'.*pe, simd, dsp"),
        ("layers: {a: {pe: 0}}", "pe is 0"),
        ("x: !!python/object/apply:os.system [ls]", "not valid YAML"),
    ],
)
def test_bad_yaml(tmp_path, text, message):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(OptionsError, match=message):
        load_options(path)


def test_unreadable(tmp_path):
    with pytest.raises(OptionsError, match="cannot be read"):
        load_options(tmp_path / "absent.yaml")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(OptionsError, match="not text"):
        load_options(tmp_path / "binary")


def test_merged_keeps_what_is_not_given():
    options = options_from({"board": "pynq_z2"}).merged(board=None, clock_mhz=50.0)
    assert (options.board, options.clock_mhz) == ("pynq_z2", 50.0)
