"""Plan an integer graph for a board: foldings, streams, FIFO depths, timing and cost."""

from __future__ import annotations

from dataclasses import dataclass

from nn2rtl.boards.resources import Resources
from nn2rtl.errors import OptionsError, UnsupportedError
from nn2rtl.ir import integer as ig
from nn2rtl.options import Options
from nn2rtl.plan.cost import layer_cost, stage_cost
from nn2rtl.plan.fifos import INFERENCES, with_depths
from nn2rtl.plan.folding import Candidate, FoldingSearch, area
from nn2rtl.plan.stages import Plan
from nn2rtl.plan.streams import StreamBuilder, layers
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
        If a choice for a layer does not fit it, or names no layer; if the interval that is asked
        for cannot be reached.
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
    search = FoldingSearch(
        graph, foldable, options.layers, options.dsp,
        lambda layer, folding: layer_cost(graph, layer, folding),
    )

    def fits(chosen: dict[str, Candidate]) -> bool:
        quick = Resources.total(c.cost for c in chosen.values())
        return quick.fits(budget) and _total(_build(graph, chosen)).fits(budget)

    if options.interval_cycles is None:
        return _planned(graph, search, search.search(budget, fits))
    return _within(graph, search, budget, options.interval_cycles)


def _within(
    graph: ig.IntegerGraph, search: FoldingSearch, budget: Resources, cycles: int
) -> Planned:
    """The cheapest design whose exact interval is at most `cycles`.

    The interval may be a little longer than that of the slowest layer, where streams stall.
    """
    tried = []
    for chosen in search.within(cycles, budget):
        planned = _planned(graph, search, chosen)
        if planned.timing.interval_cycles <= cycles:
            return planned
        tried.append(planned.timing.interval_cycles)
        if len(tried) == MAX_TRIES:
            break
    raise OptionsError(
        f"an interval of {cycles} cycles is out of reach",
        remedy=f"allow {min(tried)} cycles",
    )


def _planned(
    graph: ig.IntegerGraph, search: FoldingSearch, chosen: dict[str, Candidate]
) -> Planned:
    plan = with_depths(_build(graph, _joined(graph, search, chosen)))
    costs = {stage.name: stage_cost(stage) for stage in plan.stages}
    timing = Schedule(plan, INFERENCES).solve()
    return Planned(plan, timing, costs, Resources.total(costs.values()))


def _joined(
    graph: ig.IntegerGraph, search: FoldingSearch, chosen: dict[str, Candidate]
) -> dict[str, Candidate]:
    """Give poolings the lanes that cost least in all, width converters around them included."""
    for layer in search.layers:
        name = layer.node.name
        if isinstance(layer.node.op, ig.Conv):
            continue
        options = [c for c in search.candidates[name][0] if c.cycles <= chosen[name].cycles]
        chosen[name] = min(
            options, key=lambda c: area(_total(_build(graph, {**chosen, name: c})))
        )
    return chosen


def _build(graph: ig.IntegerGraph, chosen: dict[str, Candidate]) -> Plan:
    return StreamBuilder(graph, {name: c.folding for name, c in chosen.items()}).build()


def _total(plan: Plan) -> Resources:
    return Resources.total(stage_cost(stage) for stage in plan.stages)


def retimed(planned: Planned, inferences: int) -> Timing:
    """Exact timing of any number of back-to-back inferences."""
    return Schedule(planned.plan, inferences).solve()
