"""How far an executor in floating point may be from the exact numbers, tensor by tensor.

Each operation is computed in float64 from the executor's own operands, together with a bound on
what the executor's rounding errors amount to. A sum of n products has a relative error of about
``sqrt(n)`` units, relative to the sum of the products' absolute values (Higham and Mary, "A new
approach to probabilistic rounding error analysis", 2019); the bound takes some units more, for the
rounding of weights, operands and bias. Functions and roundings are computed at both ends of their
operand's interval. So a quantizer's bound is zero, other than where its operand is as close to a
rounding boundary as the executor's errors: there it is the step to the neighbouring integer.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod, sqrt

import numpy as np

from nn2rtl.ir import model
from nn2rtl.ir.types import ExactArray, QuantizedConstant, exact_array
from nn2rtl.trace.executor import Floats, floats, step

_OPERATIONS = 8  # roundings of an operation's operands, constants and result, in units
_STEPPED = (model.Quantize, model.BipolarQuantize, model.MultiThreshold, model.Round)


def error(
    op: model.ModelOp,
    operands: list[Floats],
    errors: list[Floats],
    result: Floats,
    unit: float,
) -> Floats:
    """Bound on an executor's error in an operation's result.

    Parameters
    ----------
    operands, errors : lists of arrays [samples, ...]
        Values of the operands, and what the executor's may differ from them.
    result : array [samples, ...]
        The result in float64.
    unit : float
        Relative error of one rounding of the executor (2^-24 for float32).
    """
    shape, own = result.shape[1:], _OPERATIONS * unit
    x, e = operands[0], errors[0]
    match op:
        case model.Conv() | model.ConvTranspose():
            count = prod(op.weight.shape[1:])
            bias = None if op.bias is None else own * np.abs(floats(op.bias))
            absolute = replace(op, weight=_absolute(op.weight), bias=None)
            spread = step(absolute, [e + (own + sqrt(count) * unit) * np.abs(x)], shape)
            if bias is not None:
                spread = spread + bias.reshape(-1, *(1,) * (len(shape) - 1))
            return spread + own * np.abs(result)
        case model.MatMul():
            grown = e + (own + sqrt(op.weight.shape[0]) * unit) * np.abs(x)
            return step(model.MatMul(_absolute(op.weight)), [grown], shape)
        case model.AveragePool():
            count = prod(op.kernel)
            return step(op, [e + (own + sqrt(count) * unit) * np.abs(x)], shape)
        case model.Affine():
            scale, offset = np.abs(floats(op.scale)), np.abs(floats(op.offset))
            return np.asarray(scale * e + own * (scale * np.abs(x) + offset))
        case model.Add():
            return e + errors[1] + own * (np.abs(x) + np.abs(operands[1]))
        case model.Mul():
            y, f = operands[1], errors[1]
            return np.asarray(np.abs(x) * f + np.abs(y) * e + e * f + own * np.abs(result))
        case model.Elementwise():
            # Libraries approximate functions to several units of 1.
            approximation = 2 * own * (np.abs(result) + 0.25 * (op.function in _APPROXIMATED))
            return _between(op, x, e, result) + approximation
        case model.Quantize():
            # A scale multiplied, and a zero point added, ahead of the rounding.
            zero = np.abs(floats(op.zero_point)) * floats(op.scale)
            return _between(op, x, e + own * (np.abs(x) + zero), result) + own * np.abs(result)
        case _ if isinstance(op, _STEPPED):
            return _between(op, x, e + own * np.abs(x), result) + own * np.abs(result)
        case model.Softmax():
            spread = 2 * e.max(op.axis + 1, keepdims=True)
            return np.asarray(result * np.expm1(np.minimum(spread, 50.0)) + 2 * own)
        case model.ArgMax():
            spread = 2 * e.max(op.axis + 1)
            best = np.sort(x, op.axis + 1).take([-1, max(-2, -x.shape[op.axis + 1])], op.axis + 1)
            close = np.abs(np.diff(best, axis=op.axis + 1)).reshape(result.shape)
            return np.where(close <= spread.reshape(result.shape), np.inf, 0.0)
        case model.FixedPointSoftmax():
            return np.zeros(result.shape)
        case model.Pad():
            return step(replace(op, fill=abs(op.fill) * 0), [e], shape)
        case model.MaxPool():
            return np.where(np.isfinite(result), step(op, [e], shape), 0.0)
    return step(op, errors, shape)  # elements are only moved


_APPROXIMATED = (
    model.Function.SIGMOID,
    model.Function.TANH,
    model.Function.SOFTPLUS,
    model.Function.ERF,
    model.Function.ELU,
)


def rounded_again(graph: model.ModelGraph, name: str) -> bool:
    """Whether a node's rounding is the first of two, with only a scaling between them."""
    if not isinstance(graph[name].op, model.Round):
        return False
    scalings = [node for node in graph.consumers(name) if isinstance(node.op, model.Affine)]
    return any(
        isinstance(reader.op, model.Round)
        for scaling in scalings
        for reader in graph.consumers(scaling.name)
    )


def _between(op: model.ModelOp, x: Floats, e: Floats, result: Floats) -> Floats:
    """Greatest change of a function of each element within its operand's error."""
    shape = result.shape[1:]
    low, high = step(op, [x - e], shape), step(op, [x + e], shape)
    return np.maximum(np.abs(low - result), np.abs(high - result))


def _absolute(weight: QuantizedConstant) -> QuantizedConstant:
    zero = np.broadcast_to(weight.zero_point, weight.values.shape).astype(np.float64)
    values = np.ceil(np.abs(weight.values - zero)).astype(np.int64)
    scale: ExactArray = np.abs(weight.scale)
    return QuantizedConstant(values, scale, exact_array(0), weight.type)
