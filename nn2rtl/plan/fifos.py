"""FIFO depths: enough never to slow the network down, proven by its schedule."""

from __future__ import annotations

from dataclasses import replace

from nn2rtl.plan.components import stage_latency
from nn2rtl.plan.schedule import DeadlockError
from nn2rtl.plan.serial import covered_depth
from nn2rtl.plan.stages import (
    MIN_DEPTH,
    AnyStage,
    ConcatStage,
    ConvStage,
    ForkStage,
    GatherStage,
    Plan,
    PoolStage,
)
from nn2rtl.plan.streams import complete_forks
from nn2rtl.plan.timing import Schedule, Timing

BRANCH_DEPTH = 2
INFERENCES = 4

MAX_STEPS = 30_000_000
"""Steps of all processes, in schedules that are tried for still smaller depths."""

Edge = tuple[str, str]
"""Names of a stage and of one of its readers."""


def with_depths(plan: Plan) -> Plan:
    """The plan with the depth of every FIFO.

    An output FIFO behind an engine covers the engine's own latency at the rate at which it can
    yield outputs. Of the branches of a fork the one with the longest way to the output sets the
    pace, with a shallow FIFO; the FIFOs of the others get the least depth with which every beat
    leaves as early as with unlimited ones. So do the FIFOs ahead of a concatenation, which lets
    its operands wait for their turn.
    """
    plan = replace(plan, stages=tuple(_covered(stage) for stage in plan.stages))
    plan = complete_forks(plan, BRANCH_DEPTH)
    found = _unlimited(plan)
    if found is None:
        return plan
    edges, ideal = found
    least = {edge: _depth(plan, edge) for edge in edges}
    plan = _with_all(plan, ideal.peaks, least)
    # A deep FIFO takes a cycle longer than the ideal one.
    schedule = Schedule(plan, INFERENCES)
    target = schedule.solve()
    # Steps that come just in time need fewer places than those that come as soon as they may.
    late = Schedule(plan, INFERENCES, frozenset(edges)).late_peaks()
    lean = _with_all(plan, late, least)
    if Schedule(lean, INFERENCES).keeps_to(target.output_cycles):
        plan = lean
    tries = MAX_STEPS // sum(process.steps for process in schedule.processes)
    return _refined(plan, least, target, tries)


def _refined(plan: Plan, least: dict[Edge, int], target: Timing, tries: int) -> Plan:
    """The plan with the least depths, one after the other, as far as so many schedules tell."""
    bits = {stage.name: stage.result.bits for stage in plan.stages}
    depths = {edge: _depth(plan, edge) for edge in least}
    # The FIFO that costs most first: what it gives up, another may need.
    for edge in sorted(least, key=lambda edge: (-depths[edge] * bits[edge[0]], edge)):
        low, high, stride = least[edge], depths[edge], 1
        while low < high and tries > 0:
            # Strides that double, then halves: as a rule little is left to be gained.
            middle = max(high - stride, (low + high) // 2)
            tries -= 1
            if Schedule(with_places(plan, edge, middle), INFERENCES).keeps_to(target.output_cycles):
                high, stride = middle, 2 * stride
            else:
                low = middle + 1
        plan = with_places(plan, edge, high)
    return plan


def _with_all(plan: Plan, peaks: dict[Edge, int], least: dict[Edge, int]) -> Plan:
    for edge, places in least.items():
        plan = with_places(plan, edge, max(places, peaks[edge]))
    return plan


def _unlimited(plan: Plan) -> tuple[list[Edge], Timing] | None:
    """FIFOs whose depth is to be found, and the timing with unlimited ones."""
    branches = {
        (stage.name, reader): reader == _longest(plan, stage)
        for stage in plan.stages
        if isinstance(stage, ForkStage)
        for reader, _ in stage.branches
    }
    forks = {fork for fork, _ in branches}
    joined = [
        (name, stage.name)
        for stage in plan.stages
        if isinstance(stage, ConcatStage)
        for name in stage.inputs
        if name not in forks and name != plan.input.name
    ]
    short = [edge for edge, longest in branches.items() if not longest] + joined
    if not short:
        return None
    try:
        timing = Schedule(plan, INFERENCES, frozenset(short)).solve()
    except DeadlockError:
        timing = None
    if timing and not any(isinstance(stage, ConcatStage | GatherStage) for stage in plan.stages):
        return short, timing
    # These keep what they read for long: each branch may have to wait for any other one.
    every = [*branches, *joined]
    best = Schedule(plan, INFERENCES, frozenset(every)).solve()
    if timing and timing.output_cycles[-1] == best.output_cycles[-1]:
        return short, timing
    return every, best


def _depth(plan: Plan, edge: Edge) -> int:
    stage = next(stage for stage in plan.stages if stage.name == edge[0])
    return dict(stage.branches)[edge[1]] if isinstance(stage, ForkStage) else stage.depth


def with_places(plan: Plan, edge: Edge, places: int) -> Plan:
    """The plan with another depth of the FIFO between a stage and one of its readers."""
    stages: list[AnyStage] = []
    for stage in plan.stages:
        if stage.name == edge[0]:
            if isinstance(stage, ForkStage):
                branches = tuple((r, places if r == edge[1] else d) for r, d in stage.branches)
                stage = replace(stage, branches=branches)
            else:
                stage = replace(stage, depth=places)
        stages.append(stage)
    return replace(plan, stages=tuple(stages))


def _longest(plan: Plan, fork: ForkStage) -> str:
    """The reader from which the way to the output passes the most line buffers."""
    length: dict[str, int] = {}
    for stage in reversed(plan.stages):
        after = [length[s.name] for s in plan.stages if stage.name in s.inputs]
        own = int(isinstance(stage, ConvStage | PoolStage | GatherStage))
        length[stage.name] = max(after, default=0) + own
    return max((reader for reader, _ in fork.branches), key=lambda reader: length[reader])


def _covered(stage: AnyStage) -> AnyStage:
    if isinstance(stage, ForkStage):
        return stage
    latency = stage_latency(replace(stage, depth=MIN_DEPTH))
    spacing = stage.geometry.group_steps if isinstance(stage, ConvStage | PoolStage) else 1
    words = stage.group_words if isinstance(stage, ConvStage) else 1
    return replace(stage, depth=covered_depth(latency.pipe + latency.fifo, spacing, words))
