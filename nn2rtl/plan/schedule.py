"""Exact token-level schedule of a network of processes.

Every engine is one or two processes; a process is a static sequence of steps, at most one a cycle.
A step waits for steps of other processes: for the word that it reads, or for the place that it
writes to. All rates are static, so each such dependence is known beforehand:

    t[step] >= t[source step] + delay,    t[step] >= t[step - 1] + 1,    t[0] >= 0

Hardware takes every step as soon as it may, so the times are the least solution. It is found by
relaxation from below, one window of time after the other: each sweep recomputes the steps of whole
processes in the window with array operations. (The system is a timed marked graph; Baccelli, Cohen,
Olsder, Quadrat: Synchronization and Linearity, 1992.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from nn2rtl.errors import Nn2RtlError
from nn2rtl.ir.types import IntArray

WINDOW = 4096
"""Cycles that are solved together."""


class DeadlockError(Nn2RtlError):
    """A process can never take its next step."""


class LateError(Exception):
    """A step is later than its deadline."""


@dataclass(frozen=True, eq=False)
class Dependence:
    """``t[steps[i]] >= t_source[source_steps[i]] + delay``.

    Parameters
    ----------
    steps, source_steps : int64 arrays
        Equally long; `steps` without repetitions.
    source : str
        Name of the process waited for.
    delay : int64 array, or int for all
        Cycles.
    """

    steps: IntArray
    source: str
    source_steps: IntArray
    delay: IntArray | int

    def delays(self, which: slice | IntArray) -> IntArray | int:
        """Delay of some of them."""
        return self.delay if isinstance(self.delay, int) else self.delay[which]


@dataclass(eq=False)
class Process:
    """A static sequence of steps.

    Parameters
    ----------
    name : str
        Unique name.
    steps : int
        Number of steps, over all inferences that are scheduled.
    """

    name: str
    steps: int
    waits: list[Dependence] = field(default_factory=list)


def connect(
    producer: Process,
    produced: IntArray,
    consumer: Process,
    consumed: IntArray,
    *,
    latency: IntArray | int,
    depth: int | None,
) -> None:
    """Join two processes by a FIFO with credits.

    Parameters
    ----------
    produced, consumed : int64 arrays
        Step of the producer that issues, of the consumer that takes, each token. A step may issue
        several tokens: if all of them have places.
    latency : int64 array, or int for all
        Cycles from the issue to the cycle in which each token can be taken.
    depth : int or None
        Places of the FIFO; a place is taken from the issue of a token until the cycle after it
        leaves. None: unlimited.
    """
    consumer.waits.append(Dependence(consumed, producer.name, produced, latency))
    if depth is not None and depth < len(produced):
        # The last token of a step has its place last.
        last = np.nonzero(np.append(produced[1:] != produced[:-1], np.True_))[0]
        last = last[last >= depth]
        producer.waits.append(
            Dependence(produced[last], consumer.name, consumed[last - depth], 1)
        )


def solve(
    processes: list[Process], deadlines: Mapping[str, IntArray] | None = None
) -> dict[str, IntArray]:
    """Cycle of every step of every process.

    Parameters
    ----------
    processes : list of Process
        In the order of the data flow, for speed.
    deadlines : mapping of str to int64 array, optional
        For some processes the latest cycle of each step: if one is later, nothing more is solved.

    Returns
    -------
    dict of str to int64 array
        For each process the cycle of each step; cycle 0 is the first in which anything can happen.

    Raises
    ------
    DeadlockError
        If some step never happens, naming the process.
    LateError
        If a step is later than its deadline.
    """
    longest = max(
        (int(np.max(wait.delay, initial=0)) for process in processes for wait in process.waits),
        default=0,
    )
    span = max(WINDOW, 2 * longest)
    windows = [_Window(process, span) for process in processes]
    by_name = {window.process.name: window for window in windows}
    for name, deadline in (deadlines or {}).items():
        by_name[name].deadline = deadline
    readers: dict[str, list[_Window]] = {name: [] for name in by_name}
    for window in windows:
        for wait in window.process.waits:
            readers[wait.source].append(window)
    start = 0
    while any(window.unfinished for window in windows):
        for window in windows:
            window.begin(start)
        _settle(windows, by_name, readers)
        start += span
        # No wait is as long as a window: one without a step is followed by none with a step.
        if not sum(window.finish(start) for window in windows):
            raise _deadlock(next(w.process.name for w in windows if w.unfinished))
    return {name: window.times[:-1] for name, window in by_name.items()}


def solve_late(
    processes: list[Process], last: str, deadlines: IntArray
) -> dict[str, IntArray]:
    """Latest cycle of every step with which a process still keeps to its deadlines.

    It is the least solution of the same system with time and steps reversed.

    Parameters
    ----------
    processes : list of Process
        As for `solve`.
    last : str
        Process with deadlines.
    deadlines : int64 array
        Cycle of each of its steps, ascending; a solution of the system must keep to them.

    Returns
    -------
    dict of str to int64 array
        For each process the cycle of each step. What no deadline depends on is as late as the last.
    """
    end = int(deadlines[-1])
    clock = Process("clock", end + 1)
    mirrored = {process.name: Process(process.name, process.steps) for process in processes}
    for process in processes:
        for wait in process.waits:
            if not len(wait.steps):
                continue
            # Of several steps that wait for one, the earliest one bounds it: their delays grow by
            # a cycle each at most.
            order = np.lexsort((-wait.steps, -wait.source_steps))
            sources, steps = wait.source_steps[order], wait.steps[order]
            keep = np.append(sources[1:] != sources[:-1], np.True_)
            source = mirrored[wait.source]
            source.waits.append(
                Dependence(
                    source.steps - 1 - sources[keep],
                    process.name,
                    process.steps - 1 - steps[keep],
                    wait.delays(order[keep]),
                )
            )
    every = np.arange(len(deadlines))
    mirrored[last].waits.append(Dependence(every, clock.name, end - deadlines[::-1], 0))
    times = solve([clock, *reversed(mirrored.values())])
    return {name: end - times[name][::-1] for name in mirrored}


def _settle(
    windows: list[_Window], by_name: dict[str, _Window], readers: dict[str, list[_Window]]
) -> None:
    """Recompute processes until none changes, alternately down and up the data flow."""
    dirty = {window.process.name for window in windows}
    forward = True
    while dirty:
        for window in windows if forward else reversed(windows):
            name = window.process.name
            if name in dirty:
                dirty.discard(name)
                if window.relax(by_name):
                    dirty.update(reader.process.name for reader in readers[name])
        forward = not forward


class _Window:
    """The steps of a process that may happen within a window of time.

    Steps after the window do not bear on those in it, so windows are solved one after the other;
    in a window of n cycles a process takes n steps at most.
    """

    def __init__(self, process: Process, span: int) -> None:
        self.process = process
        self.span = span
        self.times: IntArray = np.zeros(process.steps + 1, dtype=np.int64)
        self.first = self.last = self.horizon = 0
        # Name of the process waited for, own steps, its steps, delay less own step.
        self.cuts: list[tuple[str, IntArray, IntArray, IntArray]] = []
        self.deadline: IntArray | None = None

    @property
    def unfinished(self) -> bool:
        return self.first < self.process.steps

    def begin(self, start: int) -> None:
        """Take the steps of the window from cycle `start` on; each as early as may be."""
        self.horizon = start + self.span
        self.last = min(self.first + self.span, self.process.steps)
        ramp = np.arange(self.last - self.first, dtype=np.int64)
        if self.first:
            start = max(start, int(self.times[self.first - 1]) + 1)
        self.times[self.first : self.last] = start + ramp
        self.times[self.last] = self.horizon  # stands for all later ones
        self.cuts = []
        for wait in self.process.waits:
            low, high = np.searchsorted(wait.steps, (self.first, self.last))
            if high > low:
                steps = wait.steps[low:high] - self.first
                delays = wait.delays(slice(low, high)) - steps
                self.cuts.append((wait.source, steps, wait.source_steps[low:high], delays))

    def relax(self, others: dict[str, _Window]) -> bool:
        """Move the steps to where the steps that they wait for allow; whether any moved."""
        if self.first == self.last:
            return False
        now = self.times[self.first : self.last]
        ramp = np.arange(len(now), dtype=np.int64)
        earliest = now - ramp
        for source, steps, sources, delays in self.cuts:
            other = others[source]
            due = other.times[np.minimum(sources, other.last)] + delays
            earliest[steps] = np.maximum(earliest[steps], due)
        found = np.maximum.accumulate(earliest) + ramp
        # What is beyond the window is settled in a later one.
        np.minimum(found, self.horizon, out=found)
        if np.array_equal(found, now):
            return False
        # Times only grow from here on.
        if self.deadline is not None and (found > self.deadline[self.first : self.last]).any():
            raise LateError(self.process.name)
        self.times[self.first : self.last] = found
        return True

    def finish(self, horizon: int) -> int:
        """Keep the steps ahead of the horizon; return their number."""
        before = self.first
        inside = self.times[self.first : self.last]
        self.first += int(np.searchsorted(inside, horizon))
        return self.first - before


def _deadlock(name: str) -> DeadlockError:
    return DeadlockError(
        "the schedule deadlocks",
        node=name,
        remedy="give its FIFOs or line buffers more depth",
    )
