"""Quantized sums of two narrow tensors: one pair of weights in place of tables and products.

Such a sum (a residual connection) multiplies each operand by an integer, or looks it up in a table
of wide integers if the dialect rounds it, and multiplies the sum again. All of that is a function
of two narrow integers, and `joint_scaling` finds the narrowest weights that reproduce it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nn2rtl.ir import integer as ig
from nn2rtl.ir.graph import Node
from nn2rtl.ir.types import IntArray, IntTensor, IntType
from nn2rtl.passes.joint_scaling import JointScaling, find_joint_scaling, signed_digits

MAX_OPERAND_WIDTH = 10
"""Widest operand: all pairs are examined."""
_FEW_DIGITS = 3  # two terms and a shift: there is nothing to gain
_HALF_EVEN_WORTH = 1  # terms of the sum that the check for ties must save
_SPLIT_WORTH = 2  # terms of the sum that a second piece must save


@dataclass(frozen=True, eq=False)
class JointSum:
    """A quantized sum with other constants.

    Parameters
    ----------
    inputs : (str, str)
        Tensors to add.
    sum : WeightedSum
        Their sum.
    type : IntType
        Its range.
    quantizer : Requantize
        What follows.
    """

    inputs: tuple[str, str]
    sum: ig.WeightedSum
    type: IntType
    quantizer: ig.Requantize


def joint_sum(
    graph: ig.IntegerGraph,
    node: Node[ig.IntOp],
    op: ig.Thresholds,
    splits: Sequence[int],
    digits: int,
) -> JointSum | None:
    """Other constants for the step function of a sum, if they are cheaper.

    Parameters
    ----------
    graph : IntegerGraph
        What the node is part of.
    node : Node
        The step function.
    op : Thresholds
        Its operation.
    splits : sequence of int
        Levels about which its rounding may be symmetric.
    digits : int
        Signed digits of the multiplier that the sum would get otherwise.

    Returns
    -------
    JointSum or None
        None if the operand is no sum of two narrow tensors that nothing else reads, or there are
        no constants that cost less.
    """
    total = graph[node.inputs[0]]
    readers = graph.consumers(total.name)
    if not isinstance(total.op, ig.WeightedSum) or len(op.values) > 1 or len(readers) > 1:
        return None
    operands = [_behind_table(graph, name) for name in total.inputs]
    kinds = [graph.types[name].type for name, _ in operands]
    same = operands[0][0] == operands[1][0]
    if same or total.name in graph.outputs or max(k.width for k in kinds) > MAX_OPERAND_WIDTH:
        return None
    digits += sum(signed_digits(weight) for weight in total.op.weights)
    digits += sum(kind.width for kind, (_, table) in zip(kinds, operands, strict=True) if table)
    if digits <= _FEW_DIGITS:
        return None
    a, b = (np.arange(kind.low, kind.high + 1, dtype=np.int64) for kind in kinds)
    first, second = (
        (x if table is None else table.table[x - table.low]) * weight
        for x, (_, table), weight in zip((a, b), operands, total.op.weights, strict=True)
    )
    low, high = op.low, op.low + int(op.values.shape[1])
    found = _cheapest((a, b, _levels(op, first[:, None] + second), low, high), splits)
    if found is None or found.digits >= digits:
        return None
    p, q = found.weights
    ends = [sorted((w * k.low, w * k.high)) for w, k in zip(found.weights, kinds, strict=True)]
    scaling = found.scaling
    return JointSum(
        (operands[0][0], operands[1][0]),
        ig.WeightedSum((p, q)),
        IntType(ends[0][0] + ends[1][0], ends[0][1] + ends[1][1]),
        ig.Requantize(
            scaling.multiplier, scaling.bias, scaling.shift, low, high,
            scaling.half_even, scaling.split, scaling.step,
        ),
    )  # fmt: skip


def _behind_table(graph: ig.IntegerGraph, name: str) -> tuple[str, ig.Lookup | None]:
    """The tensor that an operand is looked up of, and the table; or the operand."""
    node = graph[name]
    return (node.inputs[0], node.op) if isinstance(node.op, ig.Lookup) else (name, None)


def _levels(op: ig.Thresholds, sums: IntArray) -> IntArray:
    """The step function of all sums."""
    row = np.sort(op.values[0])
    if op.decreasing[0]:
        return op.low + len(row) - np.searchsorted(row, sums, side="left")
    return op.low + np.searchsorted(row, sums, side="right")


def _cheapest(
    function: tuple[IntArray, IntArray, IntArray, int, int], splits: Sequence[int]
) -> JointScaling | None:
    """The form with the fewest terms to add, counting what the others than the plain one cost."""
    forms = [
        (find_joint_scaling(*function), 0),
        (find_joint_scaling(*function, half_even=True), _HALF_EVEN_WORTH),
    ]
    for split in splits:
        if function[3] < split < function[4]:
            forms.append((find_joint_scaling(*function, split=split), _SPLIT_WORTH))
    found = [(form.digits + worth, form) for form, worth in forms if form is not None]
    return min(found, key=lambda pair: pair[0])[1] if found else None


def without_unread(graph: ig.IntegerGraph) -> ig.IntegerGraph:
    """The graph without nodes that no output needs."""
    needed = set(graph.outputs)
    for node in reversed(list(graph)):
        if node.name in needed:
            needed.update(node.inputs)
    result = ig.IntegerGraph(
        graph.name, outputs=list(graph.outputs), input=graph.input, output=graph.output
    )
    for node in graph:
        if node.name in needed:
            tensor: IntTensor = graph.types[node.name]
            result.append(node.name, node.op, node.inputs, tensor, node.source)
    result.meanings = {k: m for k, m in graph.meanings.items() if m.node in needed}
    return result
