# amaranth: UnusedElaboratable=no
# (an engine that is only asked for its latency, or that is refused, drops its parts)
"""Engines for layers that slide a window: line buffer, rigid pipeline, output FIFO with credits."""

from collections.abc import Sequence

from amaranth.hdl import Module, Shape, ShapeLike, Value
from amaranth.lib import stream, wiring
from amaranth.lib.data import ArrayLayout
from amaranth.lib.wiring import In, Out

from nn2rtl.primitives.credits import Credits
from nn2rtl.primitives.fifo import Fifo, FifoMemory
from nn2rtl.primitives.geometry import WindowGeometry
from nn2rtl.primitives.line_buffer import LineBuffer
from nn2rtl.primitives.mac_array import MacArray
from nn2rtl.primitives.pipe import shape_bounds
from nn2rtl.primitives.ring import RingMemory
from nn2rtl.primitives.rom import RomMemory, WeightRom
from nn2rtl.primitives.serialize import Serializer

__all__ = ["ConvEngine", "WindowReduceEngine"]


def _pattern(values: Sequence[int], shape: Shape, what: str) -> int:
    """Bit pattern of an array of `shape`, element 0 lowest."""
    low, high = shape_bounds(shape)
    mask = (1 << shape.width) - 1
    pattern = 0
    for k, value in enumerate(values):
        if not low <= value <= high:
            raise ValueError(f"{what} must fit into {shape!r}, not {value!r}")
        pattern |= (value & mask) << (k * shape.width)
    return pattern


def _payload_shape(pipe: wiring.Component, port: str) -> ShapeLike:
    return pipe.signature.members[port].signature.members["payload"].shape


class _WindowEngine(wiring.Component):
    """Line buffer, head of the pipeline, epilogue pipes, output FIFO with credits."""

    i: stream.Interface
    o: stream.Interface

    def __init__(
        self,
        line_buffer: LineBuffer,
        word_shape: ShapeLike,
        head: wiring.Component,
        epilogue: Sequence[wiring.Component],
        depth: int,
        fifo_memory: FifoMemory,
        group_words: int = 1,
    ) -> None:
        self.line_buffer = line_buffer
        self.group_words = group_words
        self.pipes = [head, *epilogue]
        for k, after in enumerate(self.pipes[1:]):
            given = Shape.cast(_payload_shape(self.pipes[k], "o"))
            wanted = Shape.cast(_payload_shape(after, "i"))
            if given.width != wanted.width:
                raise ValueError(
                    f"pipe {after!r} must take {given.width} bits, not {wanted.width} bits"
                )
        out_shape = _payload_shape(self.pipes[-1], "o")
        self.credits = Credits(depth, group_words)
        self.fifo = Fifo(out_shape, depth, memory=fifo_memory)
        super().__init__({
            "i": In(stream.Signature(word_shape)),
            "o": Out(stream.Signature(out_shape)),
        })

    @property
    def pipe_latency(self) -> int:
        """Cycles from the step that ends a group to the write of its first output."""
        return self.line_buffer.latency + sum(int(pipe.latency) for pipe in self.pipes)

    @property
    def fifo_latency(self) -> int:
        """Cycles from that write to the output being visible, if none is before it."""
        return self.fifo.latency

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.line_buffer = line_buffer = self.line_buffer
        m.submodules.credits = credits = self.credits
        m.submodules.fifo = fifo = self.fifo
        wiring.connect(m, wiring.flipped(self.i), line_buffer.i)
        m.d.comb += [
            line_buffer.credit.eq(credits.available),
            credits.take.eq(line_buffer.take),
            credits.give.eq(self.o.valid & self.o.ready),
        ]
        head = self.pipes[0]
        self._connect_head(m, head)
        m.submodules.head = head
        for k, after in enumerate(self.pipes[1:]):
            before = self.pipes[k]
            m.submodules[f"epilogue_{k}"] = after
            m.d.comb += [
                after.i.valid.eq(before.o.valid),
                Value.cast(after.i.payload).eq(Value.cast(before.o.payload)),
            ]
        # A credit was taken for every word: the FIFO is ready whenever the last pipe is valid.
        m.d.comb += [
            fifo.i.valid.eq(self.pipes[-1].o.valid),
            fifo.i.payload.eq(self.pipes[-1].o.payload),
        ]
        wiring.connect(m, fifo.o, wiring.flipped(self.o))
        return m

    def _connect_head(self, m: Module, head: wiring.Component) -> None:
        raise NotImplementedError


