"""Dot products in LUTs: how to cut them into small tables and add those up.

A product of two narrow numbers is one LUT6 for each result bit as long as both have six bits
together. Wider ones are cut into chunks; several very narrow ones share a table. The tables' values
are added in a binary tree, equal weights first, so that low bits are not carried along.
"""

from dataclasses import dataclass
from functools import cache
from itertools import product

from nn2rtl.primitives.pipe import shape_containing

__all__ = ["DotProductPlan", "Node", "Table", "plan_dot_product"]

TABLE_INPUTS = 6
"""Inputs of a look-up table of the target."""

Term = tuple[int, int, int, int, int]
"""A product in a table: lane, lowest bit and bits of the activation, the same of the weight."""


@dataclass(frozen=True)
class Table:
    """Sum of products of chunks, as a function of at most `TABLE_INPUTS` bits.

    Attributes
    ----------
    terms : tuple of Term
        The inputs are, lowest first, the activation bits, then the weight bits of each term.
    shift : int
        Weight of the value: ``value << shift`` goes into the sum.
    values : tuple of int
        Value for each input pattern.
    """

    terms: tuple[Term, ...]
    shift: int
    values: tuple[int, ...]

    @property
    def bounds(self) -> tuple[int, int]:
        """Least and greatest value."""
        return min(self.values), max(self.values)


@dataclass(frozen=True)
class Node:
    """Registered sum of one or two operands of the level before.

    Attributes
    ----------
    operands : tuple of int
        Indices into the level before; level 0 are the tables.
    shift : int
        Weight of the value.
    bounds : tuple of int
        Least and greatest value.
    """

    operands: tuple[int, ...]
    shift: int
    bounds: tuple[int, int]


@dataclass(frozen=True)
class DotProductPlan:
    """Tables and adder tree of a dot product.

    Attributes
    ----------
    tables : tuple of Table
    levels : tuple of tuple of Node
        Registered levels of the adder tree; the last one has a single node. Empty if there is
        only one table.
    """

    tables: tuple[Table, ...]
    levels: tuple[tuple[Node, ...], ...]

    @property
    def root(self) -> Table | Node:
        """What gives the sum."""
        return self.levels[-1][0] if self.levels else self.tables[0]

    @property
    def luts(self) -> int:
        """Estimate of the LUTs: a LUT for each bit of a table's value and of a sum."""
        total: int = sum(shape_containing(*table.bounds).width for table in self.tables)
        below: tuple[Table | Node, ...] = self.tables
        for level in self.levels:
            for node in level:
                if len(node.operands) == 2:
                    apart = abs(below[node.operands[0]].shift - below[node.operands[1]].shift)
                    total += shape_containing(*node.bounds).width - apart
            below = level
        return total

    @property
    def registers(self) -> int:
        """Flip-flops of the tree."""
        return sum(shape_containing(*node.bounds).width for level in self.levels for node in level)


def _chunks(width: int, size: int) -> list[tuple[int, int]]:
    return [(low, min(size, width - low)) for low in range(0, width, size)]


def _part(pattern: int, low: int, bits: int, width: int, signed: bool) -> int:
    """Value of a chunk: its top bit counts negative if it is the sign of the whole number."""
    negative = signed and low + bits == width and pattern >> (bits - 1)
    return pattern - (1 << bits) if negative else pattern


def _tables(
    act: tuple[int, bool], weight: tuple[int, bool], lanes: int, sizes: tuple[int, int]
) -> list[Table]:
    shared = max(1, TABLE_INPUTS // (sizes[0] + sizes[1]))
    tables = []
    for (alow, abits), (wlow, wbits) in product(_chunks(act[0], sizes[0]),
                                                _chunks(weight[0], sizes[1])):
        one = [
            _part(a, alow, abits, *act) * _part(w, wlow, wbits, *weight)
            for w in range(1 << wbits) for a in range(1 << abits)
        ]
        for start in range(0, lanes, shared):
            members = range(start, min(lanes, start + shared))
            values = [0]
            for _ in members:
                values = [high + low for high in one for low in values]
            terms = tuple((lane, alow, abits, wlow, wbits) for lane in members)
            tables.append(Table(terms, alow + wlow, tuple(values)))
    return sorted(tables, key=lambda table: table.shift)


def _tree(tables: list[Table]) -> list[tuple[Node, ...]]:
    levels: list[tuple[Node, ...]] = []
    below: list[Table] | tuple[Node, ...] = tables
    while len(below) > 1:
        level = []
        for k in range(0, len(below), 2):
            pair = below[k : k + 2]
            shift = min(operand.shift for operand in pair)
            low, high = (
                sum(operand.bounds[end] << (operand.shift - shift) for operand in pair)
                for end in (0, 1)
            )
            level.append(Node(tuple(range(k, k + len(pair))), shift, (low, high)))
        below = tuple(level)
        levels.append(below)
    return levels


@cache
def plan_dot_product(
    act: tuple[int, bool], weight: tuple[int, bool], lanes: int
) -> DotProductPlan:
    """Cheapest cut of ``sum(act[k] * weight[k] for k in range(lanes))`` into tables.

    Parameters
    ----------
    act, weight : tuple of (int, bool)
        Width, and whether signed.
    lanes : int
        Products, at least 1.

    Returns
    -------
    DotProductPlan
        The one with the fewest LUTs, and of these with the fewest levels.
    """
    plans = []
    for asize in range(1, min(act[0], TABLE_INPUTS - 1) + 1):
        for wsize in range(1, min(weight[0], TABLE_INPUTS - asize) + 1):
            tables = _tables(act, weight, lanes, (asize, wsize))
            plans.append(DotProductPlan(tuple(tables), tuple(_tree(tables))))
    return min(plans, key=lambda plan: (plan.luts, len(plan.levels)))
