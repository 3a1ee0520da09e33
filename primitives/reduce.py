"""Reduction of a window lane by lane: the maximum or the sum of its taps."""

from typing import Literal, get_args

from amaranth.hdl import Module, Mux, Shape, ShapeLike, Signal, Value
from amaranth.lib.data import ArrayLayout

from nn2rtl.primitives._check import check_positive
from nn2rtl.primitives.pipe import Pipe, checked_range, named, shape_containing

__all__ = ["LaneReduce", "Operation"]

Operation = Literal["max", "add"]


class LaneReduce(Pipe):
    """Maximum or sum of `taps` successive beats, for each lane.

    Parameters
    ----------
    in_shape, out_shape : ShapeLike
        Shapes of taps and results.
    lanes : int
        Numbers in a beat.
    taps : int
        Beats of an output.
    operation : {"max", "add"}
        What to give.
    in_range : (int, int) or None
        Least and greatest tap that occurs.

    Attributes
    ----------
    latency : int
        1, from the last of the taps.

    Members
    -------
    i : In(stream.Signature(ArrayLayout(in_shape, lanes), always_ready=True))
        Taps.
    o : Out(stream.Signature(ArrayLayout(out_shape, lanes), always_ready=True))
        One beat for every `taps` inputs.

    Raises
    ------
    TypeError
        If `lanes` or `taps` is not an integer.
    ValueError
        If one is less than 1, `operation` is unknown, `in_range` is no range of `in_shape`, or a
        result does not fit into `out_shape`.
    """

    def __init__(
        self,
        in_shape: ShapeLike,
        out_shape: ShapeLike,
        lanes: int,
        taps: int,
        operation: Operation,
        *,
        in_range: tuple[int, int] | None = None,
    ) -> None:
        check_positive("LaneReduce", lanes=lanes, taps=taps)
        if operation not in get_args(Operation):
            raise ValueError(f'operation must be "max" or "add", not {operation!r}')
        low, high = checked_range(in_shape, in_range)
        self.tap_shape = shape_containing(low, high)
        count = taps if operation == "add" else 1
        checked_range(out_shape, (low * count, high * count))
        # Sums on the way count too: they are less than the least of all, if taps are positive.
        self.total_shape = shape_containing(min(low, low * count), max(high, high * count))
        self.out_shape = Shape.cast(out_shape)
        self.lanes = lanes
        self.taps = taps
        self.operation = operation
        super().__init__(ArrayLayout(in_shape, lanes), ArrayLayout(out_shape, lanes), 1)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        first, last = Signal(), Signal()
        if self.taps == 1:
            m.d.comb += [first.eq(1), last.eq(1)]
        else:
            tap = Signal(range(self.taps))
            m.d.comb += [first.eq(tap == 0), last.eq(tap == self.taps - 1)]
            with m.If(self.i.valid):
                m.d.sync += tap.eq(Mux(last, 0, tap + 1))
        m.d.sync += self.o.valid.eq(self.i.valid & last)
        for lane in range(self.lanes):
            tap_in = Value.cast(self.i.payload[lane])
            value = named(m, tap_in, self.tap_shape, f"tap_{lane}")
            total = Signal(self.total_shape, name=f"total_{lane}", reset_less=True)
            with m.If(self.i.valid):
                if self.operation == "add":
                    m.d.sync += total.eq(Mux(first, 0, total) + value)
                else:
                    with m.If(first | (value > total)):
                        m.d.sync += total.eq(value)
            m.d.comb += self.o.payload[lane].eq(total)
        return m
