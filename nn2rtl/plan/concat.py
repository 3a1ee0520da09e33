"""Concatenations: lanes for which there are whole words of each stream, and chunks of them."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd, prod

from nn2rtl.ir import integer as ig
from nn2rtl.ir.types import IntTensor
from nn2rtl.plan.cost_parts import Area, bits_for, counter, credits, fifo
from nn2rtl.plan.lanes import MAX_STREAM_BITS, choose_lanes, divisors, move_cycles
from nn2rtl.plan.stages import ConcatStage


def concat_lanes(
    op: ig.Concat, operands: Sequence[tuple[IntTensor, int]], result: IntTensor, wanted: int
) -> list[int]:
    """Lanes of each operand: the same for all, in turn, or all channels of each, side by side.

    Parameters
    ----------
    op : Concat
        The axis; only channels can be side by side.
    operands : sequence of (IntTensor, int)
        Operands, and the lanes of their streams.
    result : IntTensor
        All of them.
    wanted : int
        Lanes that the result's reader wants.
    """
    channels = [operand.channels for operand, _ in operands]
    sizes = [(operand.size, own) for operand, own in operands]
    bits = result.type.width
    lanes = choose_lanes(divisors(gcd(*channels)), sizes, result.size, wanted, bits)
    in_turn = [lanes] * len(operands)
    if op.axis != 2 or result.channels * bits > MAX_STREAM_BITS:
        return in_turn

    def cycles(taken: list[int], yielded: int) -> int:
        moved = [(*size, lanes) for size, lanes in zip(sizes, taken, strict=True)]
        return move_cycles(moved, result.size, yielded, wanted)

    quicker = cycles(channels, result.channels) < max(cycles(in_turn, lanes), result.size // lanes)
    return channels if quicker else in_turn


def concat_chunks(
    op: ig.Concat, operands: Sequence[IntTensor], lanes: Sequence[int]
) -> tuple[int, ...]:
    """Words of each operand that follow each other: all that is within the axis.

    None if all channels are side by side.
    """
    if op.axis == 2 and all(o.channels == own for o, own in zip(operands, lanes, strict=True)):
        return ()
    return tuple(
        prod(operand.shape[op.axis :]) // own for operand, own in zip(operands, lanes, strict=True)
    )


def concat_order(stage: ConcatStage) -> list[int]:
    """The operand of each step of an inference that takes them in turn."""
    if not stage.chunks:
        return []
    turn = [k for k, chunk in enumerate(stage.chunks) for _ in range(chunk)]
    return turn * (stage.result.beats // len(turn))


def concat_area(stage: ConcatStage) -> Area:
    """`Concat`: turn and word counters, the multiplexer and its register, credits and FIFO.

    Side by side, `Join`: a FIFO.
    """
    if not stage.chunks:
        return fifo(stage.depth, stage.result.bits) + Area(len(stage.operands) + 1)
    count, bits, longest = len(stage.chunks), stage.result.bits, max(stage.chunks)
    chunk = counter(longest)
    if min(stage.chunks) < longest:
        chunk = chunk + Area(bits_for(longest))
    select = Area(bits * (1 if count <= 4 else count / 3) + 4, bits + 1)
    return select + chunk + counter(count) + credits(stage.depth) + fifo(stage.depth, bits)
