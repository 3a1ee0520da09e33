"""Several streams side by side."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Module, ShapeLike
from amaranth.lib import stream
from amaranth.lib.data import ArrayLayout
from amaranth.lib.wiring import Component, In, Out

from nn2rtl.primitives._check import check_positive
from nn2rtl.primitives.fifo import Fifo, FifoMemory, fifo_latency, fifo_memory
from nn2rtl.primitives.pipe import shape_bounds


class Join(Component):
    """Take a beat of each of several streams in the same cycle, and put their lanes side by side.

    The beats of a step in cycle ``t`` are visible from ``t + latency`` on, or from the cycle after
    the pop of the ones before. A place that a pop in cycle ``u`` frees is usable in ``u + 1``. A
    stream's ready depends on the other ones' valid, not on its own.

    Parameters
    ----------
    shapes : sequence of ShapeLike
        Shape of an element of each stream.
    shape : ShapeLike
        Shape of an element of the result, which holds all of them.
    lanes : sequence of int
        Elements of a beat of each stream.
    depth : int
        Capacity of the FIFO of results. For one a cycle it takes at least ``latency + 1``.
    memory : {"auto", "registers", "distributed", "block"}
        What holds the FIFO's words, see `fifo_memory`.

    Members
    -------
    i0, i1, ... : In(stream.Signature(ArrayLayout(shapes[k], lanes[k])))
        The streams; see `inputs`.
    o : Out(stream.Signature(ArrayLayout(shape, sum(lanes))))
        Their beats, the first stream's in the lowest lanes.

    Attributes
    ----------
    latency : int
        Cycles from a step until its result is visible: those of the FIFO.

    Raises
    ------
    TypeError
        If ``depth`` or a number of lanes is not an integer.
    ValueError
        If one of them is less than 1, there are less than two streams or not as many ``lanes``, an
        element does not fit into the result, or ``memory`` is unknown.
    """

    o: stream.Interface

    def __init__(
        self,
        shapes: Sequence[ShapeLike],
        shape: ShapeLike,
        lanes: Sequence[int],
        depth: int = 4,
        *,
        memory: FifoMemory = "auto",
    ) -> None:
        check_positive("Join", depth=depth)
        for own in lanes:
            check_positive("Join", lanes=own)
        if len(shapes) < 2 or len(shapes) != len(lanes):
            raise ValueError(f"Join must have lanes of each of its streams, not {lanes!r}")
        low, high = shape_bounds(shape)
        for element in shapes:
            least, greatest = shape_bounds(element)
            if least < low or greatest > high:
                raise ValueError(f"Join result of {shape!r} does not hold {element!r}")
        self.lanes = tuple(lanes)
        self.depth = depth
        self.memory = fifo_memory(depth, memory)
        self.latency = fifo_latency(depth, memory)
        self.layout = ArrayLayout(shape, sum(lanes))
        inputs = {
            f"i{k}": In(stream.Signature(ArrayLayout(element, own)))
            for k, (element, own) in enumerate(zip(shapes, lanes))
        }
        super().__init__({**inputs, "o": Out(stream.Signature(self.layout))})

    @property
    def inputs(self) -> list[stream.Interface]:
        """The streams ``i0``, ``i1``, and so on."""
        return [getattr(self, f"i{k}") for k in range(len(self.lanes))]

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.fifo = fifo = Fifo(self.layout, self.depth, memory=self.memory)
        lane = 0
        for k, i in enumerate(self.inputs):
            others = [other.valid for other in self.inputs if other is not i]
            m.d.comb += i.ready.eq(fifo.i.ready & Cat(others).all())
            for own in range(self.lanes[k]):
                m.d.comb += fifo.i.payload[lane].eq(i.payload[own])
                lane += 1
        m.d.comb += [
            fifo.i.valid.eq(Cat(i.valid for i in self.inputs).all()),
            self.o.valid.eq(fifo.o.valid),
            self.o.payload.as_value().eq(fifo.o.payload.as_value()),
            fifo.o.ready.eq(self.o.ready),
        ]
        return m
