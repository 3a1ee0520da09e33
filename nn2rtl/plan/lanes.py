"""Choice of the number of lanes of what moves elements without computing."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd

MAX_STREAM_BITS = 1024
"""Widest stream between layers: of AXI4-Stream, and of what can still be routed."""


def divisors(number: int) -> list[int]:
    """All divisors, ascending."""
    small = [d for d in range(1, int(number**0.5) + 1) if number % d == 0]
    return small + [number // d for d in reversed(small) if d * d != number]


def rate(a: int, b: int) -> int:
    """Elements a cycle between streams of `a` and of `b` lanes, width converters included.

    If none divides the other, both are converted to their greatest common divisor.
    """
    return min(a, b) if max(a, b) % min(a, b) == 0 else gcd(a, b)


def move_cycles(
    operands: Sequence[tuple[int, int, int]], elements: int, lanes: int, wanted: int
) -> int:
    """Cycles an inference of a stage that takes each element and yields each element once.

    Parameters
    ----------
    operands : sequence of (int, int, int)
        Elements of each operand, lanes of its stream, and lanes that the stage takes.
    elements, lanes, wanted : int
        Elements of the result, its lanes, and the lanes that its reader wants.
    """
    taken = [-(-size // rate(own, at_once)) for size, own, at_once in operands]
    return max(*taken, -(-elements // rate(lanes, wanted)), -(-elements // lanes))


def choose_lanes(
    valid: Sequence[int], operands: Sequence[tuple[int, int]], elements: int, wanted: int, bits: int
) -> int:
    """The fewest lanes with which a stage is as fast as it can be between its neighbours.

    Parameters
    ----------
    valid : sequence of int
        Numbers to choose from.
    operands : sequence of (int, int)
        Elements an inference and lanes of each operand's stream.
    elements : int
        Elements of the result.
    wanted : int
        Lanes that its reader wants.
    bits : int
        Of an element.
    """

    def cycles(lanes: int) -> int:
        return move_cycles([(*operand, lanes) for operand in operands], elements, lanes, wanted)

    fitting = [lanes for lanes in valid if lanes * bits <= MAX_STREAM_BITS] or [min(valid)]
    return min(fitting, key=lambda lanes: (cycles(lanes), lanes))
