import pytest

from nn2rtl.boards.xdc import CORE, clock_period_ns, core_constraints
from nn2rtl.errors import OptionsError


def test_constraints():
    assert CORE == "nn2rtl_core"
    assert core_constraints(100e6) == "create_clock -name clk -period 10.000 [get_ports clk]\n"


@pytest.mark.parametrize(
    ("frequency_hz", "period_ns"),
    [(100e6, 10.0), (125_000_000, 8.0), (300e6, 3.333), (150e6, 6.666), (1e9 / 7, 7.0)],
)
def test_period_is_rounded_down(frequency_hz, period_ns):
    assert clock_period_ns(frequency_hz) == period_ns


@pytest.mark.parametrize("frequency_hz", [0, -1e6, float("nan"), float("inf"), 1e11])
def test_impossible_frequency(frequency_hz):
    with pytest.raises(OptionsError, match="is impossible"):
        core_constraints(frequency_hz)
