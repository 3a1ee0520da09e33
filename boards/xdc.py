"""Constraints of a bare core in Xilinx Design Constraints (XDC) format."""

from __future__ import annotations

import math

from nn2rtl.errors import OptionsError

__all__ = ["CORE", "clock_period_ns", "core_constraints"]

CORE = "nn2rtl_core"
"""Name of the core's top module, and of its files."""


def clock_period_ns(frequency_hz: float) -> float:
    """Clock period in whole picoseconds, rounded down: never slower than asked.

    Raises
    ------
    OptionsError
        The frequency is not positive, or above 10 GHz.
    """
    if not 0 < frequency_hz <= 10e9:
        raise OptionsError(
            f"clock frequency {frequency_hz} Hz is impossible",
            remedy="give a positive frequency of at most 10 GHz",
        )
    # 1e12 / f is exact enough that only a whole number of picoseconds can come out just below it.
    return math.floor(1e12 / frequency_hz + 1e-6) / 1000


def core_constraints(frequency_hz: float) -> str:
    """XDC of a core that is built out of context: its clock, since it has no pins.

    Raises
    ------
    OptionsError
        As :func:`clock_period_ns`.
    """
    return f"create_clock -name clk -period {clock_period_ns(frequency_hz):.3f} [get_ports clk]\n"
