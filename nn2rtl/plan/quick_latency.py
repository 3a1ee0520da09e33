"""Latency of one inference, estimated in microseconds of computing rather than seconds.

Each layer begins when the part of its operand is there that its first result needs, and works at
its own pace; it ends no earlier than its last operand and the work that waits for that one allow.
The exact schedule (`nn2rtl.plan.timing`) decides; this finds what is worth scheduling.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nn2rtl.ir import integer as ig
from nn2rtl.ir.types import IntTensor
from nn2rtl.plan.streams import Layer

STAGE_CYCLES = 20
"""Registers and FIFO of a stage."""


@dataclass(frozen=True)
class _Step:
    """A layer: how much of its operand its first result needs, and its last operand delays."""

    name: str
    node: str
    inputs: tuple[str, ...]
    first: float
    last: float


class QuickLatency:
    """Estimate of a network's latency for the cycles of its layers.

    Parameters
    ----------
    graph : IntegerGraph
        The network.
    layers : list of Layer
        All its layers.
    """

    def __init__(self, graph: ig.IntegerGraph, layers: list[Layer]) -> None:
        self.source = next(node.name for node in graph if isinstance(node.op, ig.Input))
        self.steps = [
            _Step(layer.name, layer.node.name, layer.inputs, *_shares(graph, layer))
            for layer in layers
        ]

    def __call__(self, cycles: Mapping[str, int], input_cycles: int) -> float:
        """Cycles from the first input to the last output.

        Parameters
        ----------
        cycles : mapping of str to int
            Cycles an inference of each layer that has a folding, by node name.
        input_cycles : int
            Cycles that the input takes.
        """
        begin, end = {self.source: 0.0}, {self.source: float(input_cycles)}
        for step in self.steps:
            own = cycles.get(step.node, 0)
            ready = max(
                begin[name] + step.first * (end[name] - begin[name]) for name in step.inputs
            )
            start = ready + STAGE_CYCLES
            given = max(end[name] for name in step.inputs) + STAGE_CYCLES
            begin[step.name] = start
            end[step.name] = max(start + own, given + step.last * own)
        return end[self.steps[-1].name]


def _shares(graph: ig.IntegerGraph, layer: Layer) -> tuple[float, float]:
    op, operand = layer.node.op, graph.types[layer.node.inputs[0]]
    if isinstance(op, ig.Conv | ig.MaxPool | ig.SumPool):
        return _window_shares(op.window, operand, graph.types[layer.node.name])
    if isinstance(op, ig.Gather):
        return (float(op.index[0]) + 1) / operand.size, 0.0
    if isinstance(op, ig.ArgMax | ig.Softmax):
        return 1.0, 1.0
    return 1 / (operand.shape[0] * operand.shape[1]), 0.0


def _window_shares(
    window: ig.Window, operand: IntTensor, result: IntTensor
) -> tuple[float, float]:
    height, width = operand.shape[:2]
    rows, columns = (
        max(1, (window.kernel[a] - 1) * window.dilation[a] + 1 - window.pads[a]) for a in (0, 1)
    )
    first = ((min(rows, height) - 1) * width + min(columns, width)) / (height * width)
    reach = (window.kernel[0] - 1) * window.dilation[0] - window.pads[0]
    waiting = sum(
        row * window.stride[0] + reach >= height - 1 for row in range(result.shape[0])
    )
    positions = result.shape[0] * result.shape[1]
    last = (max(0, waiting - 1) * result.shape[1] + 1) / positions
    return first, last
