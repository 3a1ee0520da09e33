"""Loop nests in hardware: counters, and the index that they walk."""

from collections.abc import Sequence
from typing import NamedTuple

from amaranth.hdl import Const, Module, Mux, Signal, Value

__all__ = ["LoopCounter", "Walk", "walk_loops"]


class LoopCounter:
    """Loop counter with a registered flag for its last turn.

    Parameters
    ----------
    m : Module
        Where it is built.
    extent : int
        Turns, at least 2; then it starts again.
    advance : Value
        It goes on in this cycle.
    name : str
        Prefix of its signals.

    Attributes
    ----------
    extent : int
        Turns.
    value, last : Value
        Present turn, from 0, and whether it is the last one.
    """

    def __init__(self, m: Module, extent: int, advance: Value, name: str) -> None:
        self.extent = extent
        self.value = Signal(range(extent), name=f"{name}_count")
        if extent == 2:
            self.last: Value = self.value
            with m.If(advance):
                m.d.sync += self.value.eq(~self.value)
            return
        self.last = last = Signal(name=f"{name}_last")
        with m.If(advance):
            m.d.sync += [
                self.value.eq(self.value + 1),
                last.eq(self.value == extent - 2),
            ]
            if extent & (extent - 1):
                with m.If(last):
                    m.d.sync += self.value.eq(0)


class Walk(NamedTuple):
    """What `walk_loops` builds.

    Parameters
    ----------
    change : Value
        What is added to the index in a step.
    counters : list of LoopCounter
        Of each loop.
    ends : list of Value
        ``ends[k]``: whether loops k and all within it are at their last turn; one more than loops.
    """

    change: Value
    counters: list[LoopCounter]
    ends: list[Value]


def walk_loops(
    m: Module, loops: Sequence[tuple[str, int, int]], stride: int, advance: Value, bits: int
) -> Walk:
    """Build the counters of a loop nest.

    Parameters
    ----------
    m : Module
        Where it is built.
    loops : sequence of (name, extent, stride)
        Outermost first, extents at least 2.
    stride : int
        Stride of the endless loop around them.
    advance : Value
        A step is made in this cycle.
    bits : int
        Width of the index, which is modular.
    """
    modulus = 1 << bits
    counters: list[LoopCounter] = []
    all_last: Value = Const(1)
    ends = [all_last]
    # Index change when a loop advances and all loops within it start again.
    rewind = 0
    choices: list[tuple[Value, int]] = []
    for name, extent, loop_stride in reversed(loops):
        counter = LoopCounter(m, extent, advance & all_last, name)
        counters.append(counter)
        choices.append((counter.last, loop_stride - rewind))
        rewind += (extent - 1) * loop_stride
        all_last = all_last & counter.last
        ends.append(all_last)
    change: Value = Const((stride - rewind) % modulus, bits)
    for last, own in reversed(choices):
        change = Mux(last, change, Const(own % modulus, bits))
    return Walk(change, counters[::-1], ends[::-1])
