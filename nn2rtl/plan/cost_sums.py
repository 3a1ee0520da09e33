"""Area of sums of constant multiples: requantization by shifts and adders, weighted sums."""

from __future__ import annotations

from functools import lru_cache

from nn2rtl.ir.types import IntType
from nn2rtl.plan.cost_parts import Area, carries, width_of
from nn2rtl.primitives.shift_add import canonical_digits


class _Sum:
    """A partial sum in `constant_sum`: ``sign * (value << shift)``.

    Parameters
    ----------
    ends : tuple of (int, int)
        Least and greatest value of each input.
    factors : tuple of int
        Of the inputs in the sum.
    offset : int
        Constant in the sum.
    sign, shift : int
        See above.
    operands : tuple of _Sum
        Two that are added, one that is passed on, or none: an input or a constant.
    """

    def __init__(
        self,
        ends: tuple[tuple[int, int], ...],
        factors: tuple[int, ...],
        offset: int,
        sign: int,
        shift: int,
        operands: tuple[_Sum, ...] = (),
    ) -> None:
        self.ends, self.factors, self.offset = ends, factors, offset
        self.sign, self.shift, self.operands = sign, shift, operands
        low = high = offset
        for factor, (least, greatest) in zip(factors, ends):
            low += factor * (least if factor >= 0 else greatest)
            high += factor * (greatest if factor >= 0 else least)
        if sign < 0:
            low, high = -high, -low
        self.top = shift + width_of(low >> shift, high >> shift)
        # Bits below this position are the same in all values.
        self.fixed_below = shift if any(factors) else self.top
        self.adder_from = self.needed_from = 0
        if len(operands) == 1:
            self.adder_from, self.fixed_below = self.top, operands[0].fixed_below
        elif operands:
            a, b = operands
            # A lower term that is subtracted takes part with all its bits.
            self.adder_from = a.shift if a.sign < b.sign else b.shift
            self.fixed_below = min(a.fixed_below, b.shift)

    @property
    def value(self) -> tuple[int, ...]:
        """Factors of the value that stands for the sum, without sign and shift."""
        return tuple(self.sign * factor >> self.shift for factor in self.factors)

    def added(self, *others: _Sum) -> _Sum:
        """The registered sum with another one, as `shift_add._added` builds it; or this, later."""
        operands = tuple(sorted((self, *others), key=lambda term: term.shift))
        return _Sum(
            self.ends,
            tuple(map(sum, zip(*(term.factors for term in operands)))),
            sum(term.offset for term in operands),
            max(term.sign for term in operands),
            operands[0].shift,
            operands,
        )

    def area(self) -> Area:
        """Adder and register, of the bits that are needed."""
        ff = max(0, self.top - max(self.shift, self.needed_from, self.fixed_below))
        if len(self.operands) < 2:
            return Area(ff=ff)
        adder = max(0, self.top - self.adder_from)
        # A constant bit only inverts the other operand's, or does nothing.
        lut = float(adder)
        for term in self.operands:
            if not any(term.factors):
                ones = term.offset >> self.adder_from & (1 << adder) - 1
                return Area(ones.bit_count(), ff, carry=carries(adder))
            lut -= min(adder, max(0, term.fixed_below - max(self.adder_from, term.shift))) / 2
        return Area(lut, ff, carry=carries(adder))


def _tree(terms: list[_Sum], drop: int) -> tuple[Area, int]:
    """Registered binary tree of terms, whose sum's low bits are not used; and its depth."""
    levels = []
    while len(terms) > 1:
        terms = [terms[k].added(*terms[k + 1 : k + 2]) for k in range(0, len(terms), 2)]
        levels.append(terms)
    area = Area()
    if levels:
        terms[0].needed_from = drop
    built: set[tuple[int, ...]] = set()  # equal values are built once
    for row in reversed(levels):
        for term in row:
            if term.value not in built or term.offset:
                area = area + term.area()
            built.add(term.value)
            for operand in term.operands:
                operand.needed_from = min(term.needed_from, term.adder_from)
    return area, len(levels)


@lru_cache(maxsize=65536)
def shift_add(low: int, high: int, factor: int, offset: int, drop: int) -> Area:
    """`constant_sum` of one value, of which the lowest bits are dropped."""
    ends = ((low, high),)
    terms = [
        _Sum(ends, (digit << shift,), 0, digit, shift) for shift, digit in canonical_digits(factor)
    ]
    if offset:
        terms.append(_Sum(ends, (0,), offset, 1, 0))
    if len(terms) == 1 and terms[0].sign < 0:
        bits = width_of(low, high) + 1
        return Area(bits, bits, carry=carries(bits))
    return _tree(terms, drop)[0]


@lru_cache(maxsize=4096)
def weighted_sum(a: IntType, b: IntType, weights: tuple[int, int], lanes: int) -> Area:
    """`WeightedSum`: the digits of both weights in one adder tree."""
    ends = (a.low, a.high), (b.low, b.high)
    terms = [
        _Sum(ends, (digit << shift, 0) if k == 0 else (0, digit << shift), 0, digit, shift)
        for k, weight in enumerate(weights)
        for shift, digit in canonical_digits(weight)
    ]
    area, depth = _tree(terms, 0)
    return area * lanes + Area(ff=max(1, depth))
