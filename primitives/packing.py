"""Several products with a common factor in one DSP slice, and how many may be added up in it.

A DSP48E1 (AMD UG479) multiplies 25 by 18 signed bits and adds to 48. Weights w_0 .. w_n-1 that are
multiplied by the same activation a share a slice: with a distance d,

    (w_0 + w_1 2^d + ...) a + sum of 2^(d i + d - 1) for i < n - 1

has the products in fields of d bits. If each of them is a signed number of d bits, the constant
keeps fields from borrowing of the next one, and w_i a is field i with its top bit inverted. (AMD
WP486, for wider slices, corrects the borrow in an adder instead.) Sums of such numbers, with one
constant, behave alike: the slices' own cascade adds up as many products as the fields hold.
"""

from dataclasses import dataclass
from functools import cache

__all__ = [
    "ALU_BITS",
    "MAX_CHAIN",
    "Bounds",
    "DspPlan",
    "Packing",
    "plan_dsp",
    "plan_packing",
    "product_bounds",
]

LONG, SHORT = 25, 18
"""Bits of the signed factors of a slice."""
ALU_BITS = 48
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
    less : int
        How much less than the sum all fields but the highest hold, 0 or 1: twice -128 * -128 fits
        with 1 only.
    """

    count: int
    distance: int
    terms: int
    less: int

    @property
    def bias(self) -> int:
        """Constant that keeps fields apart."""
        half = 1 << (self.distance - 1) if self.count > 1 else 0
        return sum((half - self.less) << (self.distance * i) for i in range(self.count - 1))

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


def _terms(product: Bounds, bits: int) -> tuple[int, int]:
    """Most products whose sum, or one less than that, has so many signed bits; and how much less.
    """
    low, high = max(1, -product[0]), max(1, product[1])
    half = 1 << (bits - 1)
    as_is = min(half // low, (half - 1) // high, MAX_CHAIN)
    one_less = min((half - 1) // low, half // high, MAX_CHAIN)
    return max(as_is, one_less), int(one_less > as_is)


def _packed(act: Bounds, weight: Bounds, count: int) -> Packing | None:
    """The packing with the widest fields; None if they do not hold single products."""
    distance = (LONG - 1) // (count - 1)
    while not _fits(_sum_of_fields(weight, count, distance), LONG):
        distance -= 1
        if not distance:
            return None
    terms, less = _terms(product_bounds(act, weight), distance)
    return Packing(count, distance, terms, less) if terms else None


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
    return Packing(1, 0, MAX_CHAIN, 0) if one else None


@dataclass(frozen=True)
class DspPlan:
    """How the dot products of an array are built of DSP slices.

    Attributes
    ----------
    packing : Packing or None
        Products in a slice; None leaves products that are too wide for one to the synthesiser.
    in_place : bool
        The slice sums up over the beats itself: there is one product in it, and one lane.
    levels : int
        Registered levels of the adder tree behind the slices.
    latency : int
        Cycles from the last beat of a group to its sums.
    """

    packing: Packing | None
    in_place: bool
    levels: int
    latency: int


def plan_dsp(act: Bounds, weight: Bounds, acc_width: int, sharing: int, lanes: int) -> DspPlan:
    """Plan dot products in DSP slices.

    Parameters
    ----------
    act, weight : (int, int)
        Ranges of activations and weights, which contain 0.
    acc_width : int
        Bits of the sums.
    sharing : int
        Dot products that share activations.
    lanes : int
        Products in a dot product.
    """
    packing = plan_packing(act, weight, sharing)
    if packing is None:
        levels = (lanes - 1).bit_length()
        return DspPlan(None, False, levels, 2 + levels + 1)
    if packing.count == 1 and lanes == 1 and acc_width <= ALU_BITS:
        return DspPlan(packing, True, 0, 3)
    levels = (len(packing.chains(lanes)) - 1).bit_length()
    return DspPlan(packing, False, levels, 2 + packing.levels(lanes) + levels + 1)
