"""Division of integers, with a rounded quotient."""

from typing import Literal, get_args

from amaranth.hdl import Cat, Const, Module, Mux, Value, signed, unsigned
from amaranth.lib.data import StructLayout

from nn2rtl.primitives._check import check_positive
from nn2rtl.primitives.pipe import Pipe, named, register

__all__ = ["Divider", "QuotientRounding", "divider_latency"]

QuotientRounding = Literal["half_even", "half_odd", "half_up", "half_down", "floor"]


def divider_latency(max_numerator: int, min_total: int) -> int:
    """Return the latency of :class:`Divider`: a cycle for each bit, and one for rounding."""
    return max(1, (2 * max_numerator // min_total).bit_length()) + 1


class Divider(Pipe):
    """``numerator / total``, rounded to an integer; not restoring, one bit a stage.

    Each stage adds the total to the remainder, or subtracts it, by the remainder's sign (one carry
    chain); the sign of the sum is a bit of the quotient. The last bit is half a unit: it and the
    remainder decide the rounding.

    Parameters
    ----------
    max_numerator : int
        Greatest numerator.
    min_total, max_total : int
        Least and greatest total.
    rounding : {"half_even", "half_odd", "half_up", "half_down", "floor"}
        To the nearest integer, and what becomes of ties; or down.

    Attributes
    ----------
    bits : int
        Bits of ``2 * numerator / total``, one a stage.
    latency : int
        ``bits + 1``.
    max_quotient : int
        Greatest quotient that can result.

    Members
    -------
    i : In(stream.Signature(StructLayout, always_ready=True))
        ``numerator`` and ``total``, unsigned, as wide as their greatest values.
    o : Out(stream.Signature(unsigned, always_ready=True))
        Quotients.

    Raises
    ------
    TypeError
        If a number is not an integer.
    ValueError
        If a number is less than 1, the totals are no range, or `rounding` is none of the five.
    """

    def __init__(
        self,
        max_numerator: int,
        min_total: int,
        max_total: int,
        rounding: QuotientRounding = "half_even",
    ) -> None:
        check_positive(
            "Divider", max_numerator=max_numerator, min_total=min_total, max_total=max_total
        )
        if min_total > max_total:
            raise ValueError(f"totals must be a range, not {min_total} to {max_total}")
        known = get_args(QuotientRounding)
        if rounding not in known:
            raise ValueError(f"rounding must be one of {', '.join(known)}, not {rounding!r}")
        self.rounding = rounding
        latency = divider_latency(max_numerator, min_total)
        self.bits = latency - 1
        self.max_quotient = (2 * max_numerator // min_total + (rounding != "floor")) >> 1
        self.total_bits = max_total.bit_length()
        payload = StructLayout(
            {
                "numerator": unsigned(max_numerator.bit_length()),
                "total": unsigned(self.total_bits),
            }
        )
        out = unsigned(max(1, self.max_quotient.bit_length()))
        super().__init__(payload, out, latency)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._valid_chain(m)
        shape = signed(self.total_bits + 1)
        doubled = Cat(Const(0, 1), self.i.payload.numerator)
        # The bits above those of the quotient are less than the total: a remainder to begin with.
        rest: Value = doubled[: self.bits]
        remainder: Value = named(m, doubled[self.bits :], shape, "start")
        total: Value = self.i.payload.total
        quotient: Value = Const(0, 0)
        for stage in reversed(range(self.bits)):
            add = remainder[-1]
            shifted = named(m, Cat(rest[-1], remainder)[: shape.width], shape, f"shifted_{stage}")
            other = named(m, total ^ (~add).replicate(self.total_bits), self.total_bits,
                          f"other_{stage}")  # fmt: skip
            # The carry that a complement needs comes in below; the sum stays within the shape.
            whole = Cat(Const(1, 1), shifted) + Cat(~add, other, ~add)
            remainder = register(m, whole[1 : shape.width + 1], shape, f"remainder_{stage}")
            if stage < self.bits - 1:
                quotient = Cat(~add, quotient)
            rest = register(m, rest[:-1], len(rest) - 1, f"rest_{stage}") if stage else rest[:0]
            if stage:
                total = register(m, total, self.total_bits, f"total_{stage}")
            if len(quotient):
                quotient = register(m, quotient, len(quotient), f"quotient_{stage}")
        half = ~remainder[-1]
        # Where the last bit is set, the remainder is the sum; else there is no tie.
        tie = remainder == 0
        odd = quotient[0] if len(quotient) else Const(0, 1)
        up = {
            "half_up": half,
            "half_down": half & ~tie,
            "half_even": half & (~tie | odd),
            "half_odd": half & (~tie | ~odd),
            "floor": Const(0, 1),
        }[self.rounding]
        rounded = Mux(up, quotient + 1, quotient) if len(quotient) else up
        m.d.comb += self.o.payload.eq(register(m, rounded, len(self.o.payload), "rounded"))
        return m
