"""Read-only memory that walks through its words again and again."""

from typing import Literal

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from nn2rtl.primitives.constants import FoldCounter

__all__ = ["WeightRom", "rom_memory"]

RomMemory = Literal["auto", "distributed", "block"]

MAX_DISTRIBUTED_DEPTH = 64
"""Deepest ROM that ``memory="auto"`` builds of LUTs: one LUT6 for each bit of a word."""


def rom_memory(depth: int, memory: RomMemory = "auto") -> RomMemory:
    """Choose LUTs or block RAM for a ROM of `depth` words."""
    if memory not in ("auto", "distributed", "block"):
        raise ValueError(f'memory must be "auto", "distributed" or "block", not {memory!r}')
    if memory != "auto":
        return memory
    return "distributed" if depth <= MAX_DISTRIBUTED_DEPTH else "block"


class WeightRom(wiring.Component):
    """Give the words one after the other, from the first again after the last.

    The k-th cycle with `next` (from 0, since reset) gives word ``k % depth`` on `data` `latency`
    cycles later. `data` is undefined in all other cycles, or stays with `hold`. One word a cycle.

    Parameters
    ----------
    words : list of int
        Contents, as bit patterns.
    width : int
        Bits of a word.
    memory : {"auto", "distributed", "block"}
        LUTs or block RAM, see :func:`rom_memory`. A single word is a constant.
    output_register : bool
        One more register behind the memory.
    hold : bool
        Keep a word until the next one; not with `output_register`.

    Attributes
    ----------
    latency : int
        Cycles from `next` to `data`: 1, or 2 with `output_register`.

    Members
    -------
    next : In(1)
        Read the next word.
    data : Out(width)
        The word read.

    Raises
    ------
    ValueError
        There is no word, or one does not fit into `width` bits; unknown `memory`; `hold` with
        `output_register`.
    """

    next: Signal
    data: Signal

    def __init__(
        self,
        words: list[int],
        width: int,
        *,
        memory: RomMemory = "auto",
        output_register: bool = False,
        hold: bool = False,
    ) -> None:
        if hold and output_register:
            raise ValueError("a ROM with an output register must not hold its words")
        if not words:
            raise ValueError("a ROM must have at least one word")
        for word in words:
            if not 0 <= word < 1 << width:
                raise ValueError(f"words must be patterns of {width} bits, not {word!r}")
        self.words = list(words)
        self.width = width
        self.memory = rom_memory(len(words), memory)
        self.latency = 2 if output_register else 1
        self.hold = hold
        super().__init__({"next": In(1), "data": Out(width)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        depth = len(self.words)
        if depth == 1:
            m.d.comb += self.data.eq(self.words[0])
            return m
        # Yosys refuses rom_style = "distributed": LUT memory must be writable. Without an attribute
        # that it knows, it takes block RAM by its own estimate; Vivado does well by its own.
        block = self.memory == "block"
        attrs = {"rom_style": "block"} if block else {"syn_romstyle": "logic"}
        m.submodules.rom = rom = Memory(
            shape=self.width, depth=depth, init=self.words, attrs=attrs
        )
        read = rom.read_port()
        # The counter has a module of its own: beside its carry chain Yosys takes up to four times
        # the LUTs for the words.
        m.submodules.counter = counter = FoldCounter(depth)
        m.d.comb += [
            counter.next.eq(self.next),
            read.addr.eq(counter.fold),
            read.en.eq(self.next if block or self.hold else 1),
        ]
        if self.latency == 1:
            m.d.comb += self.data.eq(read.data)
        else:
            held = Signal(self.width, reset_less=True)
            m.d.sync += held.eq(read.data)
            m.d.comb += self.data.eq(held)
        return m
