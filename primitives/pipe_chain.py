"""Several pipes in a row."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Module, Value
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from nn2rtl.primitives.credits import PipeLike, check_pipe


class PipeChain(Component):
    """Valid-only pipe that is made of several.

    Parameters
    ----------
    pipes : sequence of PipeLike
        The pipes, in the order in which data passes them. A payload goes from one to the next as
        a bit pattern, so their widths must agree, not their layouts.

    Members
    -------
    i : In(signature of pipes[0].i)
        Input of the first pipe.
    o : Out(signature of pipes[-1].o)
        Output of the last pipe.

    Attributes
    ----------
    pipes : tuple of PipeLike
        The pipes.
    latency : int
        Sum of their latencies.

    Raises
    ------
    TypeError
        If one of them is not a valid-only pipe.
    ValueError
        If there is none, or the payload widths of neighbours differ.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, pipes: Sequence[PipeLike]) -> None:
        self.pipes = tuple(pipes)
        if not self.pipes:
            raise ValueError(f"PipeChain pipes must not be empty, not {pipes!r}")
        for pipe in self.pipes:
            check_pipe("PipeChain", pipe)
        for k in range(len(self.pipes) - 1):
            given = len(Value.cast(self.pipes[k].o.payload))
            taken = len(Value.cast(self.pipes[k + 1].i.payload))
            if given != taken:
                raise ValueError(
                    f"PipeChain pipes[{k + 1}] must take the {given} bits that pipes[{k}] gives, "
                    f"not {taken} bits"
                )
        self.latency = sum(pipe.latency for pipe in self.pipes)
        first, last = self.pipes[0].i.payload.shape(), self.pipes[-1].o.payload.shape()
        super().__init__(
            {
                "i": In(stream.Signature(first, always_ready=True)),
                "o": Out(stream.Signature(last, always_ready=True)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        before = self.i
        for k, pipe in enumerate(self.pipes):
            m.submodules[f"pipe{k}"] = pipe
            self._connect(m, pipe.i, before)
            before = pipe.o
        self._connect(m, self.o, before)
        return m

    @staticmethod
    def _connect(m: Module, to: stream.Interface, source: stream.Interface) -> None:
        m.d.comb += [
            to.valid.eq(source.valid),
            Value.cast(to.payload).eq(Value.cast(source.payload)),
        ]
