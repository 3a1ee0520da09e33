"""Simulation of an emitted core with Verilator, driven by the C++ harness."""

from __future__ import annotations

import subprocess
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nn2rtl.errors import OutputError, SimulationError
from nn2rtl.sim.compile import Executable, compile_simulator, read_verilog
from nn2rtl.sim.result import RunResult

Progress = Callable[[int, int, int], None]

_PROTOCOL, _STALLED, _EXTRA = 3, 4, 5  # exit statuses of harness.cpp
_REMEDIES = {
    _PROTOCOL: "the design breaks AXI4-Stream; look at the cycles before in a waveform",
    _STALLED: "the design deadlocks or the expected number of beats is wrong; a waveform shows "
    "where data waits",
    _EXTRA: "check the number of output beats an inference against the design's",
}


def build(verilog: str | Path, *, trace: bool = False, threads: int = 1) -> Simulator:
    """Compile a core, or take the simulator from the cache.

    Parameters
    ----------
    verilog : str or Path
        Verilog text, or a file. The top module is `nn2rtl_core`: clk, rst (synchronous, active
        high), s_axis_tdata/tvalid/tready/tlast, m_axis_tdata/tvalid/tready/tlast.
    trace : bool
        Whether runs can write waveforms. Compilation takes longer.
    threads : int
        Threads that simulate. More than 1 pays off only for very large designs.

    Raises
    ------
    SimulationError
        The file cannot be read, or the ports are not those of a core.
    ToolError
        Verilator or g++ is missing or failed.
    """
    if threads < 1:
        raise ValueError(f"threads must be at least 1, not {threads}")
    text = read_verilog(verilog)
    return Simulator(compile_simulator(text, trace=trace, threads=threads), trace)


def check_run(
    beats_in: npt.ArrayLike, in_bytes: int | None, idle: float, backpressure: float,
    in_per_inference: int, out_per_inference: int, out_beats: int,
) -> npt.NDArray[np.uint8]:  # fmt: skip
    """Check the arguments that runs under all simulators have in common; returns the beats."""
    beats = np.asarray(beats_in)
    size = in_bytes if in_bytes is not None else "bytes"
    if beats.dtype != np.uint8 or beats.ndim != 2 or in_bytes not in (None, beats.shape[1]):
        raise ValueError(
            f"beats_in must be uint8 of the shape (n_beats, {size}), not {beats.dtype} of the "
            f"shape {beats.shape}"
        )
    for name, chance in (("idle", idle), ("backpressure", backpressure)):
        if not 0 <= chance < 1:
            raise ValueError(f"{name} must be at least 0 and below 1, not {chance}")
    if in_per_inference < 1 or out_per_inference < 1 or out_beats < 0:
        raise ValueError(
            f"in_per_inference ({in_per_inference}) and out_per_inference ({out_per_inference}) "
            f"must be positive, out_beats ({out_beats}) not negative"
        )
    return np.ascontiguousarray(beats)


