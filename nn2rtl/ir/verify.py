"""Invariants of the integer graph, checked after every pass."""

from __future__ import annotations

from nn2rtl.ir import integer as ig
from nn2rtl.ir.types import IntTensor


class InvariantError(Exception):
    """A pass broke the graph: a defect of nn2rtl, not of the model."""


def verify(graph: ig.IntegerGraph, after: str) -> None:
    """Check a complete integer graph.

    Parameters
    ----------
    graph : IntegerGraph
        What to check.
    after : str
        The pass that made it, for the message.

    Raises
    ------
    InvariantError
        Naming the pass, the node and the invariant.
    """

    def require(condition: bool, node: str, invariant: str) -> None:
        if not condition:
            raise InvariantError(f"after {after}: {node}: {invariant}")

    seen: set[str] = set()
    require(set(graph.types) == set(graph.nodes), graph.name, "every node has a type")
    for node in graph:
        require(set(node.inputs) <= seen, node.name, "operands come first")
        seen.add(node.name)
        result = graph.types[node.name]
        operands = [graph.types[name] for name in node.inputs]
        require(min(result.shape) >= 1, node.name, "a tensor has elements")
        problem = _problem(node.op, operands, result)
        require(not problem, node.name, problem)
    inputs = [node for node in graph if isinstance(node.op, ig.Input)]
    require(len(inputs) == 1, graph.name, "there is one input")
    require(len(graph.outputs) == 1 and graph.outputs[0] in seen, graph.name, "there is one output")
    spec, out = graph.spec()
    size, result_size = graph.types[inputs[0].name].size, graph.types[graph.outputs[0]].size
    require(sorted(spec.order.tolist()) == list(range(size)), spec.name, "order is a permutation")
    require(
        out.index or sorted(out.position.tolist()) == list(range(result_size)),
        out.name,
        "position is a permutation",
    )


def _problem(op: ig.IntOp, operands: list[IntTensor], result: IntTensor) -> str:
    """The invariant that a node breaks, or nothing."""
    if isinstance(op, ig.Input):
        return "an input has no operands" if operands else ""
    operand = operands[0]
    kind = result.type
    if isinstance(op, ig.Conv):
        if op.weight.ndim != 4 or op.weight.shape[3] != operand.channels:
            return "weights are [outputs, height, width, operand's channels]"
        low, high = op.output_ranges(operand.type)
        if (low < kind.low).any() or (high > kind.high).any():
            return "the result's type holds every reachable sum"
        expected = (*op.window.output_size(*operand.shape[:2]), op.weight.shape[0])
    elif isinstance(op, ig.MaxPool | ig.SumPool):
        expected = (*op.window.output_size(*operand.shape[:2]), operand.channels)
    elif isinstance(op, ig.Thresholds):
        if len(op.values) not in (1, operand.channels) or len(op.decreasing) != len(op.values):
            return "thresholds are given for one or for all channels"
        for row, decreasing in zip(op.values, op.decreasing, strict=True):
            ordered = row[::-1] if decreasing else row
            if (ordered[1:] < ordered[:-1]).any():
                return "thresholds are in order"
        if (op.low, op.low + op.values.shape[1]) != (kind.low, kind.high):
            return "the result's type is that of the thresholds"
        expected = operand.shape
    elif isinstance(op, ig.Requantize):
        if len(op.multiplier) not in (1, operand.channels):
            return "multipliers are given for one or for all channels"
        if op.step is not None and (op.half_even or len(op.step) not in (1, operand.channels)):
            return "steps are given for one or for all channels, and not with half_even"
        if (op.low, op.high) != (kind.low, kind.high):
            return "the result's type is that of the clip"
        expected = operand.shape
    elif isinstance(op, ig.WeightedSum):
        if len(operands) != 2 or operands[0].shape != operands[1].shape:
            return "a sum has two operands of one shape"
        expected = operand.shape
    elif isinstance(op, ig.Reshape):
        return "" if operand.size == result.size else "a reshape keeps the number of elements"
    else:
        expected = (1, 1, 1)
    return "" if expected == result.shape else f"the shape is {expected}, not {result.shape}"
