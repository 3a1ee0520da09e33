"""The Verilator harness, on right and on broken cores."""

from __future__ import annotations

import re

import numpy as np
import pytest

from nn2rtl.errors import OutputError, SimulationError, ToolError
from nn2rtl.sim import verilator

PAIRS = {"in_per_inference": 4, "out_per_inference": 4}


@pytest.fixture(scope="module")
def narrow(make_core):
    return verilator.build(make_core())


def beats(count, size=1, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, size), np.uint8)


def test_cycles_and_data_of_a_fifo(narrow):
    data = beats(40)
    seen = []
    result = narrow.run(data, 40, **PAIRS, progress=lambda *now: seen.append(now))
    np.testing.assert_array_equal(result.outputs, data)
    np.testing.assert_array_equal(result.in_cycles, np.arange(40))
    np.testing.assert_array_equal(result.out_cycles, np.arange(1, 41))
    np.testing.assert_array_equal(result.last_flags, np.arange(40) % 4 == 3)
    assert result.latencies.tolist() == [4] * 10
    assert result.intervals.tolist() == [4] * 9
    assert seen[-1] == (40, 40, 41)


def test_gap_separates_inferences(narrow):
    result = narrow.run(beats(8), 8, **PAIRS, gap=10)
    assert result.in_cycles.tolist() == [0, 1, 2, 3, 14, 15, 16, 17]
    assert result.latencies.tolist() == [4, 4]
    assert result.intervals.tolist() == [14]


def test_random_idle_and_backpressure(narrow):
    data = beats(2000)
    one, again, other = (
        narrow.run(data, 2000, **PAIRS, idle=0.4, backpressure=0.3, seed=seed) for seed in (1, 1, 2)
    )
    for result in (one, other):
        np.testing.assert_array_equal(result.outputs, data)
        assert (result.out_cycles > result.in_cycles).all()
    np.testing.assert_array_equal(one.out_cycles, again.out_cycles)
    assert (one.out_cycles != other.out_cycles).any()
    # The source offers in 60 % of the cycles and the sink takes in 70 %.
    assert 2000 / 0.62 < one.out_cycles[-1] < 2000 / 0.45


def test_wide_beats_waves_and_the_cache(make_core, tmp_path):
    core = tmp_path / "core.v"
    core.write_text(make_core(width=304))
    simulator = verilator.build(core, trace=True)
    stamp = simulator.executable.path.stat().st_mtime_ns
    assert verilator.build(core.read_text(), trace=True) == simulator
    assert simulator.executable.path.stat().st_mtime_ns == stamp
    data = beats(100, 38)
    result = simulator.run(
        data, 100, **PAIRS, idle=0.3, backpressure=0.3, waves=tmp_path / "waves.vcd"
    )
    np.testing.assert_array_equal(result.outputs, data)
    vcd = (tmp_path / "waves.vcd").read_text()
    assert re.search(r"\$var \w+ +304 \S+ m_axis_tdata ", vcd)
    assert vcd.count("\n#") > 2 * result.out_cycles[-1]
    with pytest.raises(OutputError, match="does not exist"):
        simulator.run(data, 100, **PAIRS, waves=tmp_path / "none" / "waves.vcd")


@pytest.fixture(scope="module")
def survivor(make_core):
    """`taken` is never reset, so it starts at random and goes on counting after a reset."""
    return verilator.build(make_core(add="taken", reset=""))


def test_state_that_survives_reset_shows(survivor, narrow):
    data = beats(12)
    np.testing.assert_array_equal(
        narrow.run(data, 12, **PAIRS, reset_after_beats=7, backpressure=0.5).outputs, data
    )
    seeds = [survivor.run(data, 12, **PAIRS, seed=seed).outputs[0, 0] for seed in range(8)]
    assert len(set(seeds)) > 4
    before, after = (
        survivor.run(data, 12, **PAIRS, seed=5, reset_after_beats=count).outputs.astype(int)
        for count in (None, 7)
    )
    assert ((after - before) % 256 == 7).all()


def test_deadlock_is_reported(make_core):
    stuck = verilator.build(make_core(accept="taken < 10"))
    with pytest.raises(SimulationError, match="10 of 40 input beats taken, 10 of 40") as caught:
        stuck.run(beats(40), 40, **PAIRS, max_idle_cycles=500)
    assert "s_axis_tready is low" in caught.value.reason
    assert caught.value.remedy
    with pytest.raises(SimulationError, match="before the reset"):
        stuck.run(beats(4), 4, **PAIRS, reset_after_beats=20, max_idle_cycles=500)


def test_dropped_valid_is_reported(make_core):
    # tvalid falls each time tready is low: legal as long as nobody is waiting.
    dropper = verilator.build(make_core(offer="(m_axis_tready || taken[0])"))
    dropper.run(beats(40), 40, **PAIRS)
    with pytest.raises(SimulationError, match=r"m_axis_tvalid fell .* in cycle"):
        dropper.run(beats(40), 40, **PAIRS, backpressure=0.5)


def test_changing_data_is_reported(survivor):
    # Its output depends on the beats taken meanwhile.
    with pytest.raises(SimulationError, match="m_axis_tdata changed"):
        survivor.run(beats(40), 40, **PAIRS, backpressure=0.5)


def test_too_many_and_too_few_outputs(narrow):
    with pytest.raises(SimulationError, match="more than the expected 39 output beats"):
        narrow.run(beats(40), 39, **PAIRS)
    with pytest.raises(SimulationError, match="40 of 40 input beats taken, 40 of 41"):
        narrow.run(beats(40), 41, **PAIRS, max_idle_cycles=500)


def test_misplaced_last_is_reported(narrow):
    wrong = {"in_per_inference": 4, "out_per_inference": 5}
    with pytest.raises(SimulationError, match="high at output beat 3 of inference 0"):
        narrow.run(beats(20), 20, **wrong)
    narrow.run(beats(20), 20, **wrong, check_last=False)


def test_timeout(narrow):
    with pytest.raises(SimulationError, match=r"not done after 0\.2 seconds"):
        narrow.run(beats(4), 5, **PAIRS, max_idle_cycles=10**15, timeout=0.2)


def test_unusable_verilog(make_core, tmp_path):
    with pytest.raises(SimulationError, match="defines no module nn2rtl_core"):
        verilator.build("module other; endmodule")
    with pytest.raises(SimulationError, match="cannot read"):
        verilator.build(tmp_path / "none.v")
    with pytest.raises(ToolError, match=r"failed: %Error.*design.v:"):
        verilator.build(make_core(add="nothing_of_this_name"))
    with pytest.raises(SimulationError, match="no output m_axis_tlast"):
        verilator.build(make_core().replace("m_axis_tlast", "m_axis_tfinal"))
    with pytest.raises(SimulationError, match="12 bits, not whole bytes"):
        verilator.build(make_core(width=12))


def test_wrong_arguments(narrow):
    with pytest.raises(ValueError, match=r"shape \(n_beats, 1\)"):
        narrow.run(beats(4, 2), 4, **PAIRS)
    with pytest.raises(ValueError, match="backpressure must be"):
        narrow.run(beats(4), 4, **PAIRS, backpressure=1.0)
    with pytest.raises(ValueError, match="trace=True"):
        narrow.run(beats(4), 4, **PAIRS, waves="waves.vcd")
