"""Integer thresholds of a monotone chain and its quantizer, in rational arithmetic.

The composition is a step function that its thresholds describe completely. They are found from
the quantizer backwards: a bound on the result becomes a bound on each operand in turn, for all
levels at once (arrays of Python's unlimited integers over a common denominator).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from math import lcm
from typing import Any

import numpy as np
import numpy.typing as npt

from nn2rtl.ir import functions as fn
from nn2rtl.ir import real_functions
from nn2rtl.ir.model import Function, Rounding

_Ints = npt.NDArray[np.object_]  # of int
_Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Bounds:
    """For each level the half line of numbers at least (at most) a value.

    Parameters
    ----------
    numerator, denominator : int array [levels], int
        The values; the denominator is positive.
    strict : bool array [levels]
        Whether the half line is without the value.
    everything, nothing : bool arrays [levels]
        Levels that all numbers reach, or none; their value does not count.
    at_least : bool
        Which half.
    """

    numerator: _Ints
    denominator: int
    strict: _Flags
    everything: _Flags
    nothing: _Flags
    at_least: bool = True


def thresholds(
    chain: fn.Chain, quantizer: fn.AnyQuantizer, channel: int, low: int, high: int
) -> tuple[npt.NDArray[np.int64], bool]:
    """Integer thresholds of a monotone chain followed by a quantizer, for operands low to high.

    Returns
    -------
    int64 array [levels]
        For each level above the quantizer's low: the least operand that reaches it, or, for a
        decreasing function, the greatest. `high + 1` (decreasing: `low - 1`) if none does.
    bool
        Whether the function decreases.
    """
    chain, quantizer = fn.one_channel(chain, quantizer, channel)
    bounds = _levels(quantizer)
    for step in reversed(chain):
        bounds = _preimage(step, bounds)
    n, d = bounds.numerator, bounds.denominator
    if bounds.at_least:
        found = np.where(bounds.strict, n // d + 1, -(-n // d))
        found = np.where(bounds.everything, low, np.where(bounds.nothing, high + 1, found))
        clipped = np.minimum(np.maximum(found, low), high + 1)
    else:
        found = np.where(bounds.strict, -(-n // d) - 1, n // d)
        found = np.where(bounds.everything, high, np.where(bounds.nothing, low - 1, found))
        clipped = np.minimum(np.maximum(found, low - 1), high)
    return clipped.astype(np.int64), not bounds.at_least


def _ints(values: Any) -> _Ints:
    return np.array(values, dtype=object)


def _plain(numerator: _Ints, denominator: int, strict: _Flags) -> Bounds:
    none = np.zeros(len(numerator), dtype=np.bool_)
    return Bounds(numerator, denominator, strict, none, none)


def _levels(quantizer: fn.AnyQuantizer) -> Bounds:
    """The real numbers that quantize to each level or more (levels above the least one)."""
    if isinstance(quantizer, fn.SignQuantizer):
        return _plain(_ints([0]), 1, np.zeros(1, dtype=np.bool_))
    if isinstance(quantizer, fn.StepQuantizer):
        row = quantizer.thresholds[0]
        common = lcm(*(value.denominator for value in row)) if row else 1
        numerators = [value.numerator * (common // value.denominator) for value in row]
        return _plain(_ints(numerators), common, np.zeros(len(row), dtype=np.bool_))
    zero, scale = quantizer.zero_point[0], quantizer.scale[0]
    levels = _ints(range(quantizer.low + 1, quantizer.high + 1))
    if quantizer.zero_after:
        levels, zero = levels - int(zero), Fraction(0)
    at, strict = _rounding_bounds(levels, quantizer.rounding)
    # (at / 2 - zero) * scale
    numerator = (at * zero.denominator - 2 * zero.numerator) * scale.numerator
    return _plain(numerator, 2 * zero.denominator * scale.denominator, strict)


def _rounding_bounds(levels: _Ints, rounding: Rounding) -> tuple[_Ints, _Flags]:
    """Twice the least number that is rounded to each level or more, and whether it is excluded."""
    positive = np.asarray(levels > 0, dtype=np.bool_)
    always = np.ones(len(levels), dtype=np.bool_)
    match rounding:
        case Rounding.FLOOR:
            return 2 * levels, ~always
        case Rounding.CEIL:
            return 2 * levels - 2, always
        case Rounding.UP:
            return np.where(positive, 2 * levels - 2, 2 * levels), positive
        case Rounding.DOWN:
            return np.where(positive, 2 * levels, 2 * levels - 2), ~positive
        case Rounding.HALF_EVEN:
            strict = np.asarray(levels % 2 != 0, dtype=np.bool_)
        case Rounding.HALF_UP:
            strict = ~always
        case Rounding.HALF_DOWN:
            strict = always
        case Rounding.HALF_AWAY:
            strict = ~positive
        case Rounding.HALF_TO_ZERO:
            strict = positive
    return 2 * levels - 1, strict


def _preimage(step: fn.Step, bounds: Bounds) -> Bounds:
    """The numbers that a step maps into each half line."""
    if isinstance(step, fn.AffineStep):
        return _before_affine(step.scale[0], step.offset[0], bounds)
    if isinstance(step, fn.RoundStep):
        return _before_rounding(step.rounding, bounds)
    if isinstance(step, fn.FunctionStep):
        function, parameter = step.function, step.parameter[0]
        if function is Function.RELU or (function is Function.ELU and parameter == 0):
            return _before_rectifier(Fraction(0), bounds)
        if function is Function.LEAKY_RELU:
            return _before_rectifier(parameter, bounds)
        return _before_function(function, parameter, bounds)
    raise ValueError("sums and products of functions have no thresholds")


def _before_affine(scale: Fraction, offset: Fraction, bounds: Bounds) -> Bounds:
    n, d = bounds.numerator, bounds.denominator
    # value - offset
    shifted = n * offset.denominator - offset.numerator * d
    if scale == 0:
        inside = shifted <= 0 if bounds.at_least else shifted >= 0
        inside = np.where(bounds.strict & (shifted == 0), False, inside).astype(np.bool_)
        settled = bounds.everything | bounds.nothing
        return replace(
            bounds,
            everything=bounds.everything | (inside & ~settled),
            nothing=bounds.nothing | (~inside & ~settled),
        )
    sign = 1 if scale > 0 else -1
    return replace(
        bounds,
        numerator=shifted * (sign * scale.denominator),
        denominator=d * offset.denominator * abs(scale.numerator),
        at_least=bounds.at_least == (sign > 0),
    )


def _before_rounding(rounding: Rounding, bounds: Bounds) -> Bounds:
    n, d = bounds.numerator, bounds.denominator
    if bounds.at_least:
        level = np.where(bounds.strict, n // d + 1, -(-n // d))
        at, strict = _rounding_bounds(level, rounding)
    else:  # at most `level`: not `level + 1` or more
        level = np.where(bounds.strict, -(-n // d) - 1, n // d)
        at, strict = _rounding_bounds(level + 1, rounding)
        strict = ~strict
    return replace(bounds, numerator=at, denominator=2, strict=strict)


def _before_rectifier(slope: Fraction, bounds: Bounds) -> Bounds:
    n, d = bounds.numerator, bounds.denominator
    if slope > 0:
        numerator = np.where(n >= 0, n * slope.numerator, n * slope.denominator)
        return replace(bounds, numerator=numerator, denominator=d * slope.numerator)
    settled = bounds.everything | bounds.nothing
    has_zero = np.asarray(
        ((n < 0) if bounds.at_least else (n > 0)) | ((n == 0) & ~bounds.strict), dtype=np.bool_
    )
    if bounds.at_least:
        return replace(bounds, everything=bounds.everything | (has_zero & ~settled))
    return replace(bounds, nothing=bounds.nothing | (~has_zero & ~settled))


def _before_function(function: Function, parameter: Fraction, bounds: Bounds) -> Bounds:
    least, greatest = real_functions.limits(function, parameter)
    everything, nothing = bounds.everything.copy(), bounds.nothing.copy()
    found: list[Fraction] = []
    for index, numerator in enumerate(bounds.numerator):
        number = Fraction(numerator, bounds.denominator)
        if everything[index] or nothing[index]:
            number = Fraction(0)
        elif least is not None and number <= least:
            (everything if bounds.at_least else nothing)[index] = True
            number = Fraction(0)
        elif greatest is not None and number >= greatest:
            (nothing if bounds.at_least else everything)[index] = True
            number = Fraction(0)
        else:
            number = real_functions.inverse(function, parameter, number)
        found.append(number)
    common = lcm(*(number.denominator for number in found)) if found else 1
    numerators = [number.numerator * (common // number.denominator) for number in found]
    return replace(
        bounds,
        numerator=_ints(numerators),
        denominator=common,
        everything=everything,
        nothing=nothing,
    )