class ConvEngine(_WindowEngine):
    """Folded convolution or dense layer: `pe` output channels and `simd` input channels a cycle.

    Of a grouped convolution either a part of one group at a time, which the geometry's blocks are
    then, or several whole groups, see `blocks`.

    The sums of a group pass the epilogue `out_lanes` at a time, in ``group_words`` words: they take
    turns in its arithmetic, and the array is already at the next group.

    Timing, exactly: steps issue by the rule of :class:`LineBuffer`, with credit while `depth` has
    room for ``group_words`` words more than are in flight or in the FIFO; a word popped in cycle u
    gives its place to cycle u + 1. Word j of a group whose last step issues in cycle t enters the
    FIFO in ``t + pipe_latency + j`` and is visible from ``t + pipe_latency + fifo_latency + j`` on.
    So a layer takes ``geometry.steps`` cycles an inference, unless it waits for input or is held up
    at its output.

    Parameters
    ----------
    geometry : WindowGeometry
        ``words = channels / simd``, ``blocks * outer = output channels / pe``.
    act_shape, weight_shape, acc_shape : ShapeLike
        Shapes of activations, weights and sums, see :class:`MacArray`.
    pe, simd : int
        Output and input channels in parallel.
    weights : sequence of [pe][simd / blocks] int
        For each step of a window, ``geometry.window_steps`` in all: step order is block of the
        geometry, neuron fold, kernel row, kernel column, word.
    depth : int
        Depth of the output FIFO, at least ``group_words``.
    capacity : int
        Words of the line buffer.
    pad_value : int
        Activation in padding.
    epilogue : sequence of Component
        Valid-only pipes that the sums go through, the first takes ``ArrayLayout(acc_shape,
        out_lanes)``.
    out_lanes : int or None
        Outputs at a time, `pe` if None; divides `pe`. A group has at least ``pe / out_lanes``
        steps.
    blocks : int
        Groups of channels computed side by side, see :class:`MacArray`.
    use_dsp : bool
        See :class:`MacArray`.
    memory_register : bool
        A register behind line buffer and weight memory, for clock rate.
    line_memory, rom_memory, fifo_memory : str
        What the memories are made of; "auto" chooses by size.

    Attributes
    ----------
    pipe_latency, fifo_latency : int
        See above, in cycles.
    group_words : int
        ``pe / out_lanes``.

    Members
    -------
    i : In(stream.Signature(ArrayLayout(act_shape, simd)))
        Image in raster order, channels last.
    o : Out(stream.Signature)
        Outputs of the last pipe: ``geometry.outputs * group_words`` beats an inference, position by
        position, blocks, neuron folds and lanes in order.

    Raises
    ------
    ValueError
        Weights have the wrong number or do not fit, `out_lanes` does not divide `pe` or a group is
        too short for it, or a part refuses its parameters.
    """

    def __init__(
        self,
        geometry: WindowGeometry,
        act_shape: ShapeLike,
        weight_shape: ShapeLike,
        acc_shape: ShapeLike,
        pe: int,
        simd: int,
        weights: Sequence[Sequence[Sequence[int]]],
        *,
        depth: int,
        capacity: int,
        pad_value: int = 0,
        epilogue: Sequence[wiring.Component] = (),
        out_lanes: int | None = None,
        blocks: int = 1,
        use_dsp: bool = False,
        memory_register: bool = False,
        line_memory: RingMemory = "auto",
        rom_memory: RomMemory = "auto",
        fifo_memory: FifoMemory = "auto",
    ) -> None:
        numbers = [w for step in weights for row in step for w in row]
        span = min(numbers, default=0), max(numbers, default=0)
        array = MacArray(
            act_shape, weight_shape, acc_shape, pe, simd, blocks=blocks, use_dsp=use_dsp,
            weight_range=span,
        )
        steps, lanes = geometry.window_steps, array.lanes
        sizes = {(len(step), len(row)) for step in weights for row in step}
        if len(weights) != steps or sizes != {(pe, lanes)}:
            raise ValueError(
                f"weights must be {steps} x {pe} x {lanes}, not {len(weights)} x {sizes!r}"
            )
        weight = Shape.cast(weight_shape)
        words = [_pattern([w for row in step for w in row], weight, "weights") for step in weights]
        pad_word = _pattern([pad_value] * simd, Shape.cast(act_shape), "pad_value")
        self.rom = WeightRom(
            words, weight.width * pe * lanes, memory=rom_memory, output_register=memory_register
        )
        word_shape = ArrayLayout(act_shape, simd)
        line_buffer = LineBuffer(
            geometry, word_shape, capacity, pad_word,
            memory=line_memory, output_register=memory_register,
        )
        out_lanes = pe if out_lanes is None else out_lanes
        if out_lanes < 1 or pe % out_lanes or pe // out_lanes > geometry.group_steps:
            raise ValueError(
                f"out_lanes must divide pe {pe}, into at most {geometry.group_steps} words of a "
                f"group, not {out_lanes!r}"
            )
        group_words = pe // out_lanes
        if group_words > 1:
            epilogue = [Serializer(acc_shape, out_lanes, group_words), *epilogue]
        super().__init__(
            line_buffer, word_shape, array, epilogue, depth, fifo_memory, group_words
        )

    def _connect_head(self, m: Module, head: wiring.Component) -> None:
        m.submodules.rom = rom = self.rom
        beat = self.line_buffer.o
        m.d.comb += [
            rom.next.eq(self.line_buffer.step),
            head.i.valid.eq(beat.valid),
            head.i.payload.data.eq(beat.payload.data),
            head.i.payload.first.eq(beat.payload.first),
            head.i.payload.last.eq(beat.payload.last),
            Value.cast(head.i.payload.weights).eq(rom.data),
        ]


