# amaranth: UnusedElaboratable=no
# (an engine that is only asked for its latency, or that is refused, drops its parts)
"""Gather: words of an image in another order, some left out, some repeated, some constant."""

from typing import NamedTuple

from amaranth.hdl import Cat, Const, Module, Mux, Shape, ShapeLike, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.data import ArrayLayout
from amaranth.lib.wiring import In, Out

from nn2rtl.primitives.credits import Credits
from nn2rtl.primitives.fifo import Fifo, FifoMemory
from nn2rtl.primitives.loops import LoopCounter, walk_loops
from nn2rtl.primitives.pipe import shape_bounds
from nn2rtl.primitives.read_program import NestProgram, ReadProgram, TableProgram
from nn2rtl.primitives.ring import (
    RingMemory,
    build_writer,
    pointer_bits,
    ring_memory,
    ring_storage,
)
from nn2rtl.primitives.rom import WeightRom

__all__ = ["GatherEngine", "gather_pointer_bits"]


def gather_pointer_bits(program: ReadProgram, capacity: int) -> int:
    """Width of a gather's word pointers."""
    return pointer_bits(capacity, program.furthest_read, program.furthest_read)


class _Step(NamedTuple):
    """What the present step does.

    Parameters
    ----------
    filled : Value
        It yields the constant.
    free : Value
        It waits for no word.
    change : Value
        What the index changes by, if it reads.
    release : Value
        It releases words, if it reads.
    """

    filled: Value
    free: Value
    change: Value
    release: Value


