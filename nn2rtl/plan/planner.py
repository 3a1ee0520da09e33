"""Plan an integer graph for a board: foldings, streams, FIFO depths, timing and cost."""

from __future__ import annotations

from dataclasses import dataclass

from nn2rtl.boards.resources import Resources
from nn2rtl.errors import OptionsError, UnsupportedError
from nn2rtl.ir import integer as ig
from nn2rtl.options import Options
from nn2rtl.plan.cost import layer_cost, stage_cost
from nn2rtl.plan.cost_parts import price
from nn2rtl.plan.fifos import INFERENCES, with_depths
from nn2rtl.plan.folding import Candidates, foldings, intervals, within
from nn2rtl.plan.quick_latency import QuickLatency
from nn2rtl.plan.search import Chosen, Room, fastest, used_by
from nn2rtl.plan.stages import Plan
from nn2rtl.plan.streams import Layer, StreamBuilder, layers
from nn2rtl.plan.timing import Schedule, Timing

BRAM_SHARE = 0.95
MAX_TRIES = 12
"""Designs that are timed to keep to an interval."""


@dataclass(frozen=True, eq=False)
class Planned:
    """A plan with what is known of it before anything is built.

    Attributes
    ----------
    plan : Plan
        Stages and streams.
    timing : Timing
        Exact timing of a few back-to-back inferences.
    costs : dict of str to Resources
        Predicted resources of each stage.
    total : Resources
        Their sum.
    """

    plan: Plan
    timing: Timing
    costs: dict[str, Resources]
    total: Resources


def make_plan(graph: ig.IntegerGraph, resources: Resources, options: Options) -> Planned:
    """Plan a network.

    Parameters
    ----------
    graph : IntegerGraph
        With requantizers chosen.
    resources : Resources
        What the board has.
    options : Options
        Budget, and choices for single layers.

    Returns
    -------
    Planned
        The design; it may be larger than the board, if the smallest is.

    Raises
    ------
    OptionsError
        If a choice for a layer does not fit it, or names no layer; if the interval or latency that
        is asked for cannot be reached.
    UnsupportedError
        If there is nothing to compute.
    """
    every = layers(graph)
    if not every:
        raise UnsupportedError(
            "the network computes nothing", node=graph.name, remedy="check the exported model"
        )
    foldable = [
        layer for layer in every if isinstance(layer.node.op, ig.Conv | ig.MaxPool | ig.SumPool)
    ]
    names = [layer.node.name for layer in foldable]
    for name in options.layers:
        if name not in names:
            raise OptionsError(
                f"no layer is named {name!r}", remedy=f"layers with choices: {', '.join(names)}"
            )
    budget = Resources(
        lut=int(resources.lut * options.utilization),
        ff=int(resources.ff * options.utilization),
        bram36=resources.bram36 * BRAM_SHARE,
        dsp=resources.dsp if options.dsp else 0,
        carry=resources.carry,
    )
    candidates = foldings(
        graph, foldable, options.layers, options.dsp,
        lambda layer, folding: layer_cost(graph, layer, folding),
    )
    design = _Design(graph, every, candidates, budget)
    if options.interval_cycles is None and options.latency_cycles is None:
        return design.planned(design.chosen(candidates))
    return _at_speed(design, options)


