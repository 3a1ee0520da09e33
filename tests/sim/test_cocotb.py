"""The cocotb testbench, on a right and on broken cores."""

from __future__ import annotations

import numpy as np
import pytest

from nn2rtl.errors import SimulationError, ToolError
from nn2rtl.sim import cocotb_run
from nn2rtl.tools import Tool

PAIRS = {"in_per_inference": 4, "out_per_inference": 4}


def beats(count, size=1):
    return np.random.default_rng(0).integers(0, 256, (count, size), np.uint8)


def test_missing_cocotb_names_the_remedy(make_core, monkeypatch):
    missing = Tool("cocotb", "testbenches", 'run `pip install "nn2rtl[cocotb]"`', lambda: None)
    monkeypatch.setattr(cocotb_run, "COCOTB", missing)
    with pytest.raises(ToolError, match=r"nn2rtl\[cocotb\]"):
        cocotb_run.build(make_core())


@pytest.fixture(scope="module")
def cores(make_core):
    """A wide core, right up to its 40th beat; the bytes of a beat."""
    pytest.importorskip("cocotb", reason="cocotb is optional")
    pytest.importorskip("cocotb_bus", reason="cocotbext-axi is optional")
    return cocotb_run.build(make_core(width=304, accept="taken < 40"), trace=True)


def test_random_stalls_and_waves(cores, tmp_path):
    data = beats(40, 38)
    result = cores.run(data, 40, **PAIRS, idle=0.4, backpressure=0.4, waves=tmp_path / "a.vcd")
    np.testing.assert_array_equal(result.outputs, data)
    assert (result.out_cycles > result.in_cycles).all()
    assert result.last_flags.tolist() == [False, False, False, True] * 10
    assert "m_axis_tdata" in (tmp_path / "a.vcd").read_text()


def test_cycles_without_stalls(cores):
    result = cores.run(beats(40, 38), 40, **PAIRS)
    assert np.diff(result.in_cycles).tolist() == [1] * 39
    assert (result.out_cycles - result.in_cycles).tolist() == [1] * 40


def test_failures_are_reported(cores):
    data = beats(44, 38)
    with pytest.raises(SimulationError, match="500 cycles: 40 input beats taken, 40 output"):
        cores.run(data, 44, **PAIRS, max_idle_cycles=500)
    with pytest.raises(SimulationError, match="after 4 beats, which should have 5"):
        cores.run(data[:40], 40, in_per_inference=4, out_per_inference=5)
    with pytest.raises(SimulationError, match="more than the expected 36"):
        cores.run(data[:40], 36, **PAIRS)
