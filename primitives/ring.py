"""Parts of circular buffers that a reader does not empty in order: pointers and memory."""

from typing import Literal

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import stream
from amaranth.lib.memory import Memory
from amaranth.utils import ceil_log2

__all__ = ["RingMemory", "build_writer", "pointer_bits", "ring_memory", "ring_storage"]

RingMemory = Literal["auto", "distributed", "block"]

MAX_DISTRIBUTED_DEPTH = 64
"""Deepest buffer that ``memory="auto"`` always puts in LUT memory."""

MAX_DISTRIBUTED_BITS = 1024
"""Largest deeper buffer that ``memory="auto"`` puts in LUT memory all the same."""


def ring_memory(capacity: int, width: int, memory: RingMemory = "auto") -> RingMemory:
    """Choose LUT memory or block RAM for `capacity` words of `width` bits."""
    if memory not in ("auto", "distributed", "block"):
        raise ValueError(f'memory must be "auto", "distributed" or "block", not {memory!r}')
    if memory != "auto":
        return memory
    small = capacity <= MAX_DISTRIBUTED_DEPTH or capacity * width <= MAX_DISTRIBUTED_BITS
    return "distributed" if small else "block"


def pointer_bits(capacity: int, furthest_freed: int, span: int) -> int:
    """Width of the modular word pointers: enough to tell all reachable distances apart.

    Parameters
    ----------
    capacity : int
        Words of the buffer; (words written) - freed lies in -furthest_freed .. capacity.
    furthest_freed : int
        See above.
    span : int
        Greatest magnitude of a distance that is compared by its sign; 0 if none is.
    """
    bits: int = max(ceil_log2(capacity) + 1, ceil_log2(capacity + furthest_freed + 1))
    # Compared by sign: distances up to and including -2**(bits-1), below 2**(bits-1).
    return max(bits, ceil_log2(span + 1) + 1) if span else bits


def build_writer(
    m: Module, i: stream.Interface, freed: Value, written: Signal, capacity: int
) -> Signal:
    """Accept a word from `i` if ``written - freed < capacity``, and count it in `written`.

    Returns
    -------
    Signal
        A word is accepted in this cycle.
    """
    low, bits = ceil_log2(capacity), len(written)
    # The writer is never more than capacity ahead of freed: it is full at that very distance.
    full = (written[:low] == freed[:low]) & ((written[low:] - freed[low:])[: bits - low] == 1)
    accept = Signal()
    m.d.comb += [
        i.ready.eq(~full),
        accept.eq(i.valid & i.ready),
    ]
    with m.If(accept):
        m.d.sync += written.eq(written + 1)
    return accept


def ring_storage(
    m: Module,
    word: Value,
    accept: Value,
    written: Value,
    index: Value,
    step: Value,
    capacity: int,
    memory: RingMemory,
) -> Value:
    """Storage with one write port and one read port of a cycle; return the word read.

    Parameters
    ----------
    word : Value
        What is written in a cycle with `accept`, as word number `written`.
    index : Value
        Number of the word to read.
    step : Value
        The word is needed; in other cycles anything may be read.
    capacity : int
        Words, a power of two.
    memory : {"distributed", "block"}
        LUT memory or block RAM.
    """
    width, low = len(word), ceil_log2(capacity)
    if capacity == 1:
        held = Signal(width, reset_less=True)
        data = Signal(width, reset_less=True)
        m.d.sync += data.eq(held)
        with m.If(accept):
            m.d.sync += held.eq(word)
        return data
    m.submodules.ram = ram = Memory(
        shape=width, depth=capacity, init=[], attrs={"ram_style": memory}
    )
    write = ram.write_port()
    read = ram.read_port()
    m.d.comb += [
        write.en.eq(accept),
        write.addr.eq(written[:low]),
        write.data.eq(word),
        read.addr.eq(index[:low]),
        # Saves power in block RAM; a wide LUT memory is better off without the fan-out.
        read.en.eq(step if memory == "block" else 1),
    ]
    return read.data
