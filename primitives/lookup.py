"""Arbitrary functions of narrow integers as tables."""

from collections.abc import Sequence

from amaranth.hdl import Module, Shape, ShapeLike, Value
from amaranth.lib.data import ArrayLayout
from amaranth.lib.memory import Memory

from nn2rtl.primitives._check import check_positive
from nn2rtl.primitives.constants import MAX_LUT_WORDS, bit_patterns, select_word
from nn2rtl.primitives.pipe import Pipe, register

__all__ = ["MAX_LOOKUP_WIDTH", "Lookup"]

MAX_LOOKUP_WIDTH = 12
"""Widest input of a table."""


class Lookup(Pipe):
    """``table[value - least value of in_shape]`` for each lane.

    Parameters
    ----------
    in_shape, out_shape : ShapeLike
        Shapes of values and results.
    lanes : int
        Numbers in a beat.
    table : sequence of int
        Result for every value of `in_shape`, ``2**width`` of them, that of the least one first.

    Attributes
    ----------
    latency : int
        1 up to 8 bits of input (LUTs), 2 up to 12 bits (block RAM with its output register, one
        for two lanes).

    Members
    -------
    i : In(stream.Signature(ArrayLayout(in_shape, lanes), always_ready=True))
        Values.
    o : Out(stream.Signature(ArrayLayout(out_shape, lanes), always_ready=True))
        Results.

    Raises
    ------
    TypeError
        If `lanes` is not an integer.
    ValueError
        If `in_shape` has no bits or more than 12, `table` has not one result for each value, or one
        does not fit into `out_shape`.
    """

    def __init__(
        self, in_shape: ShapeLike, out_shape: ShapeLike, lanes: int, table: Sequence[int]
    ) -> None:
        check_positive("Lookup", lanes=lanes)
        shape = Shape.cast(in_shape)
        if not 1 <= shape.width <= MAX_LOOKUP_WIDTH:
            raise ValueError(
                f"the input of a table must have 1 to {MAX_LOOKUP_WIDTH} bits, not {shape!r}"
            )
        size = 1 << shape.width
        if len(table) != size:
            raise ValueError(f"a table of {shape!r} must have {size} results, not {len(table)}")
        words = bit_patterns(table, out_shape)
        # In the order of bit patterns: a signed value's negative half comes last.
        half = size // 2 if shape.signed else 0
        self.words = words[half:] + words[:half]
        self.in_width = shape.width
        self.out_shape = Shape.cast(out_shape)
        self.lanes = lanes
        latency = 1 if size <= MAX_LUT_WORDS else 2
        super().__init__(ArrayLayout(in_shape, lanes), ArrayLayout(out_shape, lanes), latency)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._valid_chain(m)
        width = self.out_shape.width
        for lane in range(self.lanes):
            index = Value.cast(self.i.payload[lane]).as_unsigned()
            if self.latency == 1:
                data: Value = select_word(self.words, width, index)
            else:
                if lane % 2 == 0:  # a block RAM has two ports
                    memory = self._memory(m, f"table_{lane}")
                read = memory.read_port()
                m.d.comb += [read.en.eq(1), read.addr.eq(index)]
                data = read.data
            m.d.comb += self.o.payload[lane].eq(register(m, data, self.out_shape, f"out_{lane}"))
        return m

    def _memory(self, m: Module, name: str) -> Memory:
        memory = Memory(
            shape=self.out_shape.width,
            depth=len(self.words),
            init=self.words,
            attrs={"rom_style": "block"},
        )
        m.submodules[name] = memory
        return memory
