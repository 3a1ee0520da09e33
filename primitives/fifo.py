"""Synchronous FIFO with exact, documented timing."""

from typing import Any, Literal

from amaranth.hdl import Cat, Const, Module, ShapeLike, Signal, Value
from amaranth.lib import stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from nn2rtl.primitives._check import check_positive

FifoMemory = Literal["auto", "registers", "distributed", "block"]
FifoStorage = Literal["registers", "distributed", "block"]

_LATENCY: dict[FifoStorage, int] = {"registers": 1, "distributed": 1, "block": 2}
_MAX_REGISTERS = 2
MAX_DISTRIBUTED = 64
"""Most words of a FIFO in distributed RAM: a 7-series LUT holds 64 bits."""


def fifo_memory(depth: int, memory: FifoMemory = "auto") -> FifoStorage:
    """Return what a FIFO of ``depth`` words is made of.

    Parameters
    ----------
    depth : int
        Capacity in words.
    memory : {"auto", "registers", "distributed", "block"}
        "auto" takes registers up to 2 words, distributed RAM up to 64, block RAM beyond.

    Raises
    ------
    TypeError
        If ``depth`` is not an integer.
    ValueError
        If ``depth`` is less than 1 or ``memory`` is none of the four.
    """
    check_positive("Fifo", depth=depth)
    if memory == "auto":
        if depth <= _MAX_REGISTERS:
            return "registers"
        return "distributed" if depth <= MAX_DISTRIBUTED else "block"
    if not isinstance(memory, str) or memory not in _LATENCY:
        raise ValueError(
            f"Fifo memory must be 'auto', 'registers', 'distributed' or 'block', not {memory!r}"
        )
    return memory


def fifo_latency(depth: int, memory: FifoMemory = "auto") -> int:
    """Return the cycles from a write into an empty FIFO until the word is visible.

    It is 1 for registers and distributed RAM and 2 for block RAM; parameters and errors are those
    of `fifo_memory`.
    """
    return _LATENCY[fifo_memory(depth, memory)]


def up_down(count: Signal, up: Value, down: Value) -> Value:
    """Return ``count + up - down`` for ``up != down``, as one adder of one LUT a bit.

    The caller keeps the count when both or none are set: ``with m.If(up ^ down)``.
    """
    return count + Cat(Const(1, 1), down.replicate(len(count) - 1))


class Fifo(Component):
    """First-in first-out queue between two streams.

    There is no combinational path between its sides: ``i.ready``, ``o.valid`` and ``o.payload``
    depend on registers only. Word ``j``, written in cycle ``w[j]`` and popped in ``p[j]``, is
    visible from cycle ``max(w[j] + latency, p[j-1] + 1)`` on. Exactly ``depth`` words fit; a full
    FIFO that is popped in cycle ``u`` is ready in ``u + 1``.

    Parameters
    ----------
    shape : ShapeLike
        Shape of a word.
    depth : int
        Capacity in words.
    memory : {"auto", "registers", "distributed", "block"}
        What holds the words, see `fifo_memory`.

    Members
    -------
    i : In(stream.Signature(shape))
        Words to write.
    o : Out(stream.Signature(shape))
        Words to pop.
    level : Out(range(depth + 1))
        Number of words inside, those not yet visible included.

    Attributes
    ----------
    depth : int
        Capacity in words.
    memory : {"registers", "distributed", "block"}
        What holds the words.
    latency : int
        Cycles from a write into an empty FIFO until the word is visible.

    Raises
    ------
    TypeError
        If ``depth`` is not an integer.
    ValueError
        If ``depth`` is less than 1 or ``memory`` is unknown.
    """

    i: stream.Interface
    o: stream.Interface
    level: Signal

    def __init__(self, shape: ShapeLike, depth: int, *, memory: FifoMemory = "auto") -> None:
        self.memory = fifo_memory(depth, memory)
        self.latency = fifo_latency(depth, memory)
        self.depth = depth
        self.shape = shape
        super().__init__(
            {
                "i": In(stream.Signature(shape)),
                "o": Out(stream.Signature(shape)),
                "level": Out(range(depth + 1)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        push = Signal()
        pop = Signal()
        m.d.comb += [
            self.i.ready.eq(self.level != self.depth),
            push.eq(self.i.valid & self.i.ready),
            pop.eq(self.o.valid & self.o.ready),
        ]
        with m.If(push ^ pop):
            m.d.sync += self.level.eq(up_down(self.level, push, pop))
        if self.memory == "registers":
            self._registers(m)
        elif self.memory == "distributed":
            self._distributed(m, push, pop)
        else:
            self._block(m, push)
        return m

    def _registers(self, m: Module) -> None:
        """Shift towards the output; a free slot follows the input, whether it is valid or not."""
        m.d.comb += self.o.valid.eq(self.level != 0)
        width = len(self._pattern(self.i))
        slots = [Signal(width, name=f"slot{k}", reset_less=True) for k in range(self.depth)]
        for k, slot in enumerate(slots):
            with m.If(self.o.ready | (self.level <= k)):
                if k + 1 < self.depth:
                    m.d.sync += slot.eq(slots[k + 1])
                with m.If(self.level <= k + 1):
                    m.d.sync += slot.eq(self._pattern(self.i))
        m.d.comb += self._pattern(self.o).eq(slots[0])

    def _distributed(self, m: Module, push: Signal, pop: Signal) -> None:
        memory = self._memory(m, push)
        read = memory.read_port(domain="comb")
        m.d.comb += [
            self.o.valid.eq(self.level != 0),
            self._pattern(self.o).eq(read.data),
        ]
        self._pointer(m, read.addr, pop)

    def _block(self, m: Module, push: Signal) -> None:
        """Prefetch the next word into the output register of the RAM whenever that is free."""
        memory = self._memory(m, push)
        read = memory.read_port(domain="sync")
        stored = Signal()  # whether a word is in the RAM but not in its output register
        present = Signal()  # whether a word is in the output register
        m.d.comb += [
            stored.eq(self.level[1:].any() | (self.level[0] & ~present)),
            read.en.eq(~present | self.o.ready),
            self.o.valid.eq(present),
            self._pattern(self.o).eq(read.data),
        ]
        with m.If(read.en):
            m.d.sync += present.eq(stored)
        self._pointer(m, read.addr, read.en & stored)

    def _memory(self, m: Module, push: Signal) -> Memory:
        rows = max(self.depth, 2)  # an address has at least one bit
        m.submodules.memory = memory = Memory(
            shape=len(self._pattern(self.i)),
            depth=rows,
            init=[],
            attrs={"ram_style": self.memory},
        )
        write = memory.write_port()
        m.d.comb += [write.en.eq(push), write.data.eq(self._pattern(self.i))]
        self._pointer(m, write.addr, push)
        return memory

    def _pointer(self, m: Module, address: Value, advance: Value) -> None:
        """Drive ``address`` by a register that counts modulo ``depth``."""
        pointer = Signal(len(address), name="pointer")
        m.d.comb += address.eq(pointer)
        with m.If(advance):
            m.d.sync += pointer.eq(pointer + 1)
            if self.depth != 1 << len(pointer):
                with m.If(pointer == self.depth - 1):
                    m.d.sync += pointer.eq(0)

    @staticmethod
    def _pattern(port: stream.Interface) -> Value:
        return Value.cast(port.payload)