class WindowReduceEngine(_WindowEngine):
    """Pooling and other reductions of a window, channel by channel.

    Timing is that of :class:`ConvEngine`: ``geometry.steps`` cycles an inference, and an output is
    visible ``pipe_latency + fifo_latency`` cycles after the last step of its group.

    Parameters
    ----------
    geometry : WindowGeometry
        Each word a block, and ``outer`` 1.
    word_shape : ShapeLike
        Shape of a word of the image, an ArrayLayout.
    reduce : Component
        Valid-only pipe that makes one output of ``geometry.group_steps`` input beats (kernel rows,
        then columns); its `latency` counts from the last of them. A :class:`LaneReduce`, say.
    depth : int
        Depth of the output FIFO.
    capacity : int
        Words of the line buffer.
    pad_value : int
        Element value in padding: for a maximum, the least value.
    epilogue : sequence of Component
        Valid-only pipes behind it.
    memory_register : bool
        A register behind the line buffer, for clock rate.
    line_memory, fifo_memory : str
        What the memories are made of; "auto" chooses by size.

    Attributes
    ----------
    pipe_latency, fifo_latency : int
        Cycles from the last step of a group to the FIFO, and from there to `o`.

    Members
    -------
    i : In(stream.Signature(word_shape))
        Image in raster order, channels last.
    o : Out(stream.Signature)
        Outputs of the last pipe: ``geometry.outputs`` beats an inference.

    Raises
    ------
    TypeError
        `word_shape` is not an ArrayLayout.
    ValueError
        The geometry's blocks are not its words, `pad_value` does not fit, or a part refuses its
        parameters.
    """

    def __init__(
        self,
        geometry: WindowGeometry,
        word_shape: ArrayLayout,
        reduce: wiring.Component,
        *,
        depth: int,
        capacity: int,
        pad_value: int = 0,
        epilogue: Sequence[wiring.Component] = (),
        memory_register: bool = False,
        line_memory: RingMemory = "auto",
        fifo_memory: FifoMemory = "auto",
    ) -> None:
        if (geometry.blocks, geometry.outer) != (geometry.words, 1):
            raise ValueError(f"each word must be a block, with outer 1, not {geometry!r}")
        if not isinstance(word_shape, ArrayLayout):
            raise TypeError(f"word_shape must be an ArrayLayout, not {word_shape!r}")
        element = Shape.cast(word_shape.elem_shape)
        pad_word = _pattern([pad_value] * word_shape.length, element, "pad_value")
        line_buffer = LineBuffer(
            geometry, word_shape, capacity, pad_word,
            memory=line_memory, output_register=memory_register,
        )
        super().__init__(line_buffer, word_shape, reduce, epilogue, depth, fifo_memory)

    def _connect_head(self, m: Module, head: wiring.Component) -> None:
        m.d.comb += [
            head.i.valid.eq(self.line_buffer.o.valid),
            Value.cast(head.i.payload).eq(Value.cast(self.line_buffer.o.payload.data)),
        ]
