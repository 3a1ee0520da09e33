"""Sums of constant multiples without multipliers: signed digits in a registered adder tree.

A factor is written in canonical signed digits (no two neighbours are nonzero), the fewest digits
there are (G. W. Reitwiesner, "Binary arithmetic", Advances in Computers 1, 1960); each is a shifted
copy of the value, added or subtracted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Value
from amaranth.utils import ceil_log2

from nn2rtl.primitives.pipe import named, register, shape_containing

__all__ = ["canonical_digits", "constant_sum", "constant_sum_bounds", "constant_sum_depth"]


def canonical_digits(factor: int) -> list[tuple[int, int]]:
    """Return the nonzero canonical signed digits of `factor`, lowest first.

    Returns
    -------
    list of (int, int)
        (shift, digit) pairs: ``factor == sum(digit << shift)``, each digit 1 or -1.
    """
    digits = []
    shift = 0
    while factor:
        if factor & 1:
            digit = 2 - (factor & 3)
            digits.append((shift, digit))
            factor -= digit
        factor >>= 1
        shift += 1
    return digits


def constant_sum_bounds(
    bounds: Sequence[tuple[int, int]], factors: Sequence[int], offset: int = 0
) -> tuple[int, int]:
    """Return the least and greatest ``sum(factor * value) + offset``, each value in its bounds."""
    low = high = offset
    for (least, greatest), factor in zip(bounds, factors, strict=True):
        low += factor * (least if factor >= 0 else greatest)
        high += factor * (greatest if factor >= 0 else least)
    return low, high


def constant_sum_depth(factors: Sequence[int], offset: int = 0) -> int:
    """Return the levels of adders of :func:`constant_sum`.

    ``ceil(log2(terms))``, with a term for each signed digit and one for a nonzero offset; 1 for a
    single negative term.
    """
    digits = [digit for factor in factors for _, digit in canonical_digits(factor)]
    terms = len(digits) + (offset != 0)
    if terms == 1:
        return int(digits == [-1])
    return int(ceil_log2(max(1, terms)))


@dataclass(frozen=True)
class _Term:
    """Partial sum: ``sign * (value << shift) == sum(coefficient * input) + offset``."""

    value: Value
    sign: int
    shift: int
    coefficients: tuple[int, ...]
    offset: int

    def bounds(self, bounds: Sequence[tuple[int, int]]) -> tuple[int, int]:
        """Bounds of `value`, from those of the inputs."""
        low, high = constant_sum_bounds(bounds, self.coefficients, self.offset)
        if self.sign < 0:
            low, high = -high, -low
        return low >> self.shift, high >> self.shift


def _low(value: Value, width: int) -> Value:
    """Low bits of a number, extended where it is narrower."""
    missing = max(0, width - len(value))
    sign = value[-1] if value.shape().signed else Const(0, 1)
    return Cat(value[:width], sign.replicate(missing))


def _added(a: _Term, b: _Term) -> _Term:
    """Add two terms without a register; what is below the higher shift is not carried along."""
    if a.shift > b.shift:
        a, b = b, a
    apart = b.shift - a.shift
    if a.sign < b.sign:
        value = b.value.shift_left(apart) - a.value
    else:
        upper = a.value.shift_right(apart)
        upper = upper + b.value if a.sign == b.sign else upper - b.value
        value = Cat(_low(a.value, apart), upper)
        value = value.as_signed() if upper.shape().signed else value
    return _Term(
        value,
        max(a.sign, b.sign),
        a.shift,
        tuple(p + q for p, q in zip(a.coefficients, b.coefficients)),
        a.offset + b.offset,
    )


def constant_sum(
    m: Module,
    values: Sequence[Value],
    bounds: Sequence[tuple[int, int]],
    factors: Sequence[int],
    offset: int,
    latency: int,
    name: str = "sum",
) -> Value:
    """Build ``sum(factor * value) + offset`` with `latency` registers.

    Parameters
    ----------
    m : Module
        Gets the statements.
    values : sequence of Value
        Inputs; any of them may be used in any cycle.
    bounds : sequence of (int, int)
        Least and greatest value of each input: every adder gets the bits it needs for these.
    factors : sequence of int
        Factor of each input.
    offset : int
        Constant to add.
    latency : int
        Cycles, at least ``constant_sum_depth(factors, offset)``. The first ones beyond it delay
        the inputs.
    name : str
        Prefix of the names of signals.

    Returns
    -------
    Value
        The sum, correct as a number whatever its width.

    Raises
    ------
    ValueError
        If `latency` is too short, or the sequences are not equally long.
    """
    if not len(values) == len(bounds) == len(factors):
        raise ValueError(
            f"need as many values as bounds and factors, not {len(values)}, {len(bounds)} "
            f"and {len(factors)}"
        )
    depth = constant_sum_depth(factors, offset)
    if latency < depth:
        raise ValueError(f"latency must be at least {depth}, not {latency!r}")

    terms: list[_Term] = []
    for k, factor in enumerate(factors):
        if not factor:
            continue
        shape = shape_containing(*bounds[k])
        value: Value = named(m, values[k], shape, f"{name}_in_{k}")
        for cycle in range(latency - depth):
            value = register(m, value, shape, f"{name}_in_{k}_{cycle}")
        for shift, digit in canonical_digits(factor):
            coefficients = tuple(digit << shift if k == n else 0 for n in range(len(factors)))
            terms.append(_Term(value, digit, shift, coefficients, 0))
    if offset:
        constant = Const(offset, shape_containing(min(offset, 0), max(offset, 0)))
        terms.append(_Term(constant, 1, 0, (0,) * len(factors), offset))
    if not terms:
        return Const(0, 1)

    for level in range(depth):
        sums = []
        for k in range(0, len(terms), 2):
            term = _added(*terms[k : k + 2]) if k + 1 < len(terms) else terms[k]
            if level == depth - 1 and term.sign < 0:
                negated = -term.value.shift_left(term.shift)
                term = _Term(negated, 1, 0, term.coefficients, term.offset)
            shape = shape_containing(*term.bounds(bounds))
            value = register(m, term.value, shape, f"{name}_{level}_{k // 2}")
            sums.append(_Term(value, term.sign, term.shift, term.coefficients, term.offset))
        terms = sums
    (term,) = terms
    return term.value.shift_left(term.shift)
