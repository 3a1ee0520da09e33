"""Which tensors of a model graph hold integers only, and within which bounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nn2rtl.frontend.constants import as_exact
from nn2rtl.ir import model as m
from nn2rtl.ir.types import ExactArray, QuantizedConstant, exact_array

_DEPTH = 64  # nodes looked through
_ONE, _ZERO = exact_array(1), exact_array(0)
_MAX_PARAMETERS = 1 << 12


@dataclass(frozen=True)
class Whole:
    """Integers from `low` to `high`, None where no bound is known."""

    low: int | None = None
    high: int | None = None

    def within(self, low: int, high: int) -> bool:
        """Whether all of them are known to lie from `low` to `high`."""
        if self.low is None or self.high is None:
            return False
        return low <= self.low and self.high <= high


@dataclass(frozen=True, eq=False)
class _Grid:
    """``scale * n + offset`` for integers n."""

    integers: Whole
    scale: ExactArray
    offset: ExactArray

    def whole(self) -> Whole | None:
        if not _whole_numbers(self.scale) or not _whole_numbers(self.offset):
            return None
        low, high = self.integers.low, self.integers.high
        if low is None or high is None:
            return Whole()
        ends = [int(factor * end) for factor in set(self.scale.ravel()) for end in (low, high)]
        offsets = self.offset.ravel()
        return Whole(min(ends) + int(min(offsets)), max(ends) + int(max(offsets)))


def whole(graph: m.ModelGraph, name: str) -> Whole | None:
    """The integers that a tensor holds; None if it may hold other numbers."""
    grid = _Search(graph).of(name, _DEPTH)
    return None if grid is None else grid.whole()


class _Search:
    def __init__(self, graph: m.ModelGraph) -> None:
        self.graph = graph
        self.known: dict[str, _Grid | None] = {}

    def of(self, name: str, depth: int) -> _Grid | None:
        if name not in self.known:
            self.known[name] = self._result(name, depth) if depth else None
        return self.known[name]

    def _result(self, name: str, depth: int) -> _Grid | None:
        node = self.graph[name]
        match node.op:
            case m.Quantize(scale, zero_point, low, high):
                return _Grid(Whole(low, high), scale, as_exact(-scale * zero_point))
            case m.BipolarQuantize(scale):
                return _Grid(Whole(-1, 1), scale, _ZERO)
            case m.MultiThreshold(thresholds, step, bias):
                levels = Whole(0, thresholds.shape[1])
                return _Grid(levels, exact_array(step), exact_array(bias))
            case m.ArgMax():
                return _plain(Whole(0))
            case m.Input():
                return None
        operands = [self.of(operand, depth - 1) for operand in node.inputs]
        if isinstance(node.op, m.Affine):
            return None if operands[0] is None else _affine(operands[0], node.op)
        integers = [None if operand is None else operand.whole() for operand in operands]
        if isinstance(node.op, m.Round):
            return _plain(integers[0] or Whole())
        known = [operand for operand in integers if operand is not None]
        result = _behind(node.op, known) if len(known) == len(operands) else None
        return None if result is None else _plain(result)


def _plain(integers: Whole) -> _Grid:
    return _Grid(integers, _ONE, _ZERO)


def _affine(operand: _Grid, op: m.Affine) -> _Grid | None:
    parts = (op.scale, op.offset, operand.scale, operand.offset)
    if int(np.prod(np.broadcast_shapes(*(part.shape for part in parts)))) > _MAX_PARAMETERS:
        return None
    offset = as_exact(op.scale * operand.offset + op.offset)
    return _Grid(operand.integers, as_exact(op.scale * operand.scale), offset)


def _behind(op: m.ModelOp, operands: list[Whole]) -> Whole | None:
    """The integers behind an operation on integers."""
    match op:
        case m.Conv(weight, bias) | m.ConvTranspose(weight, bias):
            integral = _integral(weight) and (bias is None or _whole_numbers(bias))
            return Whole() if integral else None
        case m.MatMul(weight):
            return Whole() if _integral(weight) else None
        case m.Elementwise(m.Function.RELU) | m.Elementwise(m.Function.ABS):
            low, high = operands[0].low, operands[0].high
            return Whole(0, None if low is None or high is None else max(-low, high, 0))
        case m.Add() | m.Mul():
            return Whole()
        case m.MaxPool() | m.Gather() | m.Reshape() | m.Transpose():
            return operands[0]
        case m.Concat():
            return _union(operands)
        case m.Pad(_, fill):
            if fill.denominator == 1:
                return _union([operands[0], Whole(int(fill), int(fill))])
    return None


def _whole_numbers(numbers: ExactArray) -> bool:
    return all(number.denominator == 1 for number in numbers.ravel())


def _integral(weight: QuantizedConstant) -> bool:
    return _whole_numbers(weight.scale) and _whole_numbers(weight.zero_point)


def _union(parts: list[Whole]) -> Whole:
    lows = [part.low for part in parts if part.low is not None]
    highs = [part.high for part in parts if part.high is not None]
    return Whole(
        min(lows) if len(lows) == len(parts) else None,
        max(highs) if len(highs) == len(parts) else None,
    )
