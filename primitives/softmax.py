"""Softmax of each of a stream's vectors: tables of exponentials, a sum, and a division."""

from collections.abc import Sequence
from typing import Any, get_args

from amaranth.hdl import Cat, Module, Mux, Shape, ShapeLike, Signal, Value, unsigned
from amaranth.lib import stream
from amaranth.lib.data import ArrayLayout
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from nn2rtl.primitives._check import check_positive
from nn2rtl.primitives.constants import MAX_LUT_WORDS, following
from nn2rtl.primitives.credits import Credits
from nn2rtl.primitives.divide import Divider, QuotientRounding, divider_latency
from nn2rtl.primitives.fifo import Fifo, fifo_latency, up_down
from nn2rtl.primitives.lookup import MAX_LOOKUP_WIDTH, Lookup
from nn2rtl.primitives.pipe import checked_range, register
from nn2rtl.primitives.reciprocal import ReciprocalQuotient, quotient_latency

__all__ = ["Softmax"]


class Softmax(Component):
    """Softmax over vectors of ``channels`` elements, one element a beat.

    Of each vector x the elements become ``clip(numerators[d] / total + zero, low, high)`` with
    ``d = max(x) - x`` (beyond the tables: as their last entry) and ``total`` the sum of all
    ``denominators[d]``. The quotient is rounded as a `Divider` does, or found by `Reciprocal` and
    a multiplication as TensorFlow Lite's int8 kernel does.

    Three processes work on different vectors at the same time. Each makes at most one step a
    cycle:

    * *write*: takes an element and finds the maximum. It begins a vector if one of the ``slots``
      is free.
    * *sum*: reads each element and adds its denominator. It begins 1 cycle after the last element
      was written, or later, and never stops within a vector.
    * *result*: begins ``sum_latency`` cycles after the last step of *sum*, or later, with
      ``division_steps`` cycles for the reciprocal; then it reads each element, if there is a
      credit, and its result is in the FIFO ``pipe_latency`` cycles later. In the cycle after its
      last step the slot is free.

    Parameters
    ----------
    in_shape, out_shape : ShapeLike
        Shapes of elements and results.
    channels : int
        Elements of a vector.
    numerators, denominators : sequence of int
        Tables from the difference 0 on, at most 4096 entries. For the reciprocal in TensorFlow
        Lite's formats: Q0.31, and Q12.19 with sums below 2^31.
    zero, low, high : int
        Offset and limits of the results.
    rounding : str or None
        Rounding of the quotient, see `Divider`; None: by reciprocal.
    slots : int
        Vectors that are kept, a power of two of at least 2.
    depth : int
        Places of the output FIFO.
    in_range : (int, int) or None
        Least and greatest element that occurs.

    Members
    -------
    i : In(stream.Signature(ArrayLayout(in_shape, 1)))
        Elements.
    o : Out(stream.Signature(ArrayLayout(out_shape, 1)))
        Results.

    Attributes
    ----------
    sum_latency, division_steps, pipe_latency : int
        See above.
    fifo_latency : int
        Latency of the output FIFO.

    Raises
    ------
    TypeError
        If a number is not an integer.
    ValueError
        If the tables are not equally long, are too long, or are not greatest at 0, or another
        number is out of its range.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(
        self,
        in_shape: ShapeLike,
        out_shape: ShapeLike,
        channels: int,
        numerators: Sequence[int],
        denominators: Sequence[int],
        zero: int,
        low: int,
        high: int,
        *,
        rounding: QuotientRounding | None,
        slots: int,
        depth: int,
        in_range: tuple[int, int] | None = None,
    ) -> None:
        check_positive("Softmax", channels=channels, slots=slots, depth=depth)
        if slots < 2 or slots & (slots - 1):
            raise ValueError(f"slots must be a power of two of at least 2, not {slots!r}")
        if not 1 <= len(numerators) == len(denominators) <= 1 << MAX_LOOKUP_WIDTH:
            raise ValueError(
                f"tables must be equally long, with 1 to {1 << MAX_LOOKUP_WIDTH} entries, not "
                f"{len(numerators)} and {len(denominators)}"
            )
        for table in (numerators, denominators):
            if min(table) < 0 or max(table) != table[0] or not table[0]:
                raise ValueError("tables must not be negative, and must be greatest at 0")
        self.max_total = channels * denominators[0]
        if rounding is None and max(self.max_total, *numerators) >= 1 << 31:
            raise ValueError("numerators and sums of a reciprocal must be below 2^31")
        if rounding is None and denominators[0] >= 1 << 24:
            raise ValueError("exponentials of a reciprocal must be in Q12.19")
        if rounding is not None and rounding not in get_args(QuotientRounding):
            raise ValueError(f"Softmax has no rounding {rounding!r}")
        checked_range(out_shape, (low, high))
        least, greatest = checked_range(in_shape, in_range)
        self.in_shape, self.out_shape = Shape.cast(in_shape), Shape.cast(out_shape)
        self.channels, self.slots, self.depth = channels, slots, depth
        self.numerators, self.denominators = list(numerators), list(denominators)
        self.zero, self.low, self.high = zero, low, high
        self.rounding = rounding
        self.clips_difference = greatest - least > len(numerators) - 1
        self.address_bits = max(1, (len(numerators) - 1).bit_length())
        table_latency = 1 if 1 << self.address_bits <= MAX_LUT_WORDS else 2
        self.front_latency = 2 + self.clips_difference + table_latency
        self.sum_latency = self.front_latency + 1
        self.division_steps, division = (
            quotient_latency(denominators[0])
            if rounding is None
            else (0, divider_latency(numerators[0], denominators[0]))
        )
        self.pipe_latency = self.front_latency + division + 1
        self.fifo_latency = fifo_latency(depth)
        super().__init__(
            {
                "i": In(stream.Signature(ArrayLayout(in_shape, 1))),
                "o": Out(stream.Signature(ArrayLayout(out_shape, 1))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.fifo = fifo = Fifo(self.o.payload.shape(), self.depth)
        m.submodules.credits = credits = Credits(self.depth)
        m.submodules.free = free = Credits(self.slots)
        m.d.comb += [
            self.o.valid.eq(fifo.o.valid),
            Value.cast(self.o.payload).eq(Value.cast(fifo.o.payload)),
            fifo.o.ready.eq(self.o.ready),
            credits.give.eq(fifo.o.valid & self.o.ready),
        ]
        written, summed = Signal(), Signal()  # a vector is
        self._write(m, free, written)
        totals = self._sum(m, written, summed)
        self._result(m, totals, summed, credits, free, fifo)
        return m

    # -- memories --------------------------------------------------------------------------------

    def _memory(self, m: Module, name: str, width: int, depth: int) -> Memory:
        style = "distributed" if depth <= 64 else "block"
        memory = Memory(shape=width, depth=max(2, depth), init=[], attrs={"ram_style": style})
        m.submodules[name] = memory
        return memory

    def _counter(self, m: Module, name: str, count: int, advance: Value) -> Signal:
        """A register that counts modulo `count`."""
        counter = Signal(range(max(2, count)), name=name)
        if count > 1:
            with m.If(advance):
                m.d.sync += counter.eq(following(counter, count))
        return counter

    # -- processes -------------------------------------------------------------------------------

    def _write(self, m: Module, free: Credits, written: Signal) -> None:
        accepted, first, last = Signal(), Signal(), Signal()
        index = self._counter(m, "write_index", self.channels, accepted)
        slot = self._counter(m, "write_slot", self.slots, accepted & last)
        element = Signal(self.in_shape, name="element")
        largest = Signal(self.in_shape, reset_less=True)
        found = Signal(self.in_shape)
        self.elements = self._memory(
            m, "elements", self.in_shape.width, self.slots << len(index)
        )
        self.maxima = self._memory(m, "maxima", self.in_shape.width, self.slots)
        element_port, maximum_port = self.elements.write_port(), self.maxima.write_port()
        m.d.comb += [
            first.eq(index == 0),
            last.eq(index == self.channels - 1),
            self.i.ready.eq(free.available | ~first),
            accepted.eq(self.i.valid & self.i.ready),
            free.take.eq(accepted & first),
            element.eq(Value.cast(self.i.payload)),
            found.eq(Mux(first | (element > largest), element, largest)),
            written.eq(accepted & last),
            element_port.en.eq(accepted),
            element_port.addr.eq(Cat(index, slot)),
            element_port.data.eq(element),
            maximum_port.en.eq(written),
            maximum_port.addr.eq(slot),
            maximum_port.data.eq(found),
        ]
        with m.If(accepted):
            m.d.sync += largest.eq(found)

    def _waiting(self, m: Module, name: str, comes: Value, goes: Value) -> Signal:
        """Number of vectors that have come but not gone on."""
        count = Signal(range(self.slots + 1), name=name)
        with m.If(comes ^ goes):
            m.d.sync += count.eq(up_down(count, comes, goes))
        return count

    def _front(
        self, m: Module, name: str, issue: Value, slot: Value, index: Value, words: list[int]
    ) -> Lookup:
        """From a step that reads an element to the table's entry, `front_latency` cycles."""
        element_port, maximum_port = self.elements.read_port(), self.maxima.read_port()
        m.d.comb += [
            element_port.en.eq(1),
            element_port.addr.eq(Cat(index, slot)),
            maximum_port.en.eq(1),
            maximum_port.addr.eq(slot),
        ]
        element, maximum = Signal(self.in_shape), Signal(self.in_shape)
        m.d.comb += [element.eq(element_port.data), maximum.eq(maximum_port.data)]
        width = self.in_shape.width
        difference = register(m, maximum - element, width, f"{name}_difference")
        if self.clips_difference:
            last = len(words) - 1
            clipped = Mux(difference > last, last, difference)
            difference = register(m, clipped, self.address_bits, f"{name}_clipped")
        padded = words + words[-1:] * ((1 << self.address_bits) - len(words))
        entry = unsigned(words[0].bit_length())
        m.submodules[f"{name}_table"] = table = Lookup(self.address_bits, entry, 1, padded)
        m.d.comb += [
            Value.cast(table.i.payload).eq(difference),
            table.i.valid.eq(self._later(m, issue, 2 + self.clips_difference, name)),
        ]
        return table

    def _later(self, m: Module, value: Value, cycles: int, name: str) -> Value:
        """A control signal some cycles later; reset."""
        for cycle in range(cycles):
            later = Signal(len(value), name=f"{name}_after_{cycle + 1}")
            m.d.sync += later.eq(value)
            value = later
        return value

    def _sum(self, m: Module, written: Signal, summed: Signal) -> Memory:
        """Add up the denominators; return the memory of totals."""
        issue, begin = Signal(), Signal()
        index = self._counter(m, "sum_index", self.channels, issue)
        last = index == self.channels - 1
        slot = self._counter(m, "sum_slot", self.slots, issue & last)
        waiting = self._waiting(m, "vectors_to_sum", written, begin)
        m.d.comb += [
            begin.eq((index == 0) & (waiting != 0)),
            issue.eq((index != 0) | begin),
        ]
        table = self._front(m, "sum", issue, slot, index, self.denominators)
        place = self._counter(m, "added_index", self.channels, table.o.valid)
        ends = place == self.channels - 1
        target = self._counter(m, "added_slot", self.slots, summed)
        bits = self.max_total.bit_length()
        total = Signal(bits, reset_less=True)
        added = Signal(bits, name="sum_added")
        totals = self._memory(m, "totals", bits, self.slots)
        port = totals.write_port()
        m.d.comb += [
            added.eq(Mux(place == 0, 0, total) + Value.cast(table.o.payload)),
            summed.eq(table.o.valid & ends),
            port.en.eq(summed),
            port.addr.eq(target),
            port.data.eq(added),
        ]
        with m.If(table.o.valid):
            m.d.sync += total.eq(added)
        return totals

    def _result(
        self, m: Module, totals: Memory, summed: Signal, credits: Credits, free: Credits, fifo: Fifo
    ) -> None:
        """Divide each numerator by the total."""
        issue, begin, active = Signal(), Signal(), Signal()
        index = self._counter(m, "result_index", self.channels, issue)
        last = index == self.channels - 1
        slot = self._counter(m, "result_slot", self.slots, issue & last)
        waiting = self._waiting(m, "vectors_to_divide", summed, begin)
        table = self._front(m, "result", issue, slot, index, self.numerators)
        division = (
            ReciprocalQuotient(self.denominators[0])
            if self.rounding is None
            else Divider(
                self.numerators[0], self.denominators[0], self.max_total, self.rounding
            )
        )
        m.submodules.division = division
        total = totals.read_port()
        m.d.comb += [
            total.en.eq(1),
            issue.eq(active & credits.available),
            credits.take.eq(issue),
            free.give.eq(issue & last),
        ]
        numerator = Value.cast(table.o.payload)
        if isinstance(division, ReciprocalQuotient):
            running = Signal()
            steps = Signal(range(self.division_steps))
            m.d.comb += [
                begin.eq(~running & (waiting != 0)),
                active.eq(running & (steps == 0)),
                total.addr.eq(slot),
                division.start.eq(begin),
                division.total.eq(total.data),
                division.i.payload.eq(numerator),
            ]
            with m.If(begin):
                m.d.sync += [running.eq(1), steps.eq(self.division_steps - 1)]
            with m.Elif(running & (steps != 0)):
                m.d.sync += steps.eq(steps - 1)
            with m.Elif(issue & last):
                m.d.sync += running.eq(0)
        else:
            m.d.comb += [
                active.eq((index != 0) | (waiting != 0)),
                begin.eq(issue & (index == 0)),
                # The total is there together with the numerator.
                total.addr.eq(self._later(m, slot, self.front_latency - 1, "result_slot")),
                division.i.payload.numerator.eq(numerator),
                division.i.payload.total.eq(total.data),
            ]
        m.d.comb += division.i.valid.eq(table.o.valid)
        quotient = division.o.payload
        # Compared before the offset is added: in parallel.
        clipped = Mux(
            quotient > self.high - self.zero,
            self.high,
            Mux(quotient < self.low - self.zero, self.low, quotient + self.zero),
        )
        valid = Signal(name="clipped_valid")
        m.d.sync += valid.eq(division.o.valid)
        m.d.comb += [
            Value.cast(fifo.i.payload).eq(register(m, clipped, self.out_shape, "result")),
            fifo.i.valid.eq(valid),
        ]
