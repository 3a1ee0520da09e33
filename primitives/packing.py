"""Several products with a common factor in one DSP slice, and how many may be added up in it.

A DSP48E1 (AMD UG479) multiplies 25 by 18 signed bits and adds to 48. Weights w_0 .. w_n-1 that are
multiplied by the same activation a share a slice: with a distance d,

    (w_0 + w_1 2^d + ...) a + sum of 2^(d i + d - 1) for i < n - 1

has the products in fields of d bits. As long as each lies within d signed bits, the constant keeps
fields from borrowing of the next one, and field i is w_i a with its top bit inverted (AMD WP486
corrects the borrow in an adder instead). Sums of several such numbers, with one constant, behave
alike: products are added up in the slices' own cascade as long as the fields hold the sums.
"""

from dataclasses import dataclass
from functools import cache

__all__ = ["MAX_CHAIN", "Bounds", "Packing", "plan_packing"]

LONG, SHORT = 25, 18
"""Bits of the signed factors of a slice."""
MAX_WEIGHTS = 4
MAX_CHAIN = 4
"""Slices in a cascade: their own registers delay the operands of the third and fourth."""

Bounds = tuple[int, int]
"""Least and greatest value of a range that contains 0."""


@dataclass(frozen=True)
class Packing:
    """Products of some weights and one activation in a slice.

    Attributes
    ----------
    count : int
        Weights in a slice.
    distance : int
        Bits from one field to the next; of no meaning if there is one weight.
    terms : int
        Slices in a cascade, at most `MAX_CHAIN`.
    negative : bool
        The cascade subtracts products, as -128 * -128 twice would not fit otherwise.
    """

    count: int
    distance: int
    terms: int
    negative: bool

    @property
    def bias(self) -> int:
        """Constant that keeps fields apart."""
        return sum(1 << (self.distance * i + self.distance - 1) for i in range(self.count - 1))

    def chains(self, lanes: int) -> list[int]:
        """Lengths of the cascades of a dot product."""
        return [min(self.terms, lanes - k) for k in range(0, lanes, self.terms)]

    def levels(self, lanes: int) -> int:
        """Registers in the longest cascade: one for each two slices."""
        return -(-min(self.terms, lanes) // 2)


def _fits(bounds: Bounds, bits: int) -> bool:
    return -(1 << (bits - 1)) <= bounds[0] and bounds[1] < 1 << (bits - 1)


def product_bounds(act: Bounds, weight: Bounds) -> Bounds:
    """Least and greatest product."""
    corners = [a * w for a in act for w in weight]
    return min(corners), max(corners)


def _terms(product: Bounds, bits: int) -> tuple[int, bool]:
    """Most products whose sum has so many signed bits, and whether their negative has to be."""
    low, high = max(1, -product[0]), max(1, product[1])
    half = 1 << (bits - 1)
    as_is = min(half // low, (half - 1) // high, MAX_CHAIN)
    negative = min((half - 1) // low, half // high, MAX_CHAIN)
    return max(as_is, negative), negative > as_is


def _packed(act: Bounds, weight: Bounds, count: int) -> Packing | None:
    """The packing with the widest fields; None if they do not hold single products."""
    distance = (LONG - 1) // (count - 1)
    while not _fits(_sum_of_fields(weight, count, distance), LONG):
        distance -= 1
        if not distance:
            return None
    terms, negative = _terms(product_bounds(act, weight), distance)
    return Packing(count, distance, terms, negative) if terms else None


def _sum_of_fields(weight: Bounds, count: int, distance: int) -> Bounds:
    ones = sum(1 << (distance * i) for i in range(count))
    return weight[0] * ones, weight[1] * ones


@cache
def plan_packing(act: Bounds, weight: Bounds, sharing: int) -> Packing | None:
    """Products in as few slices as is worth it.

    More than two in a slice have to leave room for sums: each field costs an adder in LUTs for each
    cascade, so that cascades of one slice take more LUTs than narrow products in LUTs do.

    Parameters
    ----------
    act, weight : (int, int)
        Ranges, which contain 0.
    sharing : int
        Weights that are multiplied by the same activation, at least 1.

    Returns
    -------
    Packing or None
        None if the factors are too wide for a slice.
    """
    if _fits(act, SHORT):
        for most in range(min(sharing, MAX_WEIGHTS), 1, -1):
            # Slices of equal size: 4 weights are 2 + 2 rather than 3 + 1.
            count = -(-sharing // -(-sharing // most))
            packing = _packed(act, weight, count)
            if packing is not None and (packing.terms > 1 or count == 2):
                return packing
    one = (_fits(act, SHORT) and _fits(weight, LONG)) or (_fits(act, LONG) and _fits(weight, SHORT))
    return Packing(1, 0, MAX_CHAIN, False) if one else None
