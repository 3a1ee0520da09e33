"""Stream test bench for Amaranth's simulator, and packing of lanes into payload patterns."""

import random
import re
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
from amaranth.hdl import ClockDomain, Module, Value
from amaranth.sim import Simulator

Stall = float | Callable[[int], bool]


@dataclass
class BenchResult:
    """What a bench saw; every field is indexed by the name of a port.

    Attributes
    ----------
    data : dict of str to list of int
        Payload patterns of the accepted beats, in order.
    time : dict of str to list of int
        Cycle in which each of these beats was accepted.
    valid, ready : dict of str to list of int
        The two handshake signals in each cycle.
    cycles : int
        Number of simulated cycles.
    """

    data: dict[str, list[int]] = field(default_factory=dict)
    time: dict[str, list[int]] = field(default_factory=dict)
    valid: dict[str, list[int]] = field(default_factory=dict)
    ready: dict[str, list[int]] = field(default_factory=dict)
    cycles: int = 0


def _resolve(dut: Any, name: str) -> Any:
    """Return the stream called ``name``: ``"o"``, or ``"o[1]"`` in an array of streams."""
    attribute, *indices = re.findall(r"\w+", name)
    port = getattr(dut, attribute)
    for index in indices:
        port = port[int(index)]
    return port


def _stall(setting: Stall, rng: random.Random) -> Callable[[int], bool]:
    if callable(setting):
        return setting
    return lambda cycle: rng.random() < setting


class _Port:
    def __init__(self, dut: Any, name: str, stall: Stall, seed: int, result: BenchResult) -> None:
        port = _resolve(dut, name)
        self.name = name
        self.valid, self.ready = port.valid, port.ready
        self.payload = Value.cast(port.payload)
        self.always_ready = port.signature.always_ready
        self.rng = random.Random(f"{seed}/{name}")
        self.stall = _stall(stall, random.Random(f"{seed}/{name}/stall"))
        self.data: list[int] = result.data.setdefault(name, [])
        self.time: list[int] = result.time.setdefault(name, [])
        self.valids: list[int] = result.valid.setdefault(name, [])
        self.readies: list[int] = result.ready.setdefault(name, [])

    def record(self, ctx: Any) -> tuple[int, int]:
        valid, ready = ctx.get(self.valid), ctx.get(self.ready)
        self.valids.append(valid)
        self.readies.append(ready)
        return valid, ready


class _Source(_Port):
    def __init__(self, *args: Any, beats: list[int]) -> None:
        super().__init__(*args)
        self.beats = beats
        self.raised = False

    def done(self) -> bool:
        return len(self.data) == len(self.beats)

    def drive(self, ctx: Any, cycle: int) -> None:
        if not self.done() and (self.raised or not self.stall(cycle)):
            if not self.raised:
                ctx.set(self.payload, self.beats[len(self.data)])
                ctx.set(self.valid, 1)
            self.raised = True
        else:
            ctx.set(self.payload, self.rng.getrandbits(len(self.payload)))
            ctx.set(self.valid, 0)

    def observe(self, ctx: Any, cycle: int) -> None:
        valid, ready = self.record(ctx)
        if valid and ready:
            self.data.append(self.beats[len(self.data)])
            self.time.append(cycle)
            self.raised = False


class _Sink(_Port):
    def __init__(self, *args: Any, count: int) -> None:
        super().__init__(*args)
        self.count = count
        self.pending: int | None = None

    def done(self) -> bool:
        return len(self.data) == self.count

    def drive(self, ctx: Any, cycle: int) -> None:
        if not self.always_ready:
            ctx.set(self.ready, not self.stall(cycle))

    def observe(self, ctx: Any, cycle: int) -> None:
        valid, ready = self.record(ctx)
        pattern = ctx.get(self.payload) & ((1 << len(self.payload)) - 1) if valid else None
        if self.pending is not None and pattern != self.pending:
            shown = "valid fell" if pattern is None else f"payload changed to {pattern:#x}"
            raise AssertionError(
                f"{self.name}: {shown} in cycle {cycle} before {self.pending:#x} was accepted"
            )
        if pattern is not None and self.done():
            raise AssertionError(
                f"{self.name}: extra beat {pattern:#x} in cycle {cycle}, expected {self.count}"
            )
        self.pending = None if ready else pattern
        if pattern is not None and ready:
            self.data.append(pattern)
            self.time.append(cycle)