class _Design:
    """The network and its budget, and what choices of foldings make of them."""

    def __init__(
        self,
        graph: ig.IntegerGraph,
        every: list[Layer],
        candidates: Candidates,
        budget: Resources,
    ) -> None:
        self.graph = graph
        self.candidates = candidates
        self.budget = budget
        self.quick = QuickLatency(graph, every)
        source = next(node.name for node in graph if isinstance(node.op, ig.Input))
        self.size = graph.types[source].size
        self.entry = next(layer.node.name for layer in every if source in layer.inputs)

    def latency(self, chosen: Chosen) -> float:
        """Estimated cycles of an inference."""
        lanes = chosen[self.entry].folding.simd if self.entry in chosen else 1
        cycles = {name: candidate.cycles for name, candidate in chosen.items()}
        return self.quick(cycles, self.size // lanes)

    def chosen(self, candidates: Candidates, target: float = 0.0) -> Chosen:
        """The fastest choice whose whole design fits, or the first to meet a target."""
        whole = Room.of(self.budget)
        room = whole
        for _ in range(MAX_TRIES):
            chosen = fastest(candidates, room, self.latency, target)
            total = self.total(chosen)
            if total.fits(self.budget):
                break
            # Converters, forks and layers without a choice, with a little to spare.
            used = used_by(chosen)
            extra = {name: 1.02 * (total[name] - used[name]) for name in used}
            room = whole.without(extra)
        return chosen

    def plan(self, chosen: Chosen) -> Plan:
        """Stages and streams of a choice, with FIFOs of provisional depths."""
        return StreamBuilder(self.graph, {name: c.folding for name, c in chosen.items()}).build()

    def total(self, chosen: Chosen) -> Resources:
        """Resources of the whole design."""
        return Resources.total(stage_cost(stage) for stage in self.plan(chosen).stages)

    def planned(self, chosen: Chosen) -> Planned:
        """The design with everything known of it."""
        plan = with_depths(self.plan(self._joined(chosen)))
        costs = {stage.name: stage_cost(stage) for stage in plan.stages}
        timing = Schedule(plan, INFERENCES).solve()
        return Planned(plan, timing, costs, Resources.total(costs.values()))

    def _joined(self, chosen: Chosen) -> Chosen:
        """Give poolings the lanes that cost least in all, width converters around them included."""
        chosen = dict(chosen)
        for name in chosen:
            if isinstance(self.graph[name].op, ig.Conv):
                continue
            options = [c for c in self.candidates[name] if c.cycles <= chosen[name].cycles]
            chosen[name] = min(options, key=lambda c: price(self.total({**chosen, name: c})))
        return chosen


def _at_speed(design: _Design, options: Options) -> Planned:
    """The cheapest design whose exact interval and latency are at most as wished.

    The estimate is a little off, and streams stall: tighter wishes are tried until the exact
    timing keeps to the given ones.
    """
    interval, latency = options.interval_cycles, options.latency_cycles
    slowest, goal = interval, latency
    tried: list[Planned] = []
    for _ in range(MAX_TRIES):
        candidates = design.candidates
        if slowest is not None:
            candidates = within(candidates, slowest)
        target = float("inf") if goal is None else goal
        planned = design.planned(design.chosen(candidates, target))
        timing = planned.timing
        late = latency is not None and timing.latency_cycles > latency
        slow = interval is not None and timing.interval_cycles > interval
        if not late and not slow:
            return planned
        tried.append(planned)
        if late and goal is not None and latency is not None:
            goal -= max(1, timing.latency_cycles - latency)
        if slow and slowest is not None:
            smaller = [cycles for cycles in intervals(design.candidates) if cycles < slowest]
            if not smaller:
                break
            slowest = smaller[-1]
    raise _out_of_reach(tried, interval, latency)


def _out_of_reach(
    tried: list[Planned], interval: int | None, latency: int | None
) -> OptionsError:
    parts = []
    nearest = []
    if interval is not None:
        parts.append(f"an interval of {interval} cycles")
        nearest.append(f"{min(p.timing.interval_cycles for p in tried)} cycles of interval")
    if latency is not None:
        parts.append(f"a latency of {latency} cycles")
        nearest.append(f"{min(p.timing.latency_cycles for p in tried)} cycles of latency")
    return OptionsError(
        f"{' with '.join(parts)} is out of reach within the budget",
        remedy=f"allow {' and '.join(nearest)}, or more of the part's resources",
    )


def retimed(planned: Planned, inferences: int) -> Timing:
    """Exact timing of any number of back-to-back inferences."""
    return Schedule(planned.plan, inferences).solve()
