"""Credits: a valid-only pipe becomes a stream component that never stalls inside."""

from typing import Any, Protocol

from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from nn2rtl.primitives._check import check_positive
from nn2rtl.primitives.fifo import Fifo, FifoMemory, fifo_latency, fifo_memory, up_down


class PipeLike(Protocol):
    """Valid-only pipeline: what enters in cycle ``t`` leaves in ``t + latency``.

    Both streams are always ready.
    """

    i: stream.Interface
    o: stream.Interface

    @property
    def latency(self) -> int:
        """Registers from ``i`` to ``o``."""


class Credits(Component):
    """Counter of free places in the FIFO behind a pipeline.

    Parameters
    ----------
    depth : int
        Number of credits after reset.
    taken : int
        Credits that are used at a time.

    Members
    -------
    take : In(1)
        ``taken`` credits are used in this cycle; only while ``available``.
    give : In(1)
        A credit comes back in this cycle, usable from the next cycle on.
    available : Out(1)
        Whether there are ``taken`` credits; it is the bit of a register.

    Attributes
    ----------
    depth, taken : int
        See above.

    Raises
    ------
    TypeError
        If ``depth`` or ``taken`` is not an integer.
    ValueError
        If ``taken`` is less than 1, or ``depth`` less than that.
    """

    take: Signal
    give: Signal
    available: Signal

    def __init__(self, depth: int, taken: int = 1) -> None:
        check_positive("Credits", depth=depth, taken=taken)
        if depth < taken:
            raise ValueError(f"Credits depth must be at least taken = {taken}, not {depth}")
        self.depth = depth
        self.taken = taken
        super().__init__({"take": In(1), "give": In(1), "available": Out(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        # Minus the credits beyond those that are used at a time, less 1: the sign tells whether
        # there are enough.
        spare = self.depth - self.taken
        bits = max(spare, self.taken - 1).bit_length() + 1
        debt = Signal(signed(bits), init=-spare - 1)
        if self.taken == 1:
            with m.If(self.take ^ self.give):
                m.d.sync += debt.eq(up_down(debt, self.take, self.give))
        else:
            more = Mux(self.give, self.taken - 1, self.taken)
            m.d.sync += debt.eq(debt + Mux(self.take, more, Mux(self.give, -1, 0)))
        m.d.comb += self.available.eq(debt[-1])
        return m


def check_pipe(owner: str, pipe: PipeLike) -> None:
    """Check that ``pipe`` has two streams ``i`` and ``o`` that are always ready, and a latency.

    Raises
    ------
    TypeError
        If it does not.
    """
    for name in ("i", "o"):
        port = getattr(pipe, name, None)
        if not getattr(getattr(port, "signature", None), "always_ready", False):
            raise TypeError(f"{owner} pipe must have an always ready stream {name}, not {port!r}")
    latency = getattr(pipe, "latency", None)
    if not isinstance(latency, int) or latency < 0:
        raise TypeError(f"{owner} pipe must have an integer latency, not {latency!r}")


class CreditedPipe(Component):
    """A valid-only pipe with a FIFO behind it and credits before it.

    An input that will complete an output is accepted only if a place in the FIFO is free, words in
    flight counted, so the pipe never has to stall. Of every ``inputs_per_output`` inputs the last
    one takes the credit; the others are always accepted. An output whose last input is accepted in
    cycle ``t`` is visible from ``t + latency`` on, or from the cycle after the pop of the output
    before it. The place that a pop in cycle ``u`` frees is usable in ``u + 1``. ``i.ready`` does
    not depend on ``i.valid``.

    Parameters
    ----------
    pipe : PipeLike
        The pipe; it gives one output for every ``inputs_per_output`` inputs, with the last.
    depth : int
        Capacity of the FIFO in outputs. For one output a cycle it takes at least ``latency + 1``.
    memory : {"auto", "registers", "distributed", "block"}
        What holds the FIFO's words, see `fifo_memory`.
    inputs_per_output : int
        Number of inputs of an output.

    Members
    -------
    i : In(stream.Signature(payload shape of pipe.i))
        Inputs.
    o : Out(stream.Signature(payload shape of pipe.o))
        Outputs.

    Attributes
    ----------
    pipe : PipeLike
        The pipe.
    depth : int
        Capacity of the FIFO, and number of credits.
    memory : {"registers", "distributed", "block"}
        What holds the FIFO's words.
    inputs_per_output : int
        Number of inputs of an output.
    latency : int
        Cycles from an output's last input until it is visible: that of the pipe and of the FIFO.

    Raises
    ------
    TypeError
        If ``pipe`` is not a valid-only pipe, or a number is not an integer.
    ValueError
        If a number is less than 1 or ``memory`` is unknown.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(
        self, pipe: PipeLike, depth: int, *, memory: FifoMemory = "auto", inputs_per_output: int = 1
    ) -> None:
        check_pipe("CreditedPipe", pipe)
        check_positive("CreditedPipe", depth=depth, inputs_per_output=inputs_per_output)
        self.pipe = pipe
        self.depth = depth
        self.memory = fifo_memory(depth, memory)
        self.inputs_per_output = inputs_per_output
        self.latency = pipe.latency + fifo_latency(depth, memory)
        super().__init__(
            {
                "i": In(stream.Signature(pipe.i.payload.shape())),
                "o": Out(stream.Signature(pipe.o.payload.shape())),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        pipe = self.pipe
        m.submodules.pipe = pipe
        m.submodules.credits = credits = Credits(self.depth)
        m.submodules.fifo = fifo = Fifo(
            self.o.payload.shape(), self.depth, memory=self.memory
        )

        accepted = Signal()
        completes = Signal(init=self.inputs_per_output == 1)
        if self.inputs_per_output > 1:
            index = Signal(range(self.inputs_per_output))
            m.d.comb += completes.eq(index == self.inputs_per_output - 1)
            with m.If(accepted):
                m.d.sync += index.eq(index + 1)
                with m.If(completes):
                    m.d.sync += index.eq(0)
        m.d.comb += [
            self.i.ready.eq(credits.available | ~completes),
            accepted.eq(self.i.valid & self.i.ready),
            credits.take.eq(accepted & completes),
            pipe.i.valid.eq(accepted),
            Value.cast(pipe.i.payload).eq(Value.cast(self.i.payload)),
            fifo.i.valid.eq(pipe.o.valid),
            Value.cast(fifo.i.payload).eq(Value.cast(pipe.o.payload)),
            self.o.valid.eq(fifo.o.valid),
            Value.cast(self.o.payload).eq(Value.cast(fifo.o.payload)),
            fifo.o.ready.eq(self.o.ready),
            credits.give.eq(fifo.o.valid & self.o.ready),
        ]
        return m
