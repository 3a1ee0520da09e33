"""Exact functions from an integer to a real number and on to a quantized integer.

Between two layers stands a chain of real functions (scale, bias, batch normalization, activation)
and at its end a quantizer. `nn2rtl.ir.thresholds` turns both into integer thresholds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from typing import TypeAlias

from nn2rtl.ir import real_functions
from nn2rtl.ir.exact import round_exact
from nn2rtl.ir.model import Function, Rounding

Channelwise: TypeAlias = tuple[Fraction, ...]  # one value for all channels, or one for each

ZERO: Channelwise = (Fraction(0),)


@dataclass(frozen=True)
class AffineStep:
    """``scale[c] * x + offset[c]`` for channel c."""

    scale: Channelwise
    offset: Channelwise


@dataclass(frozen=True)
class FunctionStep:
    """An elementwise function, with its parameter if it has one."""

    function: Function
    parameter: Channelwise = ZERO


@dataclass(frozen=True)
class RoundStep:
    """Rounding to an integer."""

    rounding: Rounding


class Combination(Enum):
    """How two functions of the same number become one."""

    SUM = "sum"
    PRODUCT = "product"


@dataclass(frozen=True)
class CombineStep:
    """Sum or product of two chains of the same number; only the first step of a chain."""

    combination: Combination
    left: tuple[AffineStep | FunctionStep | RoundStep | CombineStep, ...]
    right: tuple[AffineStep | FunctionStep | RoundStep | CombineStep, ...]


Step: TypeAlias = AffineStep | FunctionStep | RoundStep | CombineStep
Chain: TypeAlias = tuple[Step, ...]


@dataclass(frozen=True)
class Quantizer:
    """``clip(round(x / scale[c] + zero_point[c]), low, high)``.

    With `zero_after` the zero point is added after rounding.
    """

    scale: Channelwise
    zero_point: Channelwise
    low: int
    high: int
    rounding: Rounding
    zero_after: bool = False


@dataclass(frozen=True)
class SignQuantizer:
    """1 where ``x >= 0``, else 0."""

    low: int = 0
    high: int = 1


@dataclass(frozen=True)
class StepQuantizer:
    """`low` plus the number of thresholds that x reaches.

    Parameters
    ----------
    thresholds : tuple of tuples of Fraction [channels or 1][levels]
        Ascending.
    low : int
        Result where none is reached.
    """

    thresholds: tuple[tuple[Fraction, ...], ...]
    low: int = 0

    @property
    def high(self) -> int:
        return self.low + len(self.thresholds[0])


AnyQuantizer: TypeAlias = Quantizer | SignQuantizer | StepQuantizer


def pick(values: Channelwise, channel: int) -> Fraction:
    """The value for one channel."""
    return values[0] if len(values) == 1 else values[channel]


def affine(scale: Channelwise, offset: Channelwise) -> AffineStep:
    """An affine step, with equal entries merged into one."""
    return AffineStep(merged(scale), merged(offset))


def merged(values: Channelwise) -> Channelwise:
    """The values, or one if all are equal."""
    return values[:1] if all(value == values[0] for value in values) else values


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


def parameters(chain: Chain) -> Iterator[Channelwise]:
    """All channelwise numbers of a chain."""
    for step in chain:
        if isinstance(step, AffineStep):
            yield step.scale
            yield step.offset
        elif isinstance(step, FunctionStep):
            yield step.parameter
        elif isinstance(step, CombineStep):
            yield from parameters(step.left)
            yield from parameters(step.right)


def with_parameters(chain: Chain, change: Callable[[Channelwise], Channelwise]) -> Chain:
    """The chain with all its channelwise numbers changed."""
    result: list[Step] = []
    for step in chain:
        if isinstance(step, AffineStep):
            step = affine(change(step.scale), change(step.offset))
        elif isinstance(step, FunctionStep):
            step = FunctionStep(step.function, merged(change(step.parameter)))
        elif isinstance(step, CombineStep):
            left, right = (with_parameters(c, change) for c in (step.left, step.right))
            step = CombineStep(step.combination, left, right)
        result.append(step)
    return tuple(result)


def one_channel(chain: Chain, quantizer: AnyQuantizer, channel: int) -> tuple[Chain, AnyQuantizer]:
    """Chain and quantizer of a single channel."""

    def choose(values: Channelwise) -> Channelwise:
        return values if len(values) == 1 else (values[channel],)

    if isinstance(quantizer, Quantizer):
        quantizer = Quantizer(
            choose(quantizer.scale), choose(quantizer.zero_point), quantizer.low, quantizer.high,
            quantizer.rounding, quantizer.zero_after,
        )  # fmt: skip
    elif isinstance(quantizer, StepQuantizer) and len(quantizer.thresholds) > 1:
        quantizer = StepQuantizer((quantizer.thresholds[channel],), quantizer.low)
    return with_parameters(chain, choose), quantizer


def is_uniform(chain: Chain, quantizer: AnyQuantizer | None = None) -> bool:
    """Whether all channels have the same function."""
    counts = [len(values) for values in parameters(chain)]
    if isinstance(quantizer, Quantizer):
        counts += [len(quantizer.scale), len(quantizer.zero_point)]
    elif isinstance(quantizer, StepQuantizer):
        counts.append(len(quantizer.thresholds))
    return all(count == 1 for count in counts)


def is_monotone(chain: Chain) -> bool:
    """Whether the chain is known to be monotone in every channel, with an inverse."""
    return all(
        isinstance(step, AffineStep | RoundStep)
        or (
            isinstance(step, FunctionStep)
            and step.function in real_functions.MONOTONE
            and all(parameter >= 0 for parameter in step.parameter)
        )
        for step in chain
    )


def is_rational(chain: Chain) -> bool:
    """Whether all values at rational numbers are rational, and computed exactly."""
    return all(
        (is_rational(step.left) and is_rational(step.right))
        if isinstance(step, CombineStep)
        else not isinstance(step, FunctionStep) or step.function in real_functions.RATIONAL
        for step in chain
    )


def increases(chain: Chain) -> bool:
    """Whether the chain is known to increase (weakly) in every channel."""
    steps = [step for step in chain if isinstance(step, AffineStep)]
    count = max((len(step.scale) for step in steps), default=1)
    return is_monotone(chain) and all(
        sum(pick(step.scale, channel) < 0 for step in steps) % 2 == 0 for channel in range(count)
    )


def evaluate(chain: Chain, operand: Fraction, channel: int) -> Fraction:
    """The chain's exact value (irrational ones to 60 digits)."""
    for step in chain:
        if isinstance(step, AffineStep):
            operand = pick(step.scale, channel) * operand + pick(step.offset, channel)
        elif isinstance(step, FunctionStep):
            operand = real_functions.value(
                step.function, pick(step.parameter, channel), operand
            )
        elif isinstance(step, RoundStep):
            operand = Fraction(round_exact(operand, step.rounding))
        else:
            left, right = (evaluate(c, operand, channel) for c in (step.left, step.right))
            operand = left + right if step.combination is Combination.SUM else left * right
    return operand


def quantize(quantizer: AnyQuantizer, number: Fraction, channel: int) -> int:
    """The quantizer's exact result, computed from its definition (not from thresholds)."""
    if isinstance(quantizer, SignQuantizer):
        return int(number >= 0)
    if isinstance(quantizer, StepQuantizer):
        rows = quantizer.thresholds
        row = rows[channel] if len(rows) > 1 else rows[0]
        return quantizer.low + sum(number >= t for t in row)
    zero, scale = pick(quantizer.zero_point, channel), pick(quantizer.scale, channel)
    if quantizer.zero_after:
        rounded = round_exact(number / scale, quantizer.rounding) + int(zero)
    else:
        rounded = round_exact(number / scale + zero, quantizer.rounding)
    return min(max(rounded, quantizer.low), quantizer.high)
