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
        if op.weight.ndim != 4 or op.weight.shape[3] * op.groups != operand.channels:
            return "weights are [outputs, height, width, operand's channels / groups]"
        if op.weight.shape[0] % op.groups:
            return "outputs divide into groups"
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
    elif isinstance(op, ig.Gather):
        if op.index.shape != (result.size,) or op.index.max() >= operand.size:
            return "there is an index into the operand for each element"
        if (op.index < 0).any() and not kind.low <= op.fill <= kind.high:
            return "the result's type holds the filling"
        expected = result.shape
    elif isinstance(op, ig.Concat):
        return _join_problem(op, operands, result)
    elif isinstance(op, ig.Lookup):
        if operand.type.low < op.low or operand.type.high >= op.low + len(op.table):
            return "the table has an entry for each operand"
        if op.table.min() < kind.low or op.table.max() > kind.high:
            return "the result's type holds every entry"
        expected = operand.shape
    elif isinstance(op, ig.WeightedSum | ig.Product):
        if len(operands) != 2 or operands[0].shape != operands[1].shape:
            return "a sum or product has two operands of one shape"
        expected = operand.shape
    elif isinstance(op, ig.Softmax):
        if op.numerators.shape != op.denominators.shape or not op.denominators.max() > 0:
            return "the tables of a softmax are equally long, and not of zeros"
        if (op.low, op.high) != (kind.low, kind.high):
            return "the result's type is that of the clip"
        expected = operand.shape
    elif isinstance(op, ig.Reshape):
        return "" if operand.size == result.size else "a reshape keeps the number of elements"
    else:
        expected = (1, 1, 1)
    return "" if expected == result.shape else f"the shape is {expected}, not {result.shape}"


def _join_problem(op: ig.Concat, operands: list[IntTensor], result: IntTensor) -> str:
    if not 0 <= op.axis <= 2:
        return "tensors are joined along height, width or channels"
    expected = list(operands[0].shape)
    expected[op.axis] = sum(operand.shape[op.axis] for operand in operands)
    if expected != list(result.shape):
        return f"the shape is {expected}, not {result.shape}"
    for operand in operands:
        others = [n for axis, n in enumerate(operand.shape) if axis != op.axis]
        if others != [n for axis, n in enumerate(expected) if axis != op.axis]:
            return "joined tensors agree in the other axes"
        if operand.type.low < result.type.low or operand.type.high > result.type.high:
            return "the result's type holds every operand"
    return ""
