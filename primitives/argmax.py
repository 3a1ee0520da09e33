"""Index of the largest element."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Shape, ShapeLike, Signal, Value
from amaranth.lib import stream
from amaranth.lib.data import ArrayLayout
from amaranth.lib.wiring import Component, In, Out

from nn2rtl.primitives._check import check_positive


class ArgMax(Component):
    """Valid-only pipe that gives the index of the largest of ``lanes * beats`` elements.

    Lane ``k`` of the ``b``-th beat of a group has index ``b * lanes + k``; of equal elements the
    first counts. There is one output for every ``beats`` inputs, ``latency`` cycles after the last
    of them. A tree of registered comparators finds the largest of a beat, one more comparator
    that of the group.

    Parameters
    ----------
    shape : ShapeLike
        Shape of an element, signed or unsigned.
    lanes : int
        Elements of a beat.
    beats : int
        Beats of a group.
    index_shape : ShapeLike
        Shape of the index.

    Members
    -------
    i : In(stream.Signature(ArrayLayout(shape, lanes), always_ready=True))
        Elements.
    o : Out(stream.Signature(ArrayLayout(index_shape, 1), always_ready=True))
        Index of the largest element of a group.

    Attributes
    ----------
    latency : int
        Cycles from a group's last beat to its index: ``(lanes - 1).bit_length() + (beats > 1)``.

    Raises
    ------
    TypeError
        If ``lanes`` or ``beats`` is not an integer.
    ValueError
        If one of them is less than 1, or ``index_shape`` does not hold ``lanes * beats - 1``.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, shape: ShapeLike, lanes: int, beats: int, index_shape: ShapeLike) -> None:
        check_positive("ArgMax", lanes=lanes, beats=beats)
        index = Shape.cast(index_shape)
        greatest = lanes * beats - 1
        if greatest.bit_length() > index.width - index.signed:
            raise ValueError(f"ArgMax index_shape must hold {greatest}, not {index_shape!r}")
        self.shape = shape
        self.lanes = lanes
        self.beats = beats
        self.index_shape = index_shape
        self.latency = (lanes - 1).bit_length() + (beats > 1)
        super().__init__(
            {
                "i": In(stream.Signature(ArrayLayout(shape, lanes), always_ready=True)),
                "o": Out(stream.Signature(ArrayLayout(index_shape, 1), always_ready=True)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        valid, value, index = self._tree(m)
        if self.beats > 1:
            valid, index = self._group(m, valid, value, index)
        m.d.comb += [self.o.valid.eq(valid), Value.cast(self.o.payload).eq(index)]
        return m

    def _tree(self, m: Module) -> tuple[Value, Value, Value]:
        """Return valid, and value and lane of the largest element of a beat.

        After level ``s`` a candidate stands for up to ``2**s`` lanes; its index holds only the lane
        within them, and each level adds one bit on top.
        """
        element = Shape.cast(self.shape)
        valid: Value = self.i.valid
        row = [(Value.cast(self.i.payload[k]), Cat()) for k in range(self.lanes)]
        level = 0
        while len(row) > 1:
            following = []
            for k in range(0, len(row), 2):
                value = Signal(element, name=f"value_{level}_{k // 2}", reset_less=True)
                index = Signal(level + 1, name=f"index_{level}_{k // 2}", reset_less=True)
                left_value, left_index = row[k]
                if k + 1 == len(row):
                    m.d.sync += [value.eq(left_value), index.eq(left_index)]
                else:
                    right_value, right_index = row[k + 1]
                    right = Signal(name=f"right_{level}_{k // 2}")
                    m.d.comb += right.eq(right_value > left_value)
                    m.d.sync += [
                        value.eq(Mux(right, right_value, left_value)),
                        index.eq(Cat(Mux(right, right_index, left_index), right)),
                    ]
                following.append((value, index))
            registered = Signal(name=f"valid_{level}")
            m.d.sync += registered.eq(valid)
            valid, row, level = registered, following, level + 1
        return valid, *row[0]

    def _group(self, m: Module, valid: Value, value: Value, lane: Value) -> tuple[Value, Value]:
        """Return valid and index of the largest element of a group of beats."""
        width = (self.lanes * self.beats - 1).bit_length()
        base = Signal(width)  # index of the beat's lane 0
        largest = Signal(Shape.cast(self.shape), reset_less=True)
        index = Signal(width, reset_less=True)
        last = Signal()
        done = Signal()
        m.d.comb += last.eq(base == self.lanes * (self.beats - 1))
        m.d.sync += done.eq(valid & last)
        with m.If(valid):
            m.d.sync += base.eq(base + self.lanes)
            with m.If(last):
                m.d.sync += base.eq(0)
            with m.If((base == 0) | (value > largest)):
                m.d.sync += [largest.eq(value), index.eq(base + lane)]
        return done, index
