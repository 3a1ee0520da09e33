"""Exact timing of a plan: every stage as processes, with the latencies of its components."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nn2rtl.ir.types import IntArray
from nn2rtl.plan.components import fork_latency, stage_latency
from nn2rtl.plan.concat import concat_order
from nn2rtl.plan.gather import program_frees, program_needs
from nn2rtl.plan.schedule import (
    DeadlockError,
    Dependence,
    LateError,
    Process,
    connect,
    solve,
    solve_late,
)
from nn2rtl.plan.softmax import softmax_schedule, softmax_steps
from nn2rtl.plan.stages import (
    AnyStage,
    ApplyStage,
    ArgMaxStage,
    ConcatStage,
    ConvStage,
    ForkStage,
    GatherStage,
    PairStage,
    Plan,
    PoolStage,
    SoftmaxStage,
    WidthStage,
)
from nn2rtl.primitives.geometry import WindowGeometry

SOURCE, SINK = "s_axis", "m_axis"


@dataclass(frozen=True, eq=False)
class Timing:
    """When things happen, with an input that always comes and an output that is always taken.

    Attributes
    ----------
    input_cycles, output_cycles : int64 arrays
        Cycle in which each beat is accepted, from the first input beat (cycle 0) on.
    latency_cycles : int
        From the acceptance of the first input beat to that of the last output beat of the first
        inference.
    interval_cycles : int
        From the last output beat of the last inference but one to that of the last.
    peaks : dict of (str, str) to int
        For each (producer, consumer) the most places of the FIFO between them in use at a time.
    """

    input_cycles: IntArray
    output_cycles: IntArray
    latency_cycles: int
    interval_cycles: int
    peaks: dict[tuple[str, str], int]


@dataclass
class _Port:
    """Steps of a process that issue or take the tokens of a stream."""

    process: Process
    steps: IntArray


class Schedule:
    """Processes of a plan for a number of back-to-back inferences.

    Parameters
    ----------
    plan : Plan
        What to time.
    inferences : int
        How many.
    unlimited : set of (str, str)
        Pairs of stages between which the FIFO is taken to be unlimited.
    """

    def __init__(
        self,
        plan: Plan,
        inferences: int,
        unlimited: frozenset[tuple[str, str]] = frozenset(),
    ) -> None:
        self.plan = plan
        self.inferences = inferences
        self.unlimited = unlimited
        self.processes: list[Process] = []
        self.edges: list[tuple[str, str, _Port, _Port]] = []
        # By (producer, consumer); the consumer is "" for a stream with one reader.
        self.issues: dict[tuple[str, str], tuple[_Port, IntArray | int, int | None]] = {}
        source = self._process(SOURCE, plan.input.result.beats)
        # The input port is wired to its reader: no FIFO, a beat is taken when it is offered.
        self.issues[plan.input.name, ""] = (_Port(source, np.arange(source.steps)), 0, None)
        for stage in plan.stages:
            self._stage(stage)
        sink = self._process(SINK, plan.output.result.beats)
        self._join(plan.output.name, SINK, _Port(sink, np.arange(sink.steps)))

    def solve(self) -> Timing:
        """Times of all beats."""
        times = solve(self.processes)
        source = self.processes[0]
        reader = next(take for _, _, issue, take in self.edges if issue.process is source)
        entered, left = times[reader.process.name][reader.steps], times[SINK]
        start = int(entered[0])
        beats = self.plan.output.result.beats
        ends = left[beats - 1 :: beats] - start
        return Timing(
            entered - start,
            left - start,
            int(ends[0]),
            int(ends[-1] - ends[-2]) if len(ends) > 1 else int(ends[0]) + 1,
            self._peaks(times, self.inferences),
        )

    def keeps_to(self, output_cycles: IntArray) -> bool:
        """Whether each output beat leaves in a given cycle, or earlier."""
        try:
            solve(self.processes, {SINK: output_cycles})
        except (DeadlockError, LateError):
            return False
        return True

    def late_peaks(self) -> dict[tuple[str, str], int]:
        """Places of each FIFO in use if every step is as late as the output beats allow.

        The last inference does not count: nothing tells when its unused words must be gone.
        """
        times = solve(self.processes)
        return self._peaks(solve_late(self.processes, SINK, times[SINK]), self.inferences - 1)

    def _peaks(self, times: dict[str, IntArray], inferences: int) -> dict[tuple[str, str], int]:
        """The most places of each FIFO that some inferences have in use at a time."""
        peaks = {}
        for producer, consumer, issue, take in self.edges:
            if issue.process is self.processes[0]:
                continue
            put = times[issue.process.name][issue.steps]
            got = times[take.process.name][take.steps]
            # A place is in use from the cycle of the issue to that of the take, both included.
            gone = np.searchsorted(got, put, side="left")
            used = np.arange(len(put)) + 1 - gone
            peaks[producer, consumer] = int(used[: len(put) * inferences // self.inferences].max())
        return peaks

    # -- processes -------------------------------------------------------------------------------

    def _process(self, name: str, steps_per_inference: int) -> Process:
        process = Process(name, steps_per_inference * self.inferences)
        self.processes.append(process)
        return process

    def _join(self, producer: str, consumer: str, take: _Port) -> None:
        key = (producer, consumer) if (producer, consumer) in self.issues else (producer, "")
        issue, latency, depth = self.issues[key]
        if (producer, consumer) in self.unlimited:
            depth = None
        connect(
            issue.process, issue.steps, take.process, take.steps, latency=latency, depth=depth
        )
        self.edges.append((producer, consumer, issue, take))

    def _stage(self, stage: AnyStage) -> None:
        if isinstance(stage, ForkStage):
            self._fork(stage)
            return
        latency = stage_latency(stage)
        if isinstance(stage, ConvStage | PoolStage):
            issue = self._windowed(stage)
        elif isinstance(stage, GatherStage):
            issue = self._gather(stage)
        elif isinstance(stage, ConcatStage):
            issue = self._concat(stage)
        elif isinstance(stage, SoftmaxStage):
            issue = self._softmax(stage)
        else:
            issue = self._plain(stage)
        total: IntArray | int = latency.pipe + latency.fifo
        if isinstance(stage, ConvStage) and stage.group_words > 1:
            # The words that a step issues leave one after the other.
            issue.steps, count = np.repeat(issue.steps, stage.group_words), len(issue.steps)
            total = total + np.tile(np.arange(stage.group_words), count)
        self.issues[stage.name, ""] = issue, total, stage.depth

    def _buffer(
        self,
        stage: AnyStage,
        words: int,
        steps: int,
        needs: tuple[IntArray, IntArray],
        frees: tuple[IntArray, IntArray],
    ) -> Process:
        """A buffer's writer, and its reader, which is returned."""
        write = self._process(f"{stage.name}.write", words)
        read = self._process(f"{stage.name}.read", steps)
        self._join(stage.inputs[0], stage.name, _Port(write, np.arange(write.steps)))
        read.waits.append(Dependence(needs[0], write.name, needs[1], 1))
        write.waits.append(Dependence(frees[0], read.name, frees[1], 1))
        return read

    def _gather(self, stage: GatherStage) -> _Port:
        program = stage.program
        read = self._buffer(
            stage, program.image_words, program.steps, program_needs(program, self.inferences),
            program_frees(program, stage.capacity, self.inferences),
        )
        return _Port(read, np.arange(read.steps))

    def _concat(self, stage: ConcatStage) -> _Port:
        process = self._process(stage.name, stage.result.beats)
        every = np.arange(process.steps)
        turn = np.tile(concat_order(stage), self.inferences)
        for k, name in enumerate(stage.inputs):
            steps = np.nonzero(turn == k)[0] if stage.chunks else every
            self._join(name, stage.name, _Port(process, steps))
        return _Port(process, every)

    def _softmax(self, stage: SoftmaxStage) -> _Port:
        beats = stage.operand.beats
        write = self._process(f"{stage.name}.write", beats)
        total = self._process(f"{stage.name}.sum", beats)
        result = self._process(f"{stage.name}.result", softmax_steps(stage))
        self._join(stage.inputs[0], stage.name, _Port(write, np.arange(write.steps)))
        return _Port(result, softmax_schedule(stage, write, total, result))

    def _windowed(self, stage: ConvStage | PoolStage) -> _Port:
        g = stage.geometry
        read = self._buffer(
            stage, g.image_words, g.steps, window_reads(g, self.inferences),
            window_frees(g, stage.capacity, self.inferences),
        )
        return _Port(read, np.arange(g.group_steps - 1, read.steps, g.group_steps))

    def _plain(self, stage: PairStage | ApplyStage | ArgMaxStage | WidthStage) -> _Port:
        """A pipe with credits, or a width converter."""
        if isinstance(stage, WidthStage) and stage.operand.lanes > stage.result.lanes:
            process = self._process(stage.name, stage.result.beats)
            ratio = stage.operand.lanes // stage.result.lanes
            take = np.arange(0, process.steps, ratio)
            self._join(stage.inputs[0], stage.name, _Port(process, take))
            return _Port(process, np.arange(process.steps))
        operand = stage.operands[0] if isinstance(stage, PairStage) else stage.operand
        process = self._process(stage.name, operand.beats)
        for name in stage.inputs:
            self._join(name, stage.name, _Port(process, np.arange(process.steps)))
        ratio = operand.beats // stage.result.beats
        return _Port(process, np.arange(ratio - 1, process.steps, ratio))

    def _fork(self, stage: ForkStage) -> None:
        process = self._process(stage.name, stage.result.beats)
        every = np.arange(process.steps)
        self._join(stage.inputs[0], stage.name, _Port(process, every))
        for reader, depth in stage.branches:
            self.issues[stage.name, reader] = _Port(process, every), fork_latency(depth), depth


