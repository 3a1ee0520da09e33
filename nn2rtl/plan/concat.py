"""Concatenations: chunks of each stream, and the lanes for which there are whole words of them."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd, prod

from nn2rtl.ir import integer as ig
from nn2rtl.ir.types import IntTensor
from nn2rtl.plan.cost_parts import Area, bits_for, counter, credits, fifo
from nn2rtl.plan.lanes import divisors
from nn2rtl.plan.stages import ConcatStage


def concat_lanes(operands: Sequence[IntTensor]) -> list[int]:
    """Numbers of lanes of which each operand's channels are a multiple, ascending."""
    return divisors(gcd(*(operand.channels for operand in operands)))


def concat_chunks(op: ig.Concat, operands: Sequence[IntTensor], lanes: int) -> tuple[int, ...]:
    """Words of each operand that follow each other: all that is within the axis."""
    return tuple(prod(operand.shape[op.axis :]) // lanes for operand in operands)


def concat_order(stage: ConcatStage) -> list[int]:
    """The operand of each step of an inference."""
    turn = [k for k, chunk in enumerate(stage.chunks) for _ in range(chunk)]
    return turn * (stage.result.beats // len(turn))


def concat_area(stage: ConcatStage) -> Area:
    """`Concat`: turn and word counters, the multiplexer and its register, credits and FIFO."""
    count, bits, longest = len(stage.chunks), stage.result.bits, max(stage.chunks)
    chunk = counter(longest)
    if min(stage.chunks) < longest:
        chunk = chunk + Area(bits_for(longest))
    select = Area(bits * (1 if count <= 4 else count / 3) + 4, bits + 1)
    return select + chunk + counter(count) + credits(stage.depth) + fifo(stage.depth, bits)
