"""The core's two ports as data: packing, element order and real meaning."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np

from nn2rtl.ir import functions as fn
from nn2rtl.ir import integer as ig
from nn2rtl.ir.model import Function
from nn2rtl.ir.types import IntArray
from nn2rtl.plan.stages import Plan, StreamType
from nn2rtl.report.layers import stream_entry

_PARAMETRIC = (Function.LEAKY_RELU, Function.ELU)
MAX_RANK = 5
"""Most axes for which an order of axes is searched."""


def axis_order(order: IntArray, shape: tuple[int, ...]) -> list[int] | None:
    """The order in which a stream runs through a tensor's axes, the last one fastest.

    Parameters
    ----------
    order : int64 array
        Element p of the stream is element ``order[p]`` of the flattened tensor.
    shape : tuple of int
        The tensor's shape.

    Returns
    -------
    list of int or None
        The axes; None if the stream's order is none of axes.
    """
    if len(shape) > MAX_RANK:
        return None
    flat = np.arange(len(order)).reshape(shape)
    for axes in permutations(range(len(shape))):
        if np.array_equal(flat.transpose(axes).ravel(), order):
            return list(axes)
    return None


def input_entry(plan: Plan) -> dict[str, Any]:
    """The input port; see docs/report.md."""
    spec, _ = plan.graph.spec()
    source = next(node for node in plan.graph if isinstance(node.op, ig.Input))
    constants = [*_constants(spec.chain), *_quantizer_constants(spec.quantizer)]
    return {
        "name": spec.name,
        "model_shape": list(spec.shape),
        **_port(plan.input.result, plan.graph.types[source.name].shape),
        **_order(spec.order, spec.shape),
        **_channels(constants, spec.channel_of),
        "chain": [_step(step) for step in spec.chain],
        "quantizer": _quantizer(spec.quantizer),
    }


def output_entry(plan: Plan) -> dict[str, Any]:
    """The output port; see docs/report.md."""
    _, spec = plan.graph.spec()
    result = plan.graph.types[plan.graph.outputs[0]]
    shape = spec.shape if spec.index else (spec.operand_shape or spec.shape)
    order = None if spec.index else np.argsort(spec.position)
    return {
        "name": spec.name,
        "model_shape": list(spec.shape),
        "tensor_shape": list(shape),
        **_port(plan.output.result, result.shape),
        **(
            {"axes": None, "order": None} if order is None else _order(order, shape)
        ),
        **_channels(_constants(spec.chain), spec.channel_of),
        "chain": [_step(step) for step in spec.chain],
        "is_index": spec.index,
        "softmax_axis": spec.softmax_axis,
        "argmax_axis": spec.argmax_axis,
    }


def _port(kind: StreamType, shape: tuple[int, ...]) -> dict[str, Any]:
    return {
        **stream_entry(kind, shape),
        "beat_bits": kind.bits,
        "tdata_bits": 8 * -(-kind.bits // 8),
    }


def _order(order: IntArray, shape: tuple[int, ...]) -> dict[str, Any]:
    axes = axis_order(order, shape)
    return {"axes": axes, "order": order.tolist() if axes is None else None}


def _channels(constants: list[fn.Channelwise], channel_of: IntArray) -> dict[str, Any]:
    """How many channels the constants have, and the channel of each element if it is no cycle."""
    count = max((len(values) for values in constants), default=1)
    cyclic = count == 1 or np.array_equal(channel_of, np.arange(len(channel_of)) % count)
    return {"channels": count, "channel_of": None if cyclic else channel_of.tolist()}


def _constants(chain: fn.Chain) -> list[fn.Channelwise]:
    return list(fn.parameters(chain))


def _quantizer_constants(quantizer: fn.AnyQuantizer) -> list[fn.Channelwise]:
    if isinstance(quantizer, fn.Quantizer):
        return [quantizer.scale, quantizer.zero_point]
    if isinstance(quantizer, fn.StepQuantizer):
        return [fn.ZERO * len(quantizer.thresholds)]
    return []


def _floats(values: fn.Channelwise) -> list[float]:
    return [float(value) for value in values]


def _step(step: fn.Step) -> dict[str, Any]:
    """All keys of docs/report.md; those that say nothing of a kind of step are None."""
    entry: dict[str, Any] = dict.fromkeys(
        ("kind", "scale", "offset", "parameter", "rounding", "left", "right")
    )
    if isinstance(step, fn.AffineStep):
        entry.update(kind="affine", scale=_floats(step.scale), offset=_floats(step.offset))
    elif isinstance(step, fn.FunctionStep):
        parameter = _floats(step.parameter) if step.function in _PARAMETRIC else None
        entry.update(kind=step.function.value, parameter=parameter)
    elif isinstance(step, fn.RoundStep):
        entry.update(kind="round", rounding=step.rounding.value)
    else:
        left, right = ([_step(inner) for inner in side] for side in (step.left, step.right))
        entry.update(kind=step.combination.value, left=left, right=right)
    return entry


def _quantizer(quantizer: fn.AnyQuantizer) -> dict[str, Any]:
    entry: dict[str, Any] = dict.fromkeys(
        ("kind", "scale", "zero_point", "zero_after", "low", "high", "rounding", "thresholds")
    )
    entry.update(kind="sign", low=quantizer.low, high=quantizer.high)
    if isinstance(quantizer, fn.StepQuantizer):
        thresholds = [_floats(row) for row in quantizer.thresholds]
        entry.update(kind="steps", thresholds=thresholds)
    elif isinstance(quantizer, fn.Quantizer):
        entry.update(
            kind="uniform",
            scale=_floats(quantizer.scale),
            zero_point=_floats(quantizer.zero_point),
            zero_after=quantizer.zero_after,
            rounding=quantizer.rounding.value,
        )
    return entry
