"""Copy of a stream to several branches."""

from typing import Any

from amaranth.hdl import Cat, Module, ShapeLike, Value
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from nn2rtl.primitives._check import check_positive


class Fork(Component):
    """Give every beat of a stream to all of several branches, in the same cycle.

    It is combinational (latency 0): a beat is accepted in the cycle in which ``i.valid`` and all
    ``o[k].ready`` are high. The fork is lazy: ``o[k].valid`` waits for the other branches to be
    ready, and falls again when one of them withdraws its ready. A branch must therefore not wait
    for its valid before it raises ready; the inputs of a `Fifo` or a `CreditedPipe` do not.

    Parameters
    ----------
    shape : ShapeLike
        Shape of the payload.
    branches : int
        Number of outputs.

    Members
    -------
    i : In(stream.Signature(shape))
        Beats to copy.
    o : Out(stream.Signature(shape)).array(branches)
        Their copies.

    Attributes
    ----------
    branches : int
        Number of outputs.

    Raises
    ------
    TypeError
        If ``branches`` is not an integer.
    ValueError
        If ``branches`` is less than 1.
    """

    i: stream.Interface
    o: list[stream.Interface]

    def __init__(self, shape: ShapeLike, branches: int) -> None:
        check_positive("Fork", branches=branches)
        self.shape = shape
        self.branches = branches
        super().__init__(
            {
                "i": In(stream.Signature(shape)),
                "o": Out(stream.Signature(shape)).array(branches),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.d.comb += self.i.ready.eq(Cat(branch.ready for branch in self.o).all())
        for branch in self.o:
            others = Cat(other.ready for other in self.o if other is not branch)
            m.d.comb += [
                branch.valid.eq(self.i.valid & others.all()),
                Value.cast(branch.payload).eq(Value.cast(self.i.payload)),
            ]
        return m
