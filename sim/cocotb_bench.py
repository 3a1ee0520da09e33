"""A cocotb testbench of a core written by nn2rtl. Copy it and change it for your own system.

It needs cocotb, cocotbext-axi and numpy, not nn2rtl. Environment variables set it up:

* NN2RTL_BEATS: .npy file, uint8 [beats, bytes], tdata of every input beat
* NN2RTL_RESULT: .npz file to write: outputs, in_cycles, out_cycles, last_flags
* NN2RTL_OUT_BEATS: output beats to expect
* NN2RTL_IN_PER_INFERENCE, NN2RTL_OUT_PER_INFERENCE: beats of one inference
* NN2RTL_IDLE, NN2RTL_BACKPRESSURE: chance of a pause of source and sink in each cycle
* NN2RTL_SEED: of the pauses
* NN2RTL_MAX_IDLE_CYCLES: give up after so many cycles without a transfer
"""

import logging
import os
import random
import warnings
from collections.abc import Iterator
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge

# cocotbext-axi and cocotb-bus still use names that cocotb 2 deprecates.
warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"cocotbext\.axi|cocotb_bus")

from cocotbext.axi import AxiStreamBus, AxiStreamSink, AxiStreamSource  # noqa: E402


class BrokenStreamError(Exception):
    """The core stalls, violates AXI4-Stream, or sends a wrong number of beats."""


def pauses(chance: float, seed: int) -> Iterator[bool]:
    """A pause generator of cocotbext-axi: True in a random share of the cycles."""
    numbers = random.Random(seed)
    while True:
        yield numbers.random() < chance


class Monitor:
    """Stamps every transfer with its cycle and watches the output's handshake.

    Cycle c is the c-th rising clock edge at which reset is low.
    """

    def __init__(self, dut: Any, max_idle_cycles: int) -> None:
        self.dut = dut
        self.max_idle_cycles = max_idle_cycles
        self.in_cycles: list[int] = []
        self.out_cycles: list[int] = []
        self.last_flags: list[bool] = []
        self.waiting = True  # for a transfer; False once all have been seen

    async def run(self) -> None:
        """Run until the test ends. An error in here fails the test."""
        dut, edge = self.dut, RisingEdge(self.dut.clk)
        cycle = stalled = 0
        held = None
        while True:
            await edge  # values are those just before the edge
            if dut.rst.value:
                cycle, held = 0, None
                continue
            offer = None
            if dut.m_axis_tvalid.value:
                offer = (dut.m_axis_tdata.value, dut.m_axis_tlast.value)
            if held is not None and offer != held:
                raise BrokenStreamError(
                    f"m_axis changed or withdrew a beat before it was taken in cycle {cycle}"
                )
            taken = bool(dut.s_axis_tvalid.value and dut.s_axis_tready.value)
            received = offer is not None and bool(dut.m_axis_tready.value)
            if taken:
                self.in_cycles.append(cycle)
            if offer is not None and received:
                self.out_cycles.append(cycle)
                self.last_flags.append(bool(offer[1]))
            held = None if received else offer
            stalled = 0 if taken or received or not self.waiting else stalled + 1
            if stalled >= self.max_idle_cycles:
                raise BrokenStreamError(
                    f"no beat was transferred for {stalled} cycles: {len(self.in_cycles)} input "
                    f"beats taken, {len(self.out_cycles)} output beats received"
                )
            cycle += 1


@cocotb.test()
async def stream(dut: Any) -> None:
    """Send every inference as a frame, receive as many frames, save what came."""
    env = os.environ
    beats = np.load(env["NN2RTL_BEATS"])
    in_size = int(env["NN2RTL_IN_PER_INFERENCE"])
    out_size = int(env["NN2RTL_OUT_PER_INFERENCE"])
    out_beats = int(env["NN2RTL_OUT_BEATS"])
    seed = int(env["NN2RTL_SEED"])

    Clock(dut.clk, 10, unit="ns").start()
    source = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), dut.clk, dut.rst)
    sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), dut.clk, dut.rst)
    for end in (source, sink):
        end.log.setLevel(logging.WARNING)  # otherwise every frame is printed
    if idle := float(env["NN2RTL_IDLE"]):
        source.set_pause_generator(pauses(idle, 2 * seed))
    if backpressure := float(env["NN2RTL_BACKPRESSURE"]):
        sink.set_pause_generator(pauses(backpressure, 2 * seed + 1))
    monitor = Monitor(dut, int(env["NN2RTL_MAX_IDLE_CYCLES"]))

    dut.rst.value = 1
    await ClockCycles(dut.clk, 3)
    cocotb.start_soon(monitor.run())
    dut.rst.value = 0

    for start in range(0, len(beats), in_size):
        source.send_nowait(beats[start : start + in_size].tobytes())
    outputs = bytearray()
    out_bytes = len(dut.m_axis_tdata) // 8
    while len(outputs) < out_beats * out_bytes:
        frame = await sink.recv()  # up to and including the beat with m_axis_tlast
        if len(frame.tdata) != out_size * out_bytes:
            raise BrokenStreamError(
                f"m_axis_tlast ends an inference after {len(frame.tdata) // out_bytes} beats, "
                f"which should have {out_size}"
            )
        outputs += frame.tdata
    while len(monitor.in_cycles) < len(beats):
        await RisingEdge(dut.clk)
    monitor.waiting = False
    await ClockCycles(dut.clk, 100)
    if len(monitor.out_cycles) != out_beats:
        raise BrokenStreamError(f"the core sent more than the expected {out_beats} output beats")

    np.savez(
        env["NN2RTL_RESULT"],
        outputs=np.frombuffer(outputs, np.uint8).reshape(out_beats, out_bytes),
        in_cycles=np.array(monitor.in_cycles, np.int64),
        out_cycles=np.array(monitor.out_cycles, np.int64),
        last_flags=np.array(monitor.last_flags, np.bool_),
    )
