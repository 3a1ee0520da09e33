"""Constants that change from beat to beat: those of the fold that the beat belongs to."""

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Mux, Shape, ShapeLike, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.data import ArrayLayout, View
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from nn2rtl.primitives._check import check_positive
from nn2rtl.primitives.pipe import shape_bounds

__all__ = ["MAX_LUT_WORDS", "ConstantTable", "FoldCounter", "bit_patterns", "select_word"]

MAX_LUT_WORDS = 256
"""Most words of a table that is built of LUTs; larger ones go to block RAM."""


def bit_patterns(values: Sequence[int], shape: ShapeLike) -> list[int]:
    """Return the bit pattern of each value in `shape`.

    Raises
    ------
    ValueError
        If a value does not fit.
    """
    cast = Shape.cast(shape)
    low, high = shape_bounds(cast)
    for value in values:
        if not low <= value <= high:
            raise ValueError(f"constants must fit into {cast!r}, not {value!r}")
    return [value & ((1 << cast.width) - 1) for value in values]


def select_word(words: Sequence[int], width: int, index: Value) -> Value:
    """Return the bit pattern ``words[index]`` as LUTs: each bit selected from a constant."""
    size = 1 << len(index)
    columns = [sum((word >> bit & 1) << k for k, word in enumerate(words)) for bit in range(width)]
    return Cat(Const(column, size).bit_select(index, 1) for column in columns)


def following(index: Value, count: int) -> Value:
    """Return the index after `index`, of `count` in a circle."""
    return Mux(index == count - 1, 0, index + 1)


class FoldCounter(wiring.Component):
    """Tell which fold a beat belongs to: the k-th beat since reset is in fold ``k % folds``.

    Tables that it addresses are better mapped if it is a module of its own, not flattened.

    Parameters
    ----------
    folds : int
        Number of folds.
    ahead : int
        Count this far ahead: the k-th beat gets fold ``(k + ahead) % folds``.

    Members
    -------
    next : In(1)
        There is a beat in this cycle.
    fold : Out(range(folds))
        Fold of the beat in this cycle, or of the one to come; a register. At least 1 bit.

    Raises
    ------
    TypeError, ValueError
        If `folds` is not an integer of at least 1.
    """

    next: Signal
    fold: Signal

    def __init__(self, folds: int, ahead: int = 0) -> None:
        check_positive("FoldCounter", folds=folds)
        self.folds = folds
        super().__init__({"next": In(1), "fold": Out(range(max(2, folds)), init=ahead % folds)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if self.folds > 1:
            with m.If(self.next):
                m.d.sync += self.fold.eq(following(self.fold, self.folds))
        return m


class ConstantTable(wiring.Component):
    """Give each beat the constants of its fold: the k-th since reset those of ``k % folds``.

    The constants are in a register when the beat arrives, from the first cycle after reset on, so
    they cost no latency. If all folds have the same ones they are wired. More than
    `MAX_LUT_WORDS` folds are held in block RAM.

    Parameters
    ----------
    rows : sequence of sequence of int
        For each lane the constant of each fold, see :func:`~nn2rtl.primitives.pipe.channel_rows`.
    shape : ShapeLike
        Shape of a constant.

    Members
    -------
    next : In(1)
        There is a beat in this cycle.
    value : Out(ArrayLayout(shape, lanes))
        Constants of the beat in this cycle, or of the one to come.

    Raises
    ------
    ValueError
        If there are no constants, the lanes differ in folds, or a constant does not fit.
    """

    next: Signal
    value: View

    def __init__(self, rows: Sequence[Sequence[int]], shape: ShapeLike) -> None:
        self.folds = len(rows[0]) if rows else 0
        if not self.folds or any(len(row) != self.folds for row in rows):
            raise ValueError(
                f"lanes must have equally many constants, not {[len(row) for row in rows]}"
            )
        width = Shape.cast(shape).width
        patterns = [bit_patterns(row, shape) for row in rows]
        self.words = [
            sum(row[fold] << (width * lane) for lane, row in enumerate(patterns))
            for fold in range(self.folds)
        ]
        super().__init__({"next": In(1), "value": Out(ArrayLayout(shape, len(rows)))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        first, *others = self.words
        output = Value.cast(self.value)
        if all(word == first for word in others):
            m.d.comb += output.eq(first)
            return m
        held = Signal(len(output), init=first)
        coming = Signal(len(output))
        m.d.comb += output.eq(held)
        with m.If(self.next):
            m.d.sync += held.eq(coming)

        if self.folds <= MAX_LUT_WORDS:
            m.submodules.counter = counter = FoldCounter(self.folds, ahead=1)
            m.d.comb += [
                counter.next.eq(self.next),
                coming.eq(select_word(self.words, len(output), counter.fold)),
            ]
            return m

        index = Signal(range(self.folds), init=1)  # of the word `coming`
        m.submodules.memory = memory = Memory(
            shape=len(output), depth=self.folds, init=self.words, attrs={"rom_style": "block"}
        )
        read = memory.read_port()
        after = Signal(range(self.folds), init=2)
        started = Signal()  # the memory's output register is not reset: it is good a cycle later
        m.d.sync += started.eq(1)
        m.d.comb += [
            read.en.eq(1),
            read.addr.eq(Mux(self.next, after, index)),
            coming.eq(Mux(started, read.data, others[0])),
        ]
        with m.If(self.next):
            m.d.sync += [index.eq(after), after.eq(following(after, self.folds))]
        return m
