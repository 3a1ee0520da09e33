import pytest

from nn2rtl.boards.resources import Resources, is_counted


def test_cells_are_counted_by_kind():
    cells = {
        "LUT2": 3, "LUT6_2": 2, "INV": 1, "SRLC32E": 4, "RAM64M": 1, "RAM128X1S": 1,
        "FDRE": 5, "LDCE": 1, "RAMB36E1": 2, "RAMB18E1": 3, "DSP48E1": 7, "CARRY4": 8,
        "MUXF7": 9, "BUFG": 1, "PS7": 1,
    }  # fmt: skip
    assert Resources.from_cells(cells) == Resources(
        lut=3 + 2 + 1 + 4 + 4 + 2, ff=6, bram36=3.5, dsp=7, carry=8
    )
    assert [kind for kind in cells if not is_counted(kind)] == ["PS7"]


def test_arithmetic():
    small, large = Resources(lut=1, bram36=0.5), Resources(lut=5, ff=2, bram36=2)
    assert large - small == Resources(lut=4, ff=2, bram36=1.5)
    assert Resources.total([small, large, small]) == Resources(lut=7, ff=2, bram36=3.0)
    assert Resources.total([]) == Resources()
    assert small * 3 == Resources(lut=3, bram36=1.5)
    assert [large[name] for name in Resources.names()] == [5, 2, 2, 0, 0]
    with pytest.raises(KeyError, match="total"):
        large["total"]


def test_budget():
    part = Resources(lut=10, ff=20, bram36=1)
    assert Resources(lut=10).fits(part)
    needed = Resources(lut=11, ff=20, bram36=1.5, dsp=1)
    assert not needed.fits(part)
    assert part.exceeded_by(needed) == ("lut", "bram36", "dsp")
    assert needed.utilisation(part) == {
        "lut": 1.1, "ff": 1.0, "bram36": 1.5, "dsp": float("inf"), "carry": 0.0,
    }  # fmt: skip