@dataclass(frozen=True)
class Simulator:
    """A compiled core; `build` makes it. Runs are independent of each other.

    Attributes
    ----------
    executable : Executable
        The program and the widths of its ports.
    trace : bool
        Whether it can write waveforms.
    """

    executable: Executable
    trace: bool

    def run(
        self,
        beats_in: npt.ArrayLike,
        out_beats: int,
        *,
        in_per_inference: int,
        out_per_inference: int,
        idle: float = 0.0,
        backpressure: float = 0.0,
        seed: int = 0,
        gap: int = 0,
        reset_after_beats: int | None = None,
        waves: Path | None = None,
        max_idle_cycles: int = 1_000_000,
        drain: int = 100,
        timeout: float = 3600.0,
        check_last: bool = True,
        progress: Progress | None = None,
    ) -> RunResult:
        """Feed beats and collect the outputs.

        Parameters
        ----------
        beats_in : array of uint8, shape (n_beats, in_bytes)
            tdata of every input beat, the least significant byte first (see `beats.pack_beats`).
        out_beats : int
            Output beats to expect.
        in_per_inference, out_per_inference : int
            Beats of one inference; s_axis_tlast is high at the last of each.
        idle, backpressure : float
            Chance, in each cycle, that the source offers no new beat and that the sink is not
            ready.
        seed : int
            Of idle cycles, backpressure, tdata while tvalid is low, and of all registers and
            memories that have no initial value.
        gap : int
            Cycles without input after the last beat of each inference.
        reset_after_beats : int, optional
            First feed that many beats of garbage, drop the outputs and reset for three cycles.
            Cycle 0 is the first one after that.
        waves : Path, optional
            VCD file to write, also when the run fails; needs `build(..., trace=True)`.
        max_idle_cycles : int
            Give up after so many cycles in which the source offers (or is done), the sink is
            ready, and no beat is transferred.
        drain : int
            Cycles after the last transfer in which any further output is an error.
        timeout : float
            Seconds after which to give up.
        check_last : bool
            Whether m_axis_tlast must mark the last output beat of each inference.
        progress : callable, optional
            Called some times a second with input beats, output beats and cycles done so far.

        Raises
        ------
        SimulationError
            The design stalls, violates AXI4-Stream, or sends too much.
        OutputError
            The waveform cannot be written.
        """
        exe = self.executable
        beats = check_run(
            beats_in, exe.in_bytes, idle, backpressure, in_per_inference, out_per_inference,
            out_beats,
        )  # fmt: skip
        if waves is not None and not self.trace:
            raise ValueError("waves needs a simulator from build(..., trace=True)")
        if waves is not None and not waves.absolute().parent.is_dir():
            raise OutputError(f"cannot write {waves}: its folder does not exist")
        with tempfile.TemporaryDirectory(prefix="nn2rtl-sim-") as name:
            folder = Path(name)
            beats.tofile(folder / "in")
            settings: dict[str, object] = {
                key: folder / key for key in ("in", "out", "in_cycles", "out_cycles", "last")
            }
            settings |= {
                "in_bytes": exe.in_bytes, "out_bytes": exe.out_bytes, "out_beats": out_beats,
                "in_per_inference": in_per_inference, "idle": idle, "backpressure": backpressure,
                "seed": seed & (1 << 61) - 1, "gap": gap, "max_idle_cycles": max_idle_cycles,
                "reset_after_beats": reset_after_beats or 0, "drain": drain,
                "waves": waves.absolute() if waves else "", "progress": int(progress is not None),
            }  # fmt: skip
            arguments = [f"{key}={value}" for key, value in settings.items()]
            _execute([str(exe.path), *arguments], timeout, progress)
            result = RunResult(
                np.fromfile(folder / "out", np.uint8).reshape(out_beats, exe.out_bytes),
                np.fromfile(folder / "in_cycles", "<i8").astype(np.int64),
                np.fromfile(folder / "out_cycles", "<i8").astype(np.int64),
                np.fromfile(folder / "last", np.uint8).astype(np.bool_),
                in_per_inference,
                out_per_inference,
            )
        if check_last:
            result.check_last()
        return result


def _execute(command: list[str], timeout: float, progress: Progress | None) -> None:
    """Run the harness to its end, passing its progress on; SimulationError if it fails."""
    with (
        tempfile.TemporaryFile("w+", errors="replace") as messages,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=messages, text=True
        ) as child,
    ):
        late = threading.Event()

        def give_up() -> None:
            late.set()
            child.kill()

        timer = threading.Timer(timeout, give_up)
        timer.start()
        at = ""
        try:
            for line in child.stdout or ():
                if progress and line.startswith("P "):
                    taken, received, cycle = (int(word) for word in line.split()[1:])
                    at = f" in cycle {cycle}"
                    progress(taken, received, cycle)
            status = child.wait()
        except BaseException:  # an interrupt, or the caller's progress function
            child.kill()
            raise
        finally:
            timer.cancel()
        messages.seek(0)
        text = messages.read().strip()
    if late.is_set():
        raise SimulationError(
            f"the simulation was not done after {timeout:g} seconds{at}",
            remedy="simulate fewer inferences or allow more time",
        )
    if status:
        detail = text.splitlines()[-1] if text else f"exit status {status}"
        if status not in _REMEDIES:
            raise SimulationError(f"the simulator failed: {detail}")
        raise SimulationError(detail, remedy=_REMEDIES[status])
