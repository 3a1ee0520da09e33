"""Replace exact step functions by the cheapest arithmetic that equals them everywhere.

`nn2rtl.passes.scaling` has the forms of the arithmetic, `nn2rtl.passes.scaling_search` finds the
constants, and `nn2rtl.passes.joint_scaling` those of a sum of two narrow tensors.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from nn2rtl.ir import functions as fn
from nn2rtl.ir import integer as ig
from nn2rtl.ir.types import IntArray, IntType
from nn2rtl.passes.scaling import Scaling, StepFunctions
from nn2rtl.passes.scaling_search import find_scaling

_HALF_EVEN_WORTH = 3  # bits of the multiplier that the check for ties must save
_SPLIT_WORTH = 6  # bits of the multiplier that a second piece must save
MAX_THRESHOLD_LEVELS = 15  # up to 4 bits, comparing costs less than multiplying


def choose_requantizers(graph: ig.IntegerGraph) -> ig.IntegerGraph:
    """Replace each `Thresholds` by `Requantize` where that exists and is cheaper.

    Parameters
    ----------
    graph : IntegerGraph
        With every quantizer as `Thresholds`.

    Returns
    -------
    IntegerGraph
        The same function.
    """
    result = ig.IntegerGraph(
        graph.name, outputs=list(graph.outputs), input=graph.input, output=graph.output
    )
    renamed: dict[str, str] = {}
    for node in graph:
        inputs = tuple(renamed.get(name, name) for name in node.inputs)
        op = node.op
        if isinstance(op, ig.Thresholds):
            found = requantizer(op, *ig.ranges(graph, node.inputs[0]))
            if found is not None:
                operand = graph.types[node.inputs[0]].type
                if _is_identity(found, operand) and node.name not in graph.outputs:
                    renamed[node.name] = inputs[0]
                    continue
                op = found
        result.append(node.name, op, inputs, graph.types[node.name], node.source)
    result.meanings = {
        name: replace(meaning, node=renamed.get(meaning.node, meaning.node))
        for name, meaning in graph.meanings.items()
    }
    return result


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
    pure_shift = bool((found.multiplier == 1).all()) and found.step is None
    if not pure_shift and not force and op.values.shape[1] <= MAX_THRESHOLD_LEVELS:
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


def _narrowest(functions: StepFunctions, definition: ig.Definition | None) -> Scaling | None:
    """The form with the narrowest multiplier, counting what the others than the plain one cost."""
    split = split_level(definition)
    forms = [
        (find_scaling(functions), 0),
        (find_scaling(functions, half_even=True), _HALF_EVEN_WORTH),
    ]
    if split is not None and functions.base < split < functions.top:
        forms.append((find_scaling(functions, split=split), _SPLIT_WORTH))
    found = [(form.width + worth, form) for form, worth in forms if form is not None]
    return min(found, key=lambda pair: pair[0])[1] if found else None


def split_level(definition: ig.Definition | None) -> int | None:
    """The level about which a definition's rounding may be symmetric: its zero point."""
    quantizer = definition.quantizer if definition else None
    if not isinstance(quantizer, fn.Quantizer) or len(quantizer.zero_point) > 1:
        return None
    zero: Fraction = quantizer.zero_point[0]
    return int(zero) if zero.denominator == 1 else None
