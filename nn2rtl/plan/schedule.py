"""Exact token-level schedule of a network of processes.

Every engine is one or two processes; a process is a static sequence of steps, at most one a cycle.
A step waits for steps of other processes: for the word that it reads, or for the place that it
writes to. All rates are static, so each such dependence is known beforehand:

    t[step] >= t[source step] + delay,    t[step] >= t[step - 1] + 1,    t[0] >= 0

Hardware takes every step as soon as it may, so the times are the least solution. It is found by
relaxation from below: each sweep recomputes whole processes with array operations. (The system is
a timed marked graph; Baccelli, Cohen, Olsder, Quadrat: Synchronization and Linearity, 1992.)
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from nn2rtl.errors import Nn2RtlError
from nn2rtl.ir.types import IntArray


class DeadlockError(Nn2RtlError):
    """A process can never take its next step."""


@dataclass(frozen=True, eq=False)
class Dependence:
    """``t[steps[i]] >= t_source[source_steps[i]] + delay``.

    Parameters
    ----------
    steps, source_steps : int64 arrays
        Equally long; `steps` without repetitions.
    source : str
        Name of the process waited for.
    delay : int
        Cycles.
    """

    steps: IntArray
    source: str
    source_steps: IntArray
    delay: int


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
    latency: int,
    depth: int | None,
) -> None:
    """Join two processes by a FIFO with credits.

    Parameters
    ----------
    produced, consumed : int64 arrays
        Step of the producer that issues, of the consumer that takes, each token.
    latency : int
        Cycles from the issue to the cycle in which the token can be taken.
    depth : int or None
        Places of the FIFO; a place is taken from the issue of a token until the cycle after it
        leaves. None: unlimited.
    """
    consumer.waits.append(Dependence(consumed, producer.name, produced, latency))
    if depth is not None and depth < len(produced):
        producer.waits.append(
            Dependence(produced[depth:], consumer.name, consumed[: len(consumed) - depth], 1)
        )


def solve(processes: list[Process], max_sweeps: int = 100_000) -> dict[str, IntArray]:
    """Cycle of every step of every process.

    Parameters
    ----------
    processes : list of Process
        In the order of the data flow, for speed.

    Returns
    -------
    dict of str to int64 array
        For each process the cycle of each step; cycle 0 is the first in which anything can happen.

    Raises
    ------
    DeadlockError
        If some step never happens, naming the process.
    """
    ramps = {p.name: np.arange(p.steps, dtype=np.int64) for p in processes}
    times = {p.name: ramps[p.name].copy() for p in processes}
    readers: dict[str, set[str]] = {p.name: set() for p in processes}
    for process in processes:
        for wait in process.waits:
            readers[wait.source].add(process.name)
    # No live schedule is longer than one in which all steps of all processes follow each other.
    bound = sum(p.steps * (1 + max((w.delay for w in p.waits), default=0)) for p in processes)
    dirty = {p.name for p in processes}
    forward = True
    for _ in range(max_sweeps):
        for process in processes if forward else reversed(processes):
            if process.name not in dirty:
                continue
            dirty.discard(process.name)
            ramp = ramps[process.name]
            earliest = times[process.name] - ramp
            for wait in process.waits:
                due = times[wait.source][wait.source_steps] + (wait.delay - wait.steps)
                earliest[wait.steps] = np.maximum(earliest[wait.steps], due)
            found = np.maximum.accumulate(earliest) + ramp
            if not np.array_equal(found, times[process.name]):
                times[process.name] = found
                dirty |= readers[process.name]
                if found[-1] > bound:
                    raise _deadlock(process.name)
        if not dirty:
            return times
        forward = not forward
    raise _deadlock(sorted(dirty)[0])


def _deadlock(name: str) -> DeadlockError:
    return DeadlockError(
        "the schedule deadlocks",
        node=name,
        remedy="give its FIFOs or line buffers more depth",
    )
