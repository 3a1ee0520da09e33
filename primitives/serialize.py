"""Serialisation inside a pipeline: lanes that come together leave a few at a time."""

from amaranth.hdl import Cat, Module, ShapeLike, Signal, Value
from amaranth.lib import stream
from amaranth.lib.data import ArrayLayout
from amaranth.lib.wiring import Component, In, Out

from nn2rtl.primitives._check import check_positive

__all__ = ["Serializer", "serializer_levels"]

SELECTED = 4
"""Words that one stage selects from, with a LUT for each bit."""


def serializer_levels(ratio: int) -> int:
    """Stages of multiplexers that select one of `ratio` words."""
    levels, reach = 1, SELECTED
    while reach < ratio:
        levels, reach = levels + 1, reach * SELECTED
    return levels


class Serializer(Component):
    """Valid-only pipe that splits a wide beat into `ratio` narrow ones, the lowest lanes first.

    Of the wide beat in cycle t, narrow beat j leaves in cycle ``t + latency + j``. The next wide
    beat comes in ``t + ratio`` or later; that is up to whoever sends it. The wide beat is kept in
    registers, and multiplexers of up to `SELECTED` words, each with a register, select from it.

    Parameters
    ----------
    shape : ShapeLike
        Shape of an element.
    lanes : int
        Elements of a narrow beat.
    ratio : int
        Narrow beats in a wide one, at least 2.

    Attributes
    ----------
    latency : int
        Cycles from a wide beat to its first narrow beat: 1 and `serializer_levels`.

    Members
    -------
    i : In(stream.Signature(ArrayLayout(shape, lanes * ratio), always_ready=True))
        Wide beats.
    o : Out(stream.Signature(ArrayLayout(shape, lanes), always_ready=True))
        Narrow beats.

    Raises
    ------
    TypeError
        `lanes` or `ratio` is not an integer.
    ValueError
        `lanes` is less than 1 or `ratio` less than 2.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, shape: ShapeLike, lanes: int, ratio: int) -> None:
        check_positive("Serializer", lanes=lanes, ratio=ratio)
        if ratio < 2:
            raise ValueError(f"Serializer ratio must be at least 2, not {ratio!r}")
        self.lanes = lanes
        self.ratio = ratio
        self.latency = 1 + serializer_levels(ratio)
        wide, narrow = ArrayLayout(shape, lanes * ratio), ArrayLayout(shape, lanes)
        super().__init__({
            "i": In(stream.Signature(wide, always_ready=True)),
            "o": Out(stream.Signature(narrow, always_ready=True)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        width = len(Value.cast(self.o.payload))
        held = Signal(width * self.ratio, reset_less=True)
        index = Signal(range(self.ratio))
        valid = Signal()
        with m.If(valid):
            m.d.sync += index.eq(index + 1)
            with m.If(index == self.ratio - 1):
                m.d.sync += valid.eq(0)
        with m.If(self.i.valid):
            m.d.sync += [held.eq(Value.cast(self.i.payload)), index.eq(0), valid.eq(1)]

        words: list[Value] = [held[k * width :][:width] for k in range(self.ratio)]
        bits = (SELECTED - 1).bit_length()
        for level in range(self.latency - 1):
            words = [
                self._selected(m, words[k : k + SELECTED], index[:bits], f"word_{level}_{k}")
                for k in range(0, len(words), SELECTED)
            ]
            behind = Signal(name=f"valid_{level}")
            m.d.sync += behind.eq(valid)
            valid = behind
            if len(words) > 1:
                rest = Signal(len(index) - bits, name=f"index_{level}", reset_less=True)
                m.d.sync += rest.eq(index[bits:])
                index = rest
        m.d.comb += [self.o.valid.eq(valid), Value.cast(self.o.payload).eq(words[0])]
        return m

    @staticmethod
    def _selected(m: Module, words: list[Value], index: Value, name: str) -> Value:
        """Register of the word that `index` selects; it is none of those that are not there."""
        selected = Signal(len(words[0]), name=name, reset_less=True)
        if len(words) == 1:
            m.d.sync += selected.eq(words[0])
            return selected
        index = index[: (len(words) - 1).bit_length()]
        spare = [words[-1]] * ((1 << len(index)) - len(words))
        columns = [Cat(word[bit] for word in words + spare) for bit in range(len(selected))]
        m.d.sync += selected.eq(Cat(column.bit_select(index, 1) for column in columns))
        return selected
