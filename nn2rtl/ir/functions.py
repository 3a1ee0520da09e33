"""Exact functions from an integer to a real number and on to a quantized integer.

Between two layers stands a chain of real functions (scale, bias, batch normalization, activation)
and at its end a quantizer. All are monotone, so the composition is a step function that its
integer thresholds describe completely. They are found from the quantizer backwards, in rational
arithmetic: a bound on the result becomes a bound on each operand in turn.

Sigmoid and tanh have irrational values at rational points, other than at 0, so a bound that is a
rational number is never met exactly and 60 decimal digits decide every comparison.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal, localcontext
from fractions import Fraction
from math import ceil, floor
from typing import TypeAlias

from nn2rtl.ir.exact import round_exact
from nn2rtl.ir.model import Function, Rounding

Channelwise: TypeAlias = tuple[Fraction, ...]  # one value for all channels, or one for each

_DIGITS = 60


@dataclass(frozen=True)
class AffineStep:
    """``scale[c] * x + offset[c]`` for channel c."""

    scale: Channelwise
    offset: Channelwise


@dataclass(frozen=True)
class FunctionStep:
    """An elementwise function."""

    function: Function


Step: TypeAlias = AffineStep | FunctionStep
Chain: TypeAlias = tuple[Step, ...]


@dataclass(frozen=True)
class Quantizer:
    """``clip(round(x / scale[c] + zero_point[c]), low, high)``."""

    scale: Channelwise
    zero_point: Channelwise
    low: int
    high: int
    rounding: Rounding


@dataclass(frozen=True)
class SignQuantizer:
    """1 where ``x >= 0``, else 0."""

    low: int = 0
    high: int = 1


AnyQuantizer: TypeAlias = Quantizer | SignQuantizer


@dataclass(frozen=True)
class Bound:
    """The half line of numbers at least (at most) `value`; without it, if `strict`.

    ``value`` None stands for all numbers (`everything`) or for none.
    """

    value: Fraction | None
    strict: bool = False
    at_least: bool = True
    everything: bool = False


ALL = Bound(None, everything=True)
NONE = Bound(None)


def pick(values: Channelwise, channel: int) -> Fraction:
    """The value for one channel."""
    return values[0] if len(values) == 1 else values[channel]


def affine(scale: Channelwise, offset: Channelwise) -> AffineStep:
    """An affine step, with equal entries merged into one."""
    if len(set(scale)) == 1:
        scale = scale[:1]
    if len(set(offset)) == 1:
        offset = offset[:1]
    return AffineStep(scale, offset)


def extend(chain: Chain, step: Step) -> Chain:
    """Append a step; neighbouring affine steps become one."""
    if not chain or not isinstance(step, AffineStep) or not isinstance(chain[-1], AffineStep):
        return (*chain, step)
    first = chain[-1]
    count = max(len(first.scale), len(first.offset), len(step.scale), len(step.offset))
    scale = tuple(pick(step.scale, c) * pick(first.scale, c) for c in range(count))
    offset = tuple(
        pick(step.scale, c) * pick(first.offset, c) + pick(step.offset, c) for c in range(count)
    )
    return (*chain[:-1], affine(scale, offset))


def as_affine(chain: Chain) -> AffineStep | None:
    """The chain as one affine step, if it is one."""
    if not chain:
        return AffineStep((Fraction(1),), (Fraction(0),))
    if len(chain) == 1 and isinstance(chain[0], AffineStep):
        return chain[0]
    return None


def increases(chain: Chain) -> bool:
    """Whether the chain increases (weakly) in every channel."""
    steps = [step for step in chain if isinstance(step, AffineStep)]
    count = max((len(step.scale) for step in steps), default=1)
    return all(
        sum(pick(step.scale, channel) < 0 for step in steps) % 2 == 0 for channel in range(count)
    )


def level_bound(quantizer: AnyQuantizer, level: int, channel: int) -> Bound:
    """The real numbers that quantize to `level` or more (level above the quantizer's low)."""
    if isinstance(quantizer, SignQuantizer):
        return Bound(Fraction(0))
    half = Fraction(1, 2)
    positive = level > 0
    at, strict = {
        Rounding.HALF_EVEN: (level - half, level % 2 != 0),
        Rounding.HALF_UP: (level - half, False),
        Rounding.HALF_DOWN: (level - half, True),
        Rounding.HALF_AWAY: (level - half, not positive),
        Rounding.HALF_TO_ZERO: (level - half, positive),
        Rounding.FLOOR: (Fraction(level), False),
        Rounding.CEIL: (Fraction(level - 1), True),
        Rounding.UP: (Fraction(level - 1), True) if positive else (Fraction(level), False),
        Rounding.DOWN: (Fraction(level), False) if positive else (Fraction(level - 1), True),
    }[quantizer.rounding]
    zero, scale = pick(quantizer.zero_point, channel), pick(quantizer.scale, channel)
    return Bound((at - zero) * scale, strict)


def preimage(step: Step, bound: Bound, channel: int) -> Bound:
    """The numbers that `step` maps into the half line `bound`."""
    if bound.value is None:
        return bound
    if isinstance(step, AffineStep):
        scale, offset = pick(step.scale, channel), pick(step.offset, channel)
        if scale == 0:
            return ALL if contains(bound, offset) else NONE
        at_least = bound.at_least if scale > 0 else not bound.at_least
        return replace(bound, value=(bound.value - offset) / scale, at_least=at_least)
    if step.function is Function.RELU:
        if bound.at_least:
            reached_by_zero = bound.value < 0 or (bound.value == 0 and not bound.strict)
            return ALL if reached_by_zero else bound
        return bound if bound.value > 0 or (bound.value == 0 and not bound.strict) else NONE
    low, high = (0, 1) if step.function is Function.SIGMOID else (-1, 1)
    if bound.value <= low:
        return ALL if bound.at_least else NONE
    if bound.value >= high:
        return NONE if bound.at_least else ALL
    return replace(bound, value=_inverse(step.function, bound.value))


def contains(bound: Bound, number: Fraction) -> bool:
    """Whether the half line holds the number."""
    if bound.value is None:
        return bound.everything
    if number == bound.value:
        return not bound.strict
    return (number > bound.value) == bound.at_least


def thresholds(
    chain: Chain, quantizer: AnyQuantizer, channel: int, low: int, high: int
) -> tuple[list[int], bool]:
    """Integer thresholds of a chain followed by a quantizer, over operands from low to high.

    Returns
    -------
    list of int
        For each level above the quantizer's low: the least operand that reaches it, or, for a
        decreasing function, the greatest. `high + 1` (decreasing: `low - 1`) if none does.
    bool
        Whether the function decreases.
    """
    bounds = []
    for level in range(quantizer.low + 1, quantizer.high + 1):
        bound = level_bound(quantizer, level, channel)
        for step in reversed(chain):
            bound = preimage(step, bound, channel)
        bounds.append(bound)
    decreasing = any(b.value is not None and not b.at_least for b in bounds)
    result = []
    for bound in bounds:
        if bound.value is None:
            reached, never = (high, low - 1) if decreasing else (low, high + 1)
            result.append(reached if bound.everything else never)
        elif decreasing:
            last = ceil(bound.value) - 1 if bound.strict else floor(bound.value)
            result.append(min(max(last, low - 1), high))
        else:
            first = floor(bound.value) + 1 if bound.strict else ceil(bound.value)
            result.append(min(max(first, low), high + 1))
    return result, decreasing


def evaluate(chain: Chain, operand: Fraction, channel: int) -> Fraction:
    """The chain's exact value (sigmoid and tanh to 60 digits)."""
    for step in chain:
        if isinstance(step, AffineStep):
            operand = pick(step.scale, channel) * operand + pick(step.offset, channel)
        elif step.function is Function.RELU:
            operand = max(operand, Fraction(0))
        else:
            operand = _value(step.function, operand)
    return operand


def quantize(quantizer: AnyQuantizer, number: Fraction, channel: int) -> int:
    """The quantizer's exact result, computed from its definition (not from thresholds)."""
    if isinstance(quantizer, SignQuantizer):
        return int(number >= 0)
    zero, scale = pick(quantizer.zero_point, channel), pick(quantizer.scale, channel)
    rounded = round_exact(number / scale + zero, quantizer.rounding)
    return min(max(rounded, quantizer.low), quantizer.high)


def _decimal(number: Fraction) -> Decimal:
    return Decimal(number.numerator) / Decimal(number.denominator)


def _inverse(function: Function, number: Fraction) -> Fraction:
    """Operand at which sigmoid or tanh has the given value, to 60 digits; 0 exactly at 0."""
    with localcontext() as context:
        context.prec = _DIGITS
        if function is Function.SIGMOID:
            return Fraction((_decimal(number) / _decimal(1 - number)).ln())
        return Fraction((_decimal(1 + number) / _decimal(1 - number)).ln() / 2)


def _value(function: Function, operand: Fraction) -> Fraction:
    with localcontext() as context:
        context.prec = _DIGITS
        if function is Function.SIGMOID:
            return Fraction(1 / (1 + (-_decimal(operand)).exp()))
        doubled = (2 * _decimal(operand)).exp()
        return Fraction((doubled - 1) / (doubled + 1))