class GatherEngine(wiring.Component):
    """Read the words of an image by a program: slices, repetitions, any rearrangement, padding.

    Timing, exactly (words and steps are numbered over back to back images):

    * In each cycle, the writer accepts a word (``i.ready``) if ``words written - freed <
      capacity``, with the program's freed pointer. ``i.ready`` does not depend on ``i.valid``.
      Words that are never read are accepted all the same.
    * The next step issues if the word that it needs (`ReadProgram.needs`) was accepted in an
      earlier cycle, and a credit is there: fewer than `depth` outputs in flight or in the FIFO. An
      output popped in cycle u gives its credit to cycle u + 1.
    * When a step that releases words issues in cycle t, the writer sees it in t + 1.
    * The output of a step in cycle t enters the FIFO in ``t + pipe_latency`` and is visible from
      ``t + pipe_latency + fifo_latency`` on.

    So an image takes ``program.steps`` cycles, or as many as it has words if those are more.

    Parameters
    ----------
    program : NestProgram or TableProgram
        What is read, in which order.
    word_shape : ArrayLayout
        Shape of a word of the image.
    element : ShapeLike
        Shape of an element of the result; it holds every element of the image, and `fill`.
    fill : int
        Element of filled steps.
    depth : int
        Depth of the output FIFO.
    capacity : int
        Words of the buffer: a power of two, at least ``program.minimum_capacity``.
    memory, fifo_memory : str
        What the memories are made of; "auto" chooses by size.

    Attributes
    ----------
    pipe_latency, fifo_latency : int
        See above, in cycles.

    Members
    -------
    i : In(stream.Signature(word_shape))
        Words of the image, in order.
    o : Out(stream.Signature(ArrayLayout(element, lanes)))
        One word a step.

    Raises
    ------
    TypeError
        `program` is no program, or `word_shape` not an ArrayLayout.
    ValueError
        `capacity` is not a power of two or too small; `fill` or the elements do not fit; a part
        refuses its parameters.
    """

    i: stream.Interface
    o: stream.Interface

    pipe_latency = 1

    def __init__(
        self,
        program: ReadProgram,
        word_shape: ArrayLayout,
        element: ShapeLike,
        fill: int = 0,
        *,
        depth: int,
        capacity: int,
        memory: RingMemory = "auto",
        fifo_memory: FifoMemory = "auto",
    ) -> None:
        if not isinstance(program, NestProgram | TableProgram):
            raise TypeError(f"program must be a read program, not {program!r}")
        if not isinstance(word_shape, ArrayLayout):
            raise TypeError(f"word_shape must be an ArrayLayout, not {word_shape!r}")
        if capacity < program.minimum_capacity or capacity & (capacity - 1):
            raise ValueError(
                f"capacity must be a power of two of at least {program.minimum_capacity}, "
                f"not {capacity!r}"
            )
        low, high = shape_bounds(element)
        for value in (fill, *shape_bounds(word_shape.elem_shape)):
            if not low <= value <= high:
                raise ValueError(f"{value!r} does not fit into {Shape.cast(element)!r}")
        self.program = program
        self.word_shape = word_shape
        self.fill = fill
        self.capacity = capacity
        self.memory = ring_memory(capacity, Shape.cast(word_shape).width, memory)
        self.credits = Credits(depth)
        out_shape = ArrayLayout(element, word_shape.length)
        self.fifo = Fifo(out_shape, depth, memory=fifo_memory)
        super().__init__({
            "i": In(stream.Signature(word_shape)),
            "o": Out(stream.Signature(out_shape)),
        })

    @property
    def fifo_latency(self) -> int:
        """Cycles from the write of an output into the FIFO to its being visible."""
        return self.fifo.latency

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.credits = credits = self.credits
        m.submodules.fifo = fifo = self.fifo
        program = self.program
        bits = gather_pointer_bits(program, self.capacity)
        index = Signal(bits, init=program.first % (1 << bits))
        written = Signal(bits)
        go, read = Signal(), Signal()
        if isinstance(program, NestProgram):
            step = self._nest(m, program, bits, go, read)
        else:
            step = self._table(m, program, bits, go)

        next_index = Signal(bits)
        m.d.comb += next_index.eq(index + step.change)
        with m.If(read):
            m.d.sync += index.eq(next_index)
        freed: Value = index
        if not program.frees_reads:
            freed = pointer = Signal(bits, init=program.first_freed % (1 << bits), name="freed")
            back = program.back if isinstance(program, NestProgram) else 0
            with m.If(read & step.release):
                m.d.sync += pointer.eq(next_index - back)
        accept = build_writer(m, self.i, freed, written, self.capacity)

        there = Signal()
        if program.furthest_read:
            m.d.comb += there.eq((index - written)[bits - 1])
        else:
            m.d.comb += there.eq(index != written)
        m.d.comb += [
            go.eq((there | step.free) & credits.available),
            read.eq(go & ~step.filled),
            credits.take.eq(go),
            credits.give.eq(self.o.valid & self.o.ready),
        ]
        data = ring_storage(
            m, Value.cast(self.i.payload), accept, written, index, go, self.capacity, self.memory
        )
        valid = Signal()
        filled = Signal(reset_less=True)
        m.d.sync += [valid.eq(go), filled.eq(step.filled)]
        m.d.comb += fifo.i.valid.eq(valid)
        word = self.word_shape(data)
        for lane in range(self.word_shape.length):
            m.d.comb += fifo.i.payload[lane].eq(Mux(filled, self.fill, word[lane]))
        wiring.connect(m, fifo.o, wiring.flipped(self.o))
        return m

    def _nest(self, m: Module, program: NestProgram, bits: int, go: Value, read: Value) -> _Step:
        """Loop counters of the reads, and of the steps if some are filled."""
        loops = [(f"read{k}", *loop) for k, loop in enumerate(program.loops)]
        walk = walk_loops(m, loops, program.stride, read, bits)
        release = walk.ends[program.release]
        if not program.mask:
            return _Step(Const(0), Const(0), walk.change, release)
        steps = [(f"step{k}", extent, 0) for k, (extent, _) in enumerate(program.mask)]
        places = walk_loops(m, steps, 0, go, 1)
        outside = [
            ~_chosen(counter, pattern)
            for counter, (_, pattern) in zip(places.counters, program.mask)
            if pattern is not None
        ]
        filled = Signal()
        m.d.comb += filled.eq(Cat(outside).any())
        if program.round[0]:
            return _Step(filled, filled, walk.change, release)
        begun = Signal()
        with m.If(go & places.ends[0]):
            m.d.sync += begun.eq(0)
        with m.Elif(read):
            m.d.sync += begun.eq(1)
        return _Step(filled, filled & begun, walk.change, release)

    def _table(self, m: Module, program: TableProgram, bits: int, go: Value) -> _Step:
        """A ROM of the steps, whose output register holds the present one."""
        words = [
            entry.change % (1 << bits)
            | entry.release << bits
            | entry.filled << bits + 1
            | (entry.filled and step >= program.lead) << bits + 2
            for step, entry in enumerate(program.entries)
        ]
        m.submodules.rom = rom = WeightRom(words, bits + 3, hold=True)
        # The first word is read in the cycle after reset: no step can issue then, as nothing has
        # been written yet.
        primed = Signal()
        m.d.sync += primed.eq(1)
        m.d.comb += rom.next.eq(go | ~primed)
        change, (release, filled, free) = rom.data[:bits], rom.data[bits:]
        return _Step(filled, free & primed, change, release)


def _chosen(counter: LoopCounter, pattern: int) -> Value:
    """Whether the bit of the counter's value is set in a pattern."""
    turns = [turn for turn in range(counter.extent) if pattern >> turn & 1]
    first, last = turns[0], turns[-1]
    if last - first + 1 != len(turns):
        return Const(pattern, counter.extent).bit_select(counter.value, 1)
    inside: Value = Const(1)
    if first:
        inside = inside & (counter.value >= first)
    if last == counter.extent - 2:
        inside = inside & ~counter.last
    elif last < counter.extent - 1:
        inside = inside & (counter.value <= last)
    return inside
