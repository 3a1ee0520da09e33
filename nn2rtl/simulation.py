"""Simulate a planned network's Verilog and compare it with the integer model, beat for beat."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nn2rtl.errors import OptionsError
from nn2rtl.ir.types import IntArray
from nn2rtl.plan.stages import Plan, StreamType
from nn2rtl.sim import verilator
from nn2rtl.sim.beats import pack_beats, unpack_beats

ENGINES = ("verilator", "cocotb")


@dataclass(frozen=True, eq=False)
class Simulation:
    """What a simulation found.

    Attributes
    ----------
    outputs : array [samples, ...]
        The hardware's outputs: real values, or with ``raw`` integers in stream order.
    samples : int
        Number of inferences.
    mismatches : int
        Inferences whose output stream differs from that of the integer model.
    latency_cycles : int
        From the acceptance of the first input beat to that of the last output beat, of the first
        inference.
    interval_cycles : int or None
        Between the last output beats of the last two inferences; None if there was only one.
    input_cycles, output_cycles : int64 arrays
        Cycle in which each beat was accepted.
    """

    outputs: npt.NDArray[Any]
    samples: int
    mismatches: int
    latency_cycles: int
    interval_cycles: int | None
    input_cycles: IntArray
    output_cycles: IntArray


@dataclass(frozen=True)
class Stalls:
    """What disturbs the streams.

    Parameters
    ----------
    idle, backpressure : float
        Probabilities, in each cycle, that no input is offered or no output taken.
    seed : int
        Of all that is random.
    gap : int
        Cycles without input between inferences.
    reset_after_beats : int, optional
        Rehearse with so many beats of another inference first, then reset.
    """

    idle: float = 0.0
    backpressure: float = 0.0
    seed: int = 0
    gap: int = 0
    reset_after_beats: int | None = None


def to_beats(values: IntArray, kind: StreamType) -> npt.NDArray[np.uint8]:
    """Stream elements [samples, elements] as packed beats."""
    return pack_beats(np.ascontiguousarray(values.reshape(-1, kind.lanes)), kind.type.width)


def from_beats(beats: npt.NDArray[np.uint8], kind: StreamType) -> IntArray:
    """Packed beats as stream elements [samples, elements]."""
    values = unpack_beats(beats, kind.lanes, kind.type.width, kind.type.signed)
    return values.reshape(-1, kind.lanes * kind.beats)


def run_stream(
    plan: Plan,
    verilog: str,
    stream: IntArray,
    *,
    engine: str = "verilator",
    waves: Path | None = None,
    stalls: Stalls | None = None,
    progress: Callable[[int, int, int], None] | None = None,
) -> tuple[IntArray, IntArray, IntArray]:
    """Feed input streams [samples, elements] to the Verilog.

    Returns
    -------
    outputs, input_cycles, output_cycles : int64 arrays
        Output streams [samples, elements], and the cycle of each input and output beat.

    Raises
    ------
    OptionsError
        If there is no such engine, or it cannot do what `stalls` ask for.
    ToolError
        If the simulator is missing or fails.
    SimulationError
        If the hardware stalls or breaks the stream protocol.
    """
    stalls = stalls or Stalls()
    start, end = plan.input.result, plan.output.result
    beats = to_beats(stream, start)
    wanted = len(stream) * end.beats
    common: dict[str, Any] = {
        "in_per_inference": start.beats,
        "out_per_inference": end.beats,
        "idle": stalls.idle,
        "backpressure": stalls.backpressure,
        "seed": stalls.seed,
        "waves": waves,
    }
    if engine == "cocotb":
        from nn2rtl.sim import cocotb_run

        if stalls.gap or stalls.reset_after_beats:
            raise OptionsError("cocotb runs have neither gaps nor resets", remedy="use verilator")
        result = cocotb_run.build(verilog, trace=waves is not None).run(beats, wanted, **common)
    elif engine == "verilator":
        result = verilator.build(verilog, trace=waves is not None).run(
            beats, wanted, gap=stalls.gap, reset_after_beats=stalls.reset_after_beats,
            progress=progress, **common,
        )
    else:
        raise OptionsError(
            f"no simulation engine {engine!r}", remedy=f"choose {' or '.join(ENGINES)}"
        )
    return from_beats(result.outputs, end), result.in_cycles, result.out_cycles
