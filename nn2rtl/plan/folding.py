"""Folding of each layer: the fastest balanced design that fits a budget.

A folded layer takes ``positions x taps x (inputs / SIMD) x (outputs / PE)`` cycles an inference;
of a grouped convolution these are the channels of one group, times the turns that the groups take.
For a target interval each layer takes the cheapest folding that meets it; the least target whose
design fits the budget wins. Layers that could be slower than the slowest are given twice its rate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from nn2rtl.boards.resources import Resources
from nn2rtl.errors import OptionsError
from nn2rtl.ir import integer as ig
from nn2rtl.options import LayerOptions
from nn2rtl.plan.cost_buffer import Buffer, pixel_geometry
from nn2rtl.plan.cost_parts import price
from nn2rtl.plan.lanes import MAX_STREAM_BITS, divisors
from nn2rtl.plan.stages import groups_at_once
from nn2rtl.plan.streams import Folding, Layer, window_folds

MAX_PRODUCTS = 4096
"""Most products a layer may compute at once."""


@dataclass(frozen=True)
class Candidate:
    """A folding of a layer, with its interval in cycles and its cost."""

    folding: Folding
    cycles: int
    cost: Resources


Cost = Callable[[Layer, Folding], Resources]
Candidates = Mapping[str, list[Candidate]]


def layer_cycles(graph: ig.IntegerGraph, layer: Layer, folding: Folding) -> int:
    """Cycles an inference that a layer needs for its input, its steps and its output."""
    op, operand = layer.node.op, graph.types[layer.node.inputs[0]]
    if isinstance(op, ig.Conv | ig.MaxPool | ig.SumPool):
        pixel = pixel_geometry(op, operand.shape[0], operand.shape[1])
        return Buffer(pixel, *window_folds(op, operand.channels, folding)).cycles
    return operand.size // folding.simd


def conv_pairs(op: ig.Conv) -> list[tuple[int, int]]:
    """PE and SIMD that a convolution can have.

    Of a grouped one either both divide the channels of one group, or both make the same number of
    whole groups, which divides all: otherwise the channels of its result would be out of order.
    """
    outputs, inputs = op.weight.shape[0] // op.groups, int(op.weight.shape[3])
    within = [(pe, simd) for pe in divisors(outputs) for simd in divisors(inputs)]
    return within + [(n * outputs, n * inputs) for n in divisors(op.groups)[1:]]


def choices(graph: ig.IntegerGraph, layer: Layer, wanted: LayerOptions, dsp: bool) -> list[Folding]:
    """The foldings that a layer can have, within the user's choices.

    Raises
    ------
    OptionsError
        If the user's choice does not divide the layer, naming the nearest that does, or if it
        makes a stream too wide.
    """
    op, operand = layer.node.op, graph.types[layer.node.inputs[0]]
    result = graph.types[layer.name]
    inputs, outputs = operand.channels, graph.types[layer.node.name].channels
    for name, value, whole in (("pe", wanted.pe, outputs), ("simd", wanted.simd, inputs)):
        if value is not None and whole % value:
            nearest = min(divisors(whole), key=lambda d: (abs(d - value), d))
            raise OptionsError(
                f"{name} {value} does not divide its {whole} channels",
                node=layer.node.name,
                remedy=f"the nearest that does is {nearest}",
            )
    free = not (wanted.pe or wanted.simd)
    if isinstance(op, ig.Conv):
        pairs = [
            (pe, simd)
            for pe, simd in _wanted_pairs(layer, op, wanted)
            if pe * simd // groups_at_once(op, simd) <= MAX_PRODUCTS or not free
        ]
    else:
        if wanted.pe and wanted.simd and wanted.pe != wanted.simd:
            raise OptionsError(
                f"pe {wanted.pe} and simd {wanted.simd} of a pooling differ",
                node=layer.node.name,
                remedy="give one of them: a pooling takes and yields the same channels",
            )
        fixed = wanted.pe or wanted.simd
        pairs = [(lanes, lanes) for lanes in ([fixed] if fixed else divisors(inputs))]
    found = [
        Folding(pe, simd, dsp)
        for pe, simd in pairs
        if (simd * operand.type.width <= MAX_STREAM_BITS or simd == 1)
        and (pe * result.type.width <= MAX_STREAM_BITS or pe == 1)
    ]
    if not found:
        raise OptionsError(
            f"pe or simd make a stream of more than {MAX_STREAM_BITS} bits",
            node=layer.node.name,
            remedy=f"choose less: its operand has {operand.type.width} bits an element, its "
            f"result {result.type.width}",
        )
    return found


def _wanted_pairs(layer: Layer, op: ig.Conv, wanted: LayerOptions) -> list[tuple[int, int]]:
    """PE and SIMD of a convolution as the user wants them, each of which divides its channels.

    Raises
    ------
    OptionsError
        If they do not keep to the groups, naming the nearest that do.
    """
    every = conv_pairs(op)
    given = wanted.pe, wanted.simd
    pairs = [
        pair for pair in every
        if all(want in (None, value) for want, value in zip(given, pair, strict=True))
    ]
    if pairs:
        return pairs

    def distance(pair: tuple[int, int]) -> int:
        return sum(abs(v - want) for v, want in zip(pair, given, strict=True) if want)

    def named(pair: tuple[int | None, int | None]) -> str:
        texts = (f"pe {pair[0]}", f"simd {pair[1]}")
        return " and ".join(text for text, want in zip(texts, given, strict=True) if want)

    best = min(every, key=lambda pair: (distance(pair), pair))
    raise OptionsError(
        f"{named(given)} cannot keep to its {op.groups} groups of "
        f"{op.weight.shape[3]} inputs and {op.weight.shape[0] // op.groups} outputs",
        node=layer.node.name,
        remedy=f"the nearest that can is {named(best)}: pe and simd divide the channels of one "
        "group, or make the same number of whole groups",
    )


def foldings(
    graph: ig.IntegerGraph,
    layers: list[Layer],
    options: Mapping[str, LayerOptions],
    dsp: bool,
    cost: Cost,
) -> Candidates:
    """All foldings of all layers that are worth choosing, by node name and ascending cycles.

    Parameters
    ----------
    graph : IntegerGraph
        The network.
    layers : list of Layer
        Its layers that can be folded.
    options : mapping of str to LayerOptions
        The user's choices, by node name.
    dsp : bool
        Whether DSP slices may be used.
    cost : callable
        Resources of a folded layer.
    """
    found: dict[str, list[Candidate]] = {}
    for layer in layers:
        wanted = options.get(layer.node.name, LayerOptions())
        kinds = [False, True] if dsp else [False]
        if wanted.dsp is not None:
            kinds = [wanted.dsp and dsp]
        found[layer.node.name] = _pareto(
            [
                Candidate(f, layer_cycles(graph, layer, f), cost(layer, f))
                for use_dsp in kinds
                for f in choices(graph, layer, wanted, use_dsp)
            ]
        )
    return found


def intervals(candidates: Candidates) -> list[int]:
    """All cycles that some layer can take, ascending."""
    return sorted({c.cycles for options in candidates.values() for c in options})


def within(candidates: Candidates, cycles: int) -> Candidates:
    """The candidates that keep to an interval; of a layer that has none, the fastest."""
    return {
        name: [c for c in options if c.cycles <= cycles] or options[:1]
        for name, options in candidates.items()
    }


def _pareto(candidates: list[Candidate]) -> list[Candidate]:
    """Candidates that none beats in cycles and every resource, by ascending cycles."""
    best: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda c: (c.cycles, price(c.cost))):
        cost = candidate.cost
        if not any(
            other.cost.lut <= cost.lut
            and other.cost.ff <= cost.ff
            and other.cost.bram36 <= cost.bram36
            and other.cost.dsp <= cost.dsp
            for other in best
        ):
            best.append(candidate)
    return best
