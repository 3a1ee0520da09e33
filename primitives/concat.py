"""Concatenation: several streams in turn, a chunk of each."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Const, Module, ShapeLike, Signal, Value
from amaranth.lib import stream
from amaranth.lib.data import ArrayLayout
from amaranth.lib.wiring import Component, In, Out

from nn2rtl.primitives._check import check_positive
from nn2rtl.primitives.credits import Credits
from nn2rtl.primitives.fifo import Fifo, FifoMemory, fifo_latency, fifo_memory
from nn2rtl.primitives.loops import LoopCounter
from nn2rtl.primitives.pipe import shape_bounds


class Concat(Component):
    """Take ``chunks[0]`` words of stream 0, then ``chunks[1]`` words of stream 1, and so on, again
    and again.

    A word takes a step, and a step needs a free place in the output FIFO, words in flight counted.
    The word of a step in cycle ``t`` is visible from ``t + latency`` on, or from the cycle after
    the pop of the one before it. The place that a pop in cycle ``u`` frees is usable in ``u + 1``.
    Only the stream whose turn it is sees a ready, which does not depend on any valid.

    Parameters
    ----------
    shapes : sequence of ShapeLike
        Shape of an element of each stream.
    shape : ShapeLike
        Shape of an element of the result, which holds all of them.
    lanes : int
        Elements of a word.
    chunks : sequence of int
        Words of each stream that follow each other.
    depth : int
        Capacity of the FIFO. For a word a cycle it takes at least ``latency + 1``.
    memory : {"auto", "registers", "distributed", "block"}
        What holds the FIFO's words, see `fifo_memory`.

    Members
    -------
    i0, i1, ... : In(stream.Signature(ArrayLayout(shapes[k], lanes)))
        The streams; see `inputs`.
    o : Out(stream.Signature(ArrayLayout(shape, lanes)))
        Their words in turn.

    Attributes
    ----------
    latency : int
        Cycles from a step until its word is visible: 1 and those of the FIFO.

    Raises
    ------
    TypeError
        If ``lanes``, ``depth`` or a chunk is not an integer.
    ValueError
        If one of them is less than 1, there are less than two streams or not as many chunks, an
        element does not fit into the result, or ``memory`` is unknown.
    """

    o: stream.Interface

    def __init__(
        self,
        shapes: Sequence[ShapeLike],
        shape: ShapeLike,
        lanes: int,
        chunks: Sequence[int],
        depth: int = 4,
        *,
        memory: FifoMemory = "auto",
    ) -> None:
        check_positive("Concat", lanes=lanes, depth=depth)
        for chunk in chunks:
            check_positive("Concat", chunk=chunk)
        if len(shapes) < 2 or len(shapes) != len(chunks):
            raise ValueError(f"Concat must have a chunk of each of its streams, not {chunks!r}")
        low, high = shape_bounds(shape)
        for own in shapes:
            least, greatest = shape_bounds(own)
            if least < low or greatest > high:
                raise ValueError(f"Concat result of {shape!r} does not hold {own!r}")
        self.lanes = lanes
        self.chunks = tuple(chunks)
        self.depth = depth
        self.memory = fifo_memory(depth, memory)
        self.latency = 1 + fifo_latency(depth, memory)
        self.layout = ArrayLayout(shape, lanes)
        inputs = {
            f"i{k}": In(stream.Signature(ArrayLayout(own, lanes))) for k, own in enumerate(shapes)
        }
        super().__init__({**inputs, "o": Out(stream.Signature(self.layout))})

    @property
    def inputs(self) -> list[stream.Interface]:
        """The streams ``i0``, ``i1``, and so on."""
        return [getattr(self, f"i{k}") for k in range(len(self.chunks))]

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.credits = credits = Credits(self.depth)
        m.submodules.fifo = fifo = Fifo(self.layout, self.depth, memory=self.memory)
        count = len(self.chunks)
        turn = Signal(range(count))
        offered, step, written = Signal(), Signal(), Signal()
        word = Signal(self.layout, reset_less=True)
        last = self._last(m, turn, step)
        with m.Switch(turn):
            for k, i in enumerate(self.inputs):
                with m.Case(k) if k < count - 1 else m.Default():
                    m.d.comb += [i.ready.eq(credits.available), offered.eq(i.valid)]
                    for lane in range(self.lanes):
                        m.d.sync += word[lane].eq(i.payload[lane])
        with m.If(step & last):
            m.d.sync += turn.eq(turn + 1)
            if count & (count - 1):
                with m.If(turn == count - 1):
                    m.d.sync += turn.eq(0)
        m.d.sync += written.eq(step)
        m.d.comb += [
            step.eq(credits.available & offered),
            credits.take.eq(step),
            credits.give.eq(fifo.o.valid & self.o.ready),
            fifo.i.valid.eq(written),
            Value.cast(fifo.i.payload).eq(Value.cast(word)),
            self.o.valid.eq(fifo.o.valid),
            Value.cast(self.o.payload).eq(Value.cast(fifo.o.payload)),
            fifo.o.ready.eq(self.o.ready),
        ]
        return m

    def _last(self, m: Module, turn: Signal, step: Signal) -> Value:
        """Whether the next word is the last of its chunk."""
        longest = max(self.chunks)
        if longest == 1:
            return Const(1)
        if min(self.chunks) == longest:
            return LoopCounter(m, longest, step, "word").last
        # Words of the chunk that come after the next one.
        left = Signal(range(longest), init=self.chunks[0] - 1)
        last = Signal()
        m.d.comb += last.eq(left == 0)
        with m.If(step):
            m.d.sync += left.eq(left - 1)
            with m.If(last), m.Switch(turn):
                for k in range(len(self.chunks)):
                    following = self.chunks[(k + 1) % len(self.chunks)]
                    with m.Case(k) if k < len(self.chunks) - 1 else m.Default():
                        m.d.sync += left.eq(following - 1)
        return last
