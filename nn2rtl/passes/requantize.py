"""Replace exact step functions by the cheapest arithmetic that equals them everywhere.

`nn2rtl.passes.scaling` has the forms of the arithmetic, `nn2rtl.passes.scaling_search` finds the
constants, and `nn2rtl.passes.joint_sums` those of a sum of two narrow tensors.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from nn2rtl.ir import functions as fn
from nn2rtl.ir import integer as ig
from nn2rtl.ir.model import Rounding
from nn2rtl.ir.types import IntArray, IntTensor, IntType
from nn2rtl.passes.joint_scaling import signed_digits
from nn2rtl.passes.joint_sums import JointSum, joint_sum, without_unread
from nn2rtl.passes.scaling import Scaling, StepFunctions
from nn2rtl.passes.scaling_search import find_scaling

_SYMMETRIC = {Rounding.HALF_AWAY, Rounding.HALF_TO_ZERO, Rounding.UP, Rounding.DOWN}
_HALF_EVEN_WORTH = 3  # bits of the multiplier that the check for ties must save
_SPLIT_WORTH = 6  # bits of the multiplier that a second piece must save
_TABLE_WIDTH = 8  # bits of an operand that is looked up rather than multiplied
_TABLE_DIGITS = 3  # digits of a multiplier that costs as much as a table
_COMPARED_DIGITS = 8  # digits of a multiplier that costs as much as comparing
MAX_THRESHOLD_LEVELS = 15  # up to 4 bits, comparing costs less than multiplying


def choose_requantizers(graph: ig.IntegerGraph) -> ig.IntegerGraph:
    """Replace each `Thresholds` by `Requantize` where that exists and is cheaper.

    Step functions of up to 8 bits that are the same in all channels are left, to be looked up in
    tables of LUTs, except for shifts.

    Parameters
    ----------
    graph : IntegerGraph
        With every quantizer as `Thresholds`.

    Returns
    -------
    IntegerGraph
        The same function.
    """
    chosen, sums = _chosen(graph)
    result = ig.IntegerGraph(
        graph.name, outputs=list(graph.outputs), input=graph.input, output=graph.output
    )
    renamed: dict[str, str] = {}
    for node in graph:
        op, inputs, tensor = node.op, node.inputs, graph.types[node.name]
        if node.name in sums:
            joint = sums[node.name]
            op, inputs, tensor = joint.sum, joint.inputs, IntTensor(tensor.shape, joint.type)
        inputs = tuple(renamed.get(name, name) for name in inputs)
        found = chosen.get(node.name)
        if found is not None:
            operand = graph.types[node.inputs[0]].type
            if _is_identity(found, operand) and node.name not in graph.outputs:
                renamed[node.name] = inputs[0]
                continue
            op = found
        result.append(node.name, op, inputs, tensor, node.source)
    result.meanings = {
        name: replace(meaning, node=renamed.get(meaning.node, meaning.node))
        for name, meaning in graph.meanings.items()
        if meaning.node not in sums
    }
    return without_unread(result)


def _chosen(graph: ig.IntegerGraph) -> tuple[dict[str, ig.Requantize], dict[str, JointSum]]:
    """What replaces step functions, and sums ahead of some of them."""
    chosen: dict[str, ig.Requantize] = {}
    sums: dict[str, JointSum] = {}
    for node in graph:
        if not isinstance(node.op, ig.Thresholds):
            continue
        found = requantizer(node.op, *ig.ranges(graph, node.inputs[0]))
        narrow = graph.types[node.inputs[0]].type.width <= _TABLE_WIDTH
        if narrow and len(node.op.values) == 1 and found is not None and not is_shift(found):
            found = None
        if found is not None:
            chosen[node.name] = found
            digits = signed_digits(int(found.multiplier[0]))
        else:
            digits = _TABLE_DIGITS if narrow else _COMPARED_DIGITS
        joint = joint_sum(graph, node, node.op, split_levels(node.op.definition), digits)
        if joint is not None:
            chosen[node.name], sums[node.inputs[0]] = joint.quantizer, joint
    return chosen, sums


def _is_identity(op: ig.Requantize, operand: IntType) -> bool:
    flat = (op.multiplier == 1).all() and (op.bias == 0).all()
    clips = operand.low < op.low or operand.high > op.high
    return bool(op.shift == 0 and flat and not op.half_even and not clips)


def requantizer(
    op: ig.Thresholds, low: IntArray, high: IntArray, *, force: bool = False
) -> ig.Requantize | None:
    """The shift or multiplication that equals a step function, if it is cheaper.

    Parameters
    ----------
    op : Thresholds
        The step function.
    low, high : int64 arrays
        Range of the operand in each channel.
    force : bool
        Return a multiplication even where comparing is cheaper.

    Returns
    -------
    Requantize or None
        None if there is none that `find_scaling` finds, or comparing is cheaper.
    """
    if len(op.values) == 1:
        low, high = low.min(keepdims=True), high.max(keepdims=True)
    found = _narrowest(StepFunctions(op.low, op.values, low, high, op.decreasing), op.definition)
    if found is None:
        return None
    if not is_shift(found) and not force and op.values.shape[1] <= MAX_THRESHOLD_LEVELS:
        return None
    multiplier, bias = found.multiplier, found.bias
    if (bias == bias[0]).all() and (multiplier == multiplier[0]).all():
        multiplier, bias = multiplier[:1], bias[:1]
    step = found.step
    if step is not None and (step == step[0]).all():
        step = step[:1]
    return ig.Requantize(
        multiplier, bias, found.shift, op.low, op.low + op.values.shape[1], found.half_even,
        found.split, step,
    )  # fmt: skip


def is_shift(op: ig.Requantize | Scaling) -> bool:
    """Whether a requantization multiplies by nothing but powers of two."""
    return bool((op.multiplier == 1).all()) and op.step is None


def _narrowest(functions: StepFunctions, definition: ig.Definition | None) -> Scaling | None:
    """The form with the narrowest multiplier, counting what the others than the plain one cost."""
    forms = [
        (find_scaling(functions), 0),
        (find_scaling(functions, half_even=True), _HALF_EVEN_WORTH),
    ]
    for split in split_levels(definition):
        if functions.base < split < functions.top:
            forms.append((find_scaling(functions, split=split), _SPLIT_WORTH))
    found = [(form.width + worth, form) for form, worth in forms if form is not None]
    return min(found, key=lambda pair: pair[0])[1] if found else None


def split_levels(definition: ig.Definition | None) -> list[int]:
    """The levels about which a definition rounds symmetrically: those of a rounded zero."""
    if definition is None or not isinstance(definition.quantizer, fn.Quantizer):
        return []
    chain, quantizer = definition.chain, definition.quantizer
    rests = [
        chain[place + 1 :]
        for place, step in enumerate(chain)
        if isinstance(step, fn.RoundStep) and step.rounding in _SYMMETRIC
    ]
    if quantizer.rounding in _SYMMETRIC:
        rests.append(())
    levels = {
        fn.quantize(quantizer, fn.evaluate(rest, Fraction(0), 0), 0)
        for rest in rests
        if fn.is_uniform(rest, quantizer)
    }
    return sorted(levels)
