"""Chains, elementwise functions and roundings in float64, for what the host computes."""

from __future__ import annotations

from math import erf
from typing import Any

import numpy as np
import numpy.typing as npt

from nn2rtl.ir import functions as fn
from nn2rtl.ir.model import Function, Rounding
from nn2rtl.ir.types import IntArray

Floats = npt.NDArray[np.float64]


def real_values(chain: fn.Chain, channel_of: IntArray, values: Floats) -> Floats:
    """A chain over [samples, elements], with the channel of each element."""
    for step in chain:
        if isinstance(step, fn.AffineStep):
            values = values * per_element(step.scale, channel_of)
            values = values + per_element(step.offset, channel_of)
        elif isinstance(step, fn.FunctionStep):
            parameter = per_element(step.parameter, channel_of)
            values = float_function(step.function, values, parameter)
        elif isinstance(step, fn.RoundStep):
            values = float_round(step.rounding, values)
        else:
            left, right = (real_values(c, channel_of, values) for c in (step.left, step.right))
            is_sum = step.combination is fn.Combination.SUM
            values = left + right if is_sum else left * right
    return values


def per_element(values: fn.Channelwise, channel_of: IntArray) -> Floats:
    """Channelwise numbers for each element; one number if it is the same for all."""
    floats = np.array([float(v) for v in values])
    return floats if len(floats) == 1 else floats[channel_of]


def float_function(function: Function, x: Floats, parameter: Any = 0.0) -> Floats:
    """A function of each element; `parameter` broadcasts to them."""
    match function:
        case Function.RELU:
            result = np.maximum(x, 0.0)
        case Function.LEAKY_RELU:
            result = np.where(x >= 0, x, parameter * x)
        case Function.ELU:
            result = np.where(x >= 0, x, parameter * np.expm1(np.minimum(x, 0.0)))
        case Function.SIGMOID:
            result = 0.5 * (1.0 + np.tanh(0.5 * x))
        case Function.TANH:
            result = np.tanh(x)
        case Function.EXP:
            result = np.exp(np.minimum(x, 700.0))
        case Function.SOFTPLUS:
            result = np.logaddexp(0.0, x)
        case Function.SOFTSIGN:
            result = x / (1.0 + np.abs(x))
        case Function.ERF:
            result = np.array([erf(v) for v in np.ravel(x)]).reshape(np.shape(x))
        case Function.ABS:
            result = np.abs(x)
    return np.asarray(result)


_HALVES = {
    Rounding.HALF_EVEN,
    Rounding.HALF_UP,
    Rounding.HALF_DOWN,
    Rounding.HALF_AWAY,
    Rounding.HALF_TO_ZERO,
}


def decision_distance(rounding: Rounding, x: Floats) -> Floats:
    """How far each element is from where its rounding changes: from a half, or an integer."""
    boundary = np.floor(x) + 0.5 if rounding in _HALVES else np.rint(x)
    return np.asarray(np.abs(x - boundary))


def float_round(rounding: Rounding, x: Floats) -> Floats:
    """Each element rounded to an integer; exact while float64 holds half units."""
    size, sign = np.abs(x), np.sign(x)
    match rounding:
        case Rounding.HALF_EVEN:
            result = np.rint(x)
        case Rounding.HALF_UP:
            result = np.floor(x + 0.5)
        case Rounding.HALF_DOWN:
            result = np.ceil(x - 0.5)
        case Rounding.HALF_AWAY:
            result = sign * np.floor(size + 0.5)
        case Rounding.HALF_TO_ZERO:
            result = sign * np.ceil(size - 0.5)
        case Rounding.UP:
            result = sign * np.ceil(size)
        case Rounding.DOWN:
            result = np.trunc(x)
        case Rounding.CEIL:
            result = np.ceil(x)
        case Rounding.FLOOR:
            result = np.floor(x)
    return np.asarray(result)