def _run(
    dut: Any,
    inputs: dict[str, list[int]],
    outputs: dict[str, int],
    *,
    idle: Stall = 0.0,
    backpressure: Stall = 0.0,
    seed: int = 0,
    max_cycles: int = 20_000,
    settle: int = 16,
) -> BenchResult:
    """Drive streams into a component and collect what comes out.

    A source keeps valid once it is raised, and drives a random payload while it is low. Cycle 0 is
    the first; a beat accepted in cycle ``t`` by a pipe of latency ``L`` is at its output in
    ``t + L``.

    Parameters
    ----------
    dut : Component
        The component to test; its registers are in the domain ``sync``.
    inputs : dict of str to list of int
        All payload patterns of each input stream; ``"i[1]"`` names one of an array of streams.
    outputs : dict of str to int
        How many beats each output stream gives in all.
    idle, backpressure : float or callable
        Probability that a source does not raise valid, or a sink is not ready, in a cycle; or a
        function of the cycle that is true when it does not. Streams that are always ready have no
        backpressure.
    seed : int
        Seed of everything that is random.
    max_cycles : int
        Cycles after which the run is given up.
    settle : int
        Cycles to wait for an extra beat after the last one.

    Raises
    ------
    AssertionError
        If an output drops valid or changes its payload before it is accepted, gives an extra beat,
        or if the beats are not all through after ``max_cycles``.
    """
    result = BenchResult()
    sources = [
        _Source(dut, name, idle, seed, result, beats=list(beats)) for name, beats in inputs.items()
    ]
    sinks = [
        _Sink(dut, name, backpressure, seed, result, count=count)
        for name, count in outputs.items()
    ]
    ports: list[_Source | _Sink] = [*sources, *sinks]

    async def bench(ctx: Any) -> None:
        remaining = settle
        while True:
            cycle = result.cycles
            for port in ports:
                port.drive(ctx, cycle)
            for port in ports:
                port.observe(ctx, cycle)
            result.cycles += 1
            await ctx.tick()
            if all(port.done() for port in ports):
                remaining -= 1
                if remaining < 0:
                    return
            elif result.cycles >= max_cycles:
                state = ", ".join(
                    f"{port.name} {len(port.data)} of "
                    f"{len(port.beats) if isinstance(port, _Source) else port.count}"
                    for port in ports
                )
                raise AssertionError(f"not finished after {max_cycles} cycles: {state}")

    top = Module()
    top.domains.sync = ClockDomain()  # a combinational dut has no domain of its own
    top.submodules.dut = dut
    simulator = Simulator(top)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return result


def _pack(values: Iterable[int], width: int) -> int:
    """Return the pattern with the two's complement of element ``k`` at ``[k*width +: width]``."""
    pattern = 0
    for lane, value in enumerate(values):
        if not -(1 << width) // 2 <= value < 1 << width:
            raise ValueError(f"{value} does not fit {width} bits")
        pattern |= (value & ((1 << width) - 1)) << (lane * width)
    return pattern


def _unpack(pattern: int, lanes: int, width: int, signed: bool = False) -> list[int]:
    """Return the ``lanes`` elements of ``width`` bits of a pattern, the lowest first."""
    values = [(pattern >> (lane * width)) & ((1 << width) - 1) for lane in range(lanes)]
    if signed:
        values = [value - ((value >> (width - 1)) << width) for value in values]
    return values


def _queue_model(
    written: Iterable[int], popped: Iterable[int], latency: int, cycles: int
) -> tuple[list[int], list[int]]:
    """Return level and valid in each cycle of a queue that obeys the timing rule of `Fifo`.

    A word written in cycle ``w`` counts from ``w + 1`` on and is visible from ``w + latency`` on,
    or from the cycle after the pop of the word before it; a pop frees its place in the next cycle.
    """
    writes, pops = set(written), set(popped)
    inside: deque[int] = deque()  # first cycle in which each word may be seen
    levels, valids = [], []
    for cycle in range(cycles):
        levels.append(len(inside))
        valids.append(int(bool(inside) and inside[0] <= cycle))
        if cycle in pops:
            inside.popleft()
            if inside:
                inside[0] = max(inside[0], cycle + 1)
        if cycle in writes:
            inside.append(cycle + latency)
    return levels, valids


@pytest.fixture
def stream_bench() -> Callable[..., BenchResult]:
    """Return the function that drives a component's streams, see `_run`."""
    return _run


@pytest.fixture
def pack() -> Callable[[Iterable[int], int], int]:
    """Return the function ``pack(values, width)``."""
    return _pack


@pytest.fixture
def unpack() -> Callable[..., list[int]]:
    """Return the function ``unpack(pattern, lanes, width, signed)``."""
    return _unpack


@pytest.fixture
def queue_model() -> Callable[..., tuple[list[int], list[int]]]:
    """Return the function ``queue_model(written, popped, latency, cycles) -> (level, valid)``."""
    return _queue_model
