# amaranth: UnusedElaboratable=no
# (an Upsizer that is only asked for its latency, or that is refused, drops its pipe)
"""Change of the number of lanes of a stream."""

from typing import Any

from amaranth.hdl import Cat, Module, ShapeLike, Signal, Value
from amaranth.lib import stream
from amaranth.lib.data import ArrayLayout
from amaranth.lib.wiring import Component, In, Out

from nn2rtl.primitives._check import check_positive
from nn2rtl.primitives.credits import CreditedPipe, Credits
from nn2rtl.primitives.fifo import Fifo, FifoMemory, fifo_latency, fifo_memory


class UpsizerPipe(Component):
    """Valid-only pipe that joins ``ratio`` narrow beats to a wide one.

    The first narrow beat of a group is in the lowest lanes of the wide one, which leaves
    ``latency`` cycles after the last.

    Parameters
    ----------
    shape : ShapeLike
        Shape of an element.
    lanes : int
        Elements of a narrow beat.
    ratio : int
        Narrow beats in a wide one.

    Members
    -------
    i : In(stream.Signature(ArrayLayout(shape, lanes), always_ready=True))
        Narrow beats.
    o : Out(stream.Signature(ArrayLayout(shape, lanes * ratio), always_ready=True))
        Wide beats.

    Attributes
    ----------
    latency : int
        1 cycle.

    Raises
    ------
    TypeError
        If ``lanes`` or ``ratio`` is not an integer.
    ValueError
        If ``lanes`` or ``ratio`` is less than 1.
    """

    i: stream.Interface
    o: stream.Interface

    latency = 1

    def __init__(self, shape: ShapeLike, lanes: int, ratio: int) -> None:
        check_positive("UpsizerPipe", lanes=lanes, ratio=ratio)
        self.shape = shape
        self.lanes = lanes
        self.ratio = ratio
        narrow, wide = ArrayLayout(shape, lanes), ArrayLayout(shape, lanes * ratio)
        super().__init__(
            {
                "i": In(stream.Signature(narrow, always_ready=True)),
                "o": Out(stream.Signature(wide, always_ready=True)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        narrow, wide = Value.cast(self.i.payload), Value.cast(self.o.payload)
        word = Signal(len(wide), reset_less=True)
        valid = Signal()
        m.d.comb += [wide.eq(word), self.o.valid.eq(valid)]

        last = Signal(init=self.ratio == 1)
        if self.ratio > 1:
            index = Signal(range(self.ratio))
            m.d.comb += last.eq(index == self.ratio - 1)
            with m.If(self.i.valid):
                m.d.sync += index.eq(index + 1)
                with m.If(last):
                    m.d.sync += index.eq(0)
        m.d.sync += valid.eq(self.i.valid & last)
        with m.If(self.i.valid):
            m.d.sync += word.eq(Cat(word, narrow)[len(narrow) :])
        return m


class Upsizer(CreditedPipe):
    """Join ``ratio`` narrow beats to a wide one, the first in the lowest lanes.

    It is a `CreditedPipe` around an `UpsizerPipe`: timing, attributes and errors are described
    there. Only the last narrow beat of a group waits for a place in the FIFO.

    Parameters
    ----------
    shape : ShapeLike
        Shape of an element.
    lanes : int
        Elements of a narrow beat.
    ratio : int
        Narrow beats in a wide one.
    depth : int
        Capacity of the FIFO in wide beats.
    memory : {"auto", "registers", "distributed", "block"}
        What holds the FIFO's words.

    Members
    -------
    i : In(stream.Signature(ArrayLayout(shape, lanes)))
        Narrow beats.
    o : Out(stream.Signature(ArrayLayout(shape, lanes * ratio)))
        Wide beats.
    """

    def __init__(
        self,
        shape: ShapeLike,
        lanes: int,
        ratio: int,
        depth: int,
        *,
        memory: FifoMemory = "auto",
    ) -> None:
        self.shape = shape
        self.lanes = lanes
        self.ratio = ratio
        pipe = UpsizerPipe(shape, lanes, ratio)
        super().__init__(pipe, depth, memory=memory, inputs_per_output=ratio)


class Downsizer(Component):
    """Split a wide beat into ``ratio`` narrow ones, the lowest lanes first.

    A wide beat takes ``ratio`` steps, one a cycle; a step needs a free place in the output FIFO,
    words in flight counted. The first step is the cycle in which the wide beat is accepted. The
    narrow beat of the step in cycle ``t`` is visible from ``t + latency`` on, or from the cycle
    after the pop of the one before it. The place that a pop in cycle ``u`` frees is usable in
    ``u + 1``. ``i.ready`` does not depend on ``i.valid``.

    Parameters
    ----------
    shape : ShapeLike
        Shape of an element.
    lanes : int
        Elements of a narrow beat.
    ratio : int
        Narrow beats in a wide one.
    depth : int
        Capacity of the FIFO in narrow beats. For one a cycle it takes at least ``latency + 1``.
    memory : {"auto", "registers", "distributed", "block"}
        What holds the FIFO's words, see `fifo_memory`.

    Members
    -------
    i : In(stream.Signature(ArrayLayout(shape, lanes * ratio)))
        Wide beats.
    o : Out(stream.Signature(ArrayLayout(shape, lanes)))
        Narrow beats.

    Attributes
    ----------
    depth : int
        Capacity of the FIFO, and number of credits.
    memory : {"registers", "distributed", "block"}
        What holds the FIFO's words.
    latency : int
        Cycles from a step until its narrow beat is visible: 1 and those of the FIFO.

    Raises
    ------
    TypeError
        If ``lanes``, ``ratio`` or ``depth`` is not an integer.
    ValueError
        If one of them is less than 1 or ``memory`` is unknown.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(
        self,
        shape: ShapeLike,
        lanes: int,
        ratio: int,
        depth: int = 4,
        *,
        memory: FifoMemory = "auto",
    ) -> None:
        check_positive("Downsizer", lanes=lanes, ratio=ratio, depth=depth)
        self.shape = shape
        self.lanes = lanes
        self.ratio = ratio
        self.depth = depth
        self.memory = fifo_memory(depth, memory)
        self.latency = 1 + fifo_latency(depth, memory)
        super().__init__(
            {
                "i": In(stream.Signature(ArrayLayout(shape, lanes * ratio))),
                "o": Out(stream.Signature(ArrayLayout(shape, lanes))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        wide, narrow = Value.cast(self.i.payload), Value.cast(self.o.payload)
        m.submodules.credits = credits = Credits(self.depth)
        m.submodules.fifo = fifo = Fifo(len(narrow), self.depth, memory=self.memory)

        # The narrow beat of the last step in the lowest bits, those to come above it.
        word = Signal(len(wide), reset_less=True)
        written = Signal()
        first = Signal(init=self.ratio == 1)
        step = Signal()
        m.d.comb += step.eq(credits.available & (self.i.valid | ~first))
        m.d.sync += written.eq(step)
        if self.ratio > 1:
            index = Signal(range(self.ratio))
            m.d.comb += first.eq(index == 0)
            with m.If(step):
                m.d.sync += index.eq(index + 1)
                with m.If(index == self.ratio - 1):
                    m.d.sync += index.eq(0)
        with m.If(step):
            m.d.sync += word[: len(wide) - len(narrow)].eq(word[len(narrow) :])
            with m.If(first):
                m.d.sync += word.eq(wide)
        m.d.comb += [
            self.i.ready.eq(credits.available & first),
            credits.take.eq(step),
            credits.give.eq(fifo.o.valid & self.o.ready),
            fifo.i.valid.eq(written),
            fifo.i.payload.eq(word[: len(narrow)]),
            self.o.valid.eq(fifo.o.valid),
            narrow.eq(fifo.o.payload),
            fifo.o.ready.eq(self.o.ready),
        ]
        return m
