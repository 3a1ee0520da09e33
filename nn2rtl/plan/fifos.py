"""FIFO depths: enough never to slow the network down, proven by its schedule."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nn2rtl.plan.components import stage_latency
from nn2rtl.plan.schedule import DeadlockError
from nn2rtl.plan.stages import AnyStage, ConvStage, ForkStage, Plan, PoolStage
from nn2rtl.plan.streams import complete_forks
from nn2rtl.plan.timing import Schedule, Timing

BRANCH_DEPTH = 2
INFERENCES = 4


def with_depths(plan: Plan) -> Plan:
    """The plan with the depth of every FIFO.

    An output FIFO behind an engine covers the engine's own latency at the rate at which it can
    yield outputs. Of the branches of a fork the one with the longest way to the output sets the
    pace, with a shallow FIFO; the FIFOs of the others get the least depth with which every beat
    leaves as early as with unlimited ones.
    """
    plan = replace(plan, stages=tuple(_covered(stage) for stage in plan.stages))
    plan = complete_forks(plan, BRANCH_DEPTH)
    short = {
        (fork.name, reader)
        for fork in plan.stages
        if isinstance(fork, ForkStage)
        for reader, _ in fork.branches
        if reader != _longest(plan, fork)
    }
    if not short:
        return plan
    ideal = Schedule(plan, INFERENCES, frozenset(short)).solve()
    for edge in sorted(short):
        plan = with_branch(plan, *edge, max(BRANCH_DEPTH, ideal.peaks[edge]))
    for edge in sorted(short):
        low, high = BRANCH_DEPTH, max(BRANCH_DEPTH, ideal.peaks[edge])
        while low < high:
            middle = (low + high) // 2
            if _as_early(with_branch(plan, *edge, middle), ideal):
                high = middle
            else:
                low = middle + 1
        plan = with_branch(plan, *edge, low)
    return plan


def with_branch(plan: Plan, fork: str, reader: str, places: int) -> Plan:
    """The plan with another depth of the FIFO between a fork and one of its readers."""
    stages: list[AnyStage] = []
    for stage in plan.stages:
        if isinstance(stage, ForkStage) and stage.name == fork:
            branches = tuple((r, places if r == reader else d) for r, d in stage.branches)
            stage = replace(stage, branches=branches)
        stages.append(stage)
    return replace(plan, stages=tuple(stages))


def _as_early(plan: Plan, ideal: Timing) -> bool:
    try:
        timing = Schedule(plan, INFERENCES).solve()
    except DeadlockError:
        return False
    return np.array_equal(timing.output_cycles, ideal.output_cycles)


def _longest(plan: Plan, fork: ForkStage) -> str:
    """The reader from which the way to the output passes the most line buffers."""
    length: dict[str, int] = {}
    for stage in reversed(plan.stages):
        after = [length[s.name] for s in plan.stages if stage.name in s.inputs]
        own = int(isinstance(stage, ConvStage | PoolStage))
        length[stage.name] = max(after, default=0) + own
    return max((reader for reader, _ in fork.branches), key=lambda reader: length[reader])


def _covered(stage: AnyStage) -> AnyStage:
    if isinstance(stage, ForkStage):
        return stage
    latency = stage_latency(replace(stage, depth=2))
    spacing = stage.geometry.group_steps if isinstance(stage, ConvStage | PoolStage) else 1
    # Credits are back after pipe + FIFO + 1 cycles; one more place for a reader that hesitates.
    depth = -(-(latency.pipe + latency.fifo + 1) // spacing) + 1
    return replace(stage, depth=max(2, depth))
