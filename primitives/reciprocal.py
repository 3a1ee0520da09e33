"""Reciprocal of a fixed-point number by Newton and Raphson's iteration on one multiplier."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from nn2rtl.primitives._check import check_positive
from nn2rtl.primitives.multiply import LutMultiplier, lut_multiplier_latency
from nn2rtl.primitives.pipe import register

__all__ = ["Reciprocal", "ReciprocalQuotient", "quotient_latency", "reciprocal_latency"]

_START = 1515870810  # 48/17 in Q2.29
_SLOPE = -1010580540  # -32/17 in Q2.29
_ONE = 1 << 29
_ROUNDS = 3
_SUM_FRACTION = 19
_FACTOR = signed(32)
_STEP_BITS = 23  # of a product in Q0.31, below a step of 1/256


def _shifts(min_total: int) -> int:
    return 31 - min_total.bit_length()


def reciprocal_latency(min_total: int, multiplier_latency: int) -> int:
    """Return the latency of :class:`Reciprocal`.

    It is two cycles to the total, one for each bit that is shifted, 7 multiplications with two
    cycles more each, and one for the result.
    """
    return 3 + _shifts(min_total) + (1 + 2 * _ROUNDS) * (multiplier_latency + 2)


class Reciprocal(Component):
    """TensorFlow Lite's ``GetReciprocal`` of a number in Q12.19, integer for integer.

    The number is shifted to the left until it lies between 1/2 and 1, one bit a cycle. Then the
    iteration uses a multiplier of two signed factors of 32 bits outside, whose product is
    ``multiplier_latency`` cycles behind its factors, rounded to its upper half (``a b / 2^31``,
    ties up) and registered: another cycle.

    Parameters
    ----------
    min_total : int
        Least number; at least 1.
    multiplier_latency : int
        Registers of the multiplier.

    Members
    -------
    start : In(1)
        Begin; the total follows in the next cycle. Not before the one before is done.
    total : In(31)
        The number in Q12.19.
    busy : Out(1)
        Whether the factors are used.
    a, b : Out(signed(32))
        Factors.
    high : In(signed(32))
        Rounded upper half of the product, ``multiplier_latency + 1`` cycles behind the factors.
    mantissa : Out(31)
        Of the reciprocal, which is ``mantissa / 2^31 / 2^exponent``; held until the next is done.
    exponent : Out(4)
        See above.

    Attributes
    ----------
    latency : int
        From `start` to the first cycle with the result, :func:`reciprocal_latency`. The
        multiplier is used from `first_use` cycles after `start` on.

    Raises
    ------
    TypeError
        If a parameter is not an integer.
    ValueError
        If one is less than 1, or `min_total` has more than 31 bits.
    """

    start: Signal
    total: Signal
    busy: Signal
    a: Signal
    b: Signal
    high: Signal
    mantissa: Signal
    exponent: Signal

    def __init__(self, min_total: int, multiplier_latency: int) -> None:
        check_positive("Reciprocal", min_total=min_total, multiplier_latency=multiplier_latency)
        if min_total.bit_length() > 31:
            raise ValueError(f"min_total must have at most 31 bits, not {min_total!r}")
        self.shifts = _shifts(min_total)
        self.period = multiplier_latency + 2
        self.first_use = 2 + self.shifts
        self.latency = reciprocal_latency(min_total, multiplier_latency)
        super().__init__(
            {
                "start": In(1),
                "total": In(31),
                "busy": Out(1),
                "a": Out(signed(32)),
                "b": Out(signed(32)),
                "high": In(signed(32)),
                "mantissa": Out(31),
                "exponent": Out(4),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        half = Signal(31, reset_less=True)
        # Of a number that begins with its highest bit, 12 integer bits.
        exponent = Signal(4, reset_less=True)
        shifting = Signal(range(self.shifts + 2))  # cycles until the factors are used
        with m.If(self.start):
            m.d.sync += shifting.eq(self.shifts + 1)
        with m.Elif(shifting != 0):
            m.d.sync += shifting.eq(shifting - 1)
            with m.If(shifting == self.shifts + 1):
                m.d.sync += [half.eq(self.total), exponent.eq(30 - _SUM_FRACTION)]
            with m.Elif(~half[-1]):
                m.d.sync += [half.eq(half << 1), exponent.eq(exponent - 1)]

        step = Signal(range(2 * _ROUNDS + 1))
        wait = Signal(range(self.period))  # cycles until the product is used
        x = Signal(signed(32), reset_less=True)
        error = Signal(signed(32), reset_less=True)
        done = Signal()
        m.d.sync += done.eq(0)
        with m.If(shifting == 1):
            m.d.sync += [self.busy.eq(1), step.eq(0), wait.eq(self.period - 1)]
        with m.Elif(self.busy):
            m.d.sync += wait.eq(wait - 1)
            with m.If(wait == 0):
                m.d.sync += [step.eq(step + 1), wait.eq(self.period - 1)]
                with m.If(step == 2 * _ROUNDS):
                    m.d.sync += [self.busy.eq(0), done.eq(1)]
                with m.If(step[0]):
                    m.d.sync += error.eq(_ONE - self.high)
                with m.Else():
                    m.d.sync += x.eq(Mux(step == 0, _START + self.high, x + (self.high << 2)))
        m.d.comb += [
            self.a.eq(Mux((step == 0) | step[0], half, x)),
            self.b.eq(Mux(step == 0, _SLOPE, Mux(step[0], x, error))),
        ]
        with m.If(done):
            m.d.sync += [
                self.mantissa.eq(Mux(x >= 1 << 30, (1 << 31) - 1, x << 1)),
                self.exponent.eq(exponent),
            ]
        return m


def quotient_latency(min_total: int) -> tuple[int, int]:
    """Return `division_steps` and `latency` of :class:`ReciprocalQuotient`."""
    multiplier = lut_multiplier_latency(_FACTOR, _FACTOR)
    return reciprocal_latency(min_total, multiplier), multiplier + 3


class ReciprocalQuotient(Component):
    """Quotients of numerators by a total, as TensorFlow Lite's int8 softmax computes them.

    The reciprocal of the total is found first, then each numerator is multiplied with it on the
    same multiplier (in LUTs). The product is rounded to Q0.31 and again to steps of 1/256.

    Parameters
    ----------
    min_total : int
        Least total (Q12.19).

    Members
    -------
    start : In(1)
        A new total, which follows in the next cycle; not while a reciprocal is computed. Until
        `slack` cycles later numerators of the total before may enter.
    total : In(31)
        The total.
    i : In(stream.Signature(31, always_ready=True))
        Numerators (Q0.31), from `division_steps` cycles after `start` on.
    o : Out(stream.Signature(9, always_ready=True))
        Quotients in steps of 1/256, `latency` cycles behind their numerators.

    Attributes
    ----------
    division_steps, latency, slack : int
        See above.

    Raises
    ------
    TypeError, ValueError
        As in `Reciprocal`.
    """

    start: Signal
    total: Signal
    i: stream.Interface
    o: stream.Interface

    def __init__(self, min_total: int) -> None:
        self.multiplier_latency = lut_multiplier_latency(_FACTOR, _FACTOR)
        self.min_total = min_total
        self.division_steps, self.latency = quotient_latency(min_total)
        self.slack = 1 + _shifts(min_total)
        super().__init__(
            {
                "start": In(1),
                "total": In(31),
                "i": In(stream.Signature(31, always_ready=True)),
                "o": Out(stream.Signature(9, always_ready=True)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.reciprocal = unit = Reciprocal(self.min_total, self.multiplier_latency)
        m.submodules.multiplier = multiplier = LutMultiplier(_FACTOR, _FACTOR)
        product = multiplier.o.payload
        high = register(m, (product >> 31) + product[30], _FACTOR, "high")
        m.d.comb += [
            unit.start.eq(self.start),
            unit.total.eq(self.total),
            unit.high.eq(high),
            multiplier.i.valid.eq(1),
            multiplier.i.payload.a.eq(Mux(unit.busy, unit.a, self.i.payload)),
            multiplier.i.payload.b.eq(Mux(unit.busy, unit.b, unit.mantissa)),
        ]
        # One bit more than a step has, for the rounding.
        steps = high[_STEP_BITS - 1 : 31] >> unit.exponent
        halves = register(m, steps, 32 - _STEP_BITS, "halves")
        quotient = register(m, (halves + 1) >> 1, 9, "quotient")
        valid: Value = self.i.valid
        for stage in range(self.latency):
            later = Signal(name=f"valid_{stage}")
            m.d.sync += later.eq(valid)
            valid = later
        m.d.comb += [self.o.payload.eq(quotient), self.o.valid.eq(valid)]
        return m