def window_reads(g: WindowGeometry, inferences: int) -> tuple[IntArray, IntArray]:
    """Steps of a line buffer's reader that need a word, and the word that each needs."""

    def taps(axis: int) -> IntArray:
        extent = (g.out_height, g.out_width)[axis]
        start = np.arange(extent) * g.stride[axis] - g.pads[axis]
        return start[:, None] + np.arange(g.kernel[axis]) * g.dilation[axis]

    y, x = taps(0), taps(1)
    inside_y, inside_x = (y >= 0) & (y < g.height), (x >= 0) & (x < g.width)
    # [oy, ox, ky, kx]
    word = (y[:, None, :, None] * g.width + x[None, :, None, :]) * g.words
    inside = np.broadcast_to(inside_y[:, None, :, None] & inside_x[None, :, None, :], word.shape)
    # [oy, ox, b, nf, ky, kx, w]
    shape = (*word.shape[:2], g.blocks, g.outer, *g.kernel, g.block_words)
    block = np.arange(g.words).reshape(g.blocks, 1, 1, 1, g.block_words)
    word = np.broadcast_to(word[:, :, None, None, :, :, None] + block, shape).ravel()
    inside = np.broadcast_to(inside[:, :, None, None, :, :, None], shape).ravel()
    steps, words = np.nonzero(inside)[0], word[inside]
    image = np.arange(inferences)[:, None]
    return (
        (steps + image * g.steps).ravel().astype(np.int64),
        (words + image * g.image_words).ravel().astype(np.int64),
    )


def window_frees(g: WindowGeometry, capacity: int, inferences: int) -> tuple[IntArray, IntArray]:
    """Words whose place is free only after a step of the reader, and that step."""
    freed = np.fromiter(g.freed(inferences), dtype=np.int64)
    words = np.arange(g.image_words * inferences, dtype=np.int64)
    # The first release unit during which the word may be written.
    unit = np.searchsorted(freed, words - capacity, side="right")
    waits = unit > 0
    # Beyond the last unit there is nothing to wait for but the last step of all.
    step = np.minimum(unit[waits] * g.release_steps, g.steps * inferences) - 1
    return words[waits], step
