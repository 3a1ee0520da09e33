"""Line buffer: a circular buffer that is read in sliding windows."""

from typing import Literal

from amaranth.hdl import Cat, Const, Module, Mux, Shape, ShapeLike, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from nn2rtl.primitives.geometry import WindowGeometry

__all__ = ["LineBuffer", "line_buffer_memory", "merge_loops"]

LineMemory = Literal["auto", "distributed", "block"]

Loop = tuple[str, int, int]

MAX_DISTRIBUTED_DEPTH = 64
"""Deepest line buffer that ``memory="auto"`` always puts in LUT memory."""

MAX_DISTRIBUTED_BITS = 1024
"""Largest deeper line buffer that ``memory="auto"`` puts in LUT memory all the same."""


def line_buffer_memory(capacity: int, width: int, memory: LineMemory = "auto") -> LineMemory:
    """Choose LUT memory or block RAM for `capacity` words of `width` bits."""
    if memory not in ("auto", "distributed", "block"):
        raise ValueError(f'memory must be "auto", "distributed" or "block", not {memory!r}')
    if memory != "auto":
        return memory
    small = capacity <= MAX_DISTRIBUTED_DEPTH or capacity * width <= MAX_DISTRIBUTED_BITS
    return "distributed" if small else "block"


def merge_loops(geometry: WindowGeometry) -> tuple[list[Loop], list[Loop], list[Loop], int]:
    """Shortest loop nest with the same sequence of virtual indices, window and group ends.

    Loops of extent 1 vanish; neighbours whose strides fit together become one, unless padding
    needs to know them apart.

    Returns
    -------
    position, outer, inner : list of (name, extent, stride)
        Loops that select the window, that select the group in the window, and that walk the group.
    image_stride : int
        Stride of the endless loop around them, over images or finer.
    """
    loops = geometry.loops
    split = len(loops) - geometry.group_levels
    sections = (loops[: geometry.position_levels], loops[geometry.position_levels : split],
                loops[split:])
    pinned = set()
    if any(len(rows) < geometry.kernel[0] for rows in geometry.tap_rows):
        pinned |= {"oy", "ky"}
    if any(len(columns) < geometry.kernel[1] for columns in geometry.tap_columns):
        pinned |= {"ox", "kx"}
    merged: list[list[Loop]] = []
    for section in sections:
        out: list[Loop] = []
        for name, extent, stride in section:
            if extent == 1:
                continue
            if out and not {name, out[-1][0]} & pinned and out[-1][2] == stride * extent:
                out[-1] = (name, out[-1][1] * extent, stride)
            else:
                out.append((name, extent, stride))
        merged.append(out)
    position = merged[0]
    image_stride = geometry.image_words
    while (position and position[0][0] not in pinned
           and image_stride == position[0][1] * position[0][2]):
        image_stride = position.pop(0)[2]
    return position, merged[1], merged[2], image_stride


class _Counter:
    """Loop counter with a registered flag for its last turn."""

    def __init__(self, m: Module, extent: int, advance: Value, name: str) -> None:
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


class LineBuffer(wiring.Component):
    """Buffer a raster image stream and read it in sliding windows, one step a cycle.

    Timing, exactly (words and steps are numbered over back to back images):

    * In each cycle, the writer accepts a word (``i.ready``) if ``words written - freed <
      capacity``, where ``freed`` is :meth:`WindowGeometry.freed` of the release unit which the
      reader is in. ``i.ready`` does not depend on ``i.valid``.
    * The next step issues if its tap is padding or its word was accepted in an earlier cycle, and,
      if it is the last of its group, `credit` is high.
    * When the last step of a release unit issues in cycle t, the writer sees the new ``freed`` in
      t+1.

    So one step issues a cycle, across windows and images, unless data or credit are missing.

    Parameters
    ----------
    geometry : WindowGeometry
        What is read, in which order.
    word_shape : ShapeLike
        Shape of a word.
    capacity : int
        Words of memory: a power of two, at least ``geometry.minimum_capacity``.
    pad_word : int
        Bit pattern of a word in padding.
    memory : {"auto", "distributed", "block"}
        LUT memory or block RAM, see :func:`line_buffer_memory`.
    output_register : bool
        One more register behind the memory.

    Attributes
    ----------
    latency : int
        Cycles from a step to its beat on `o`: 1, or 2 with `output_register`.

    Members
    -------
    i : In(stream.Signature(word_shape))
        Words in raster order.
    credit : In(1)
        A group may end in this cycle.
    take : Out(1)
        A step that ends a group issues in this cycle. Combinational in `credit`.
    step : Out(1)
        A step issues in this cycle. Combinational in `credit`.
    o : Out(stream.Signature(StructLayout({"data", "first", "last"}), always_ready=True))
        One beat a step: the word, and whether the step is the first and the last of its group.

    Raises
    ------
    TypeError
        `geometry` is not a WindowGeometry.
    ValueError
        `capacity` is not a power of two or too small; unknown `memory`; `pad_word` does not fit.
    """

    i: stream.Interface
    o: stream.Interface
    credit: Signal
    take: Signal
    step: Signal

    def __init__(
        self,
        geometry: WindowGeometry,
        word_shape: ShapeLike,
        capacity: int,
        pad_word: int = 0,
        *,
        memory: LineMemory = "auto",
        output_register: bool = False,
    ) -> None:
        if not isinstance(geometry, WindowGeometry):
            raise TypeError(f"geometry must be a WindowGeometry, not {geometry!r}")
        if capacity < 1 or capacity & (capacity - 1):
            raise ValueError(f"capacity must be a power of two, not {capacity!r}")
        if capacity < geometry.minimum_capacity:
            raise ValueError(
                f"capacity must be at least {geometry.minimum_capacity}, not {capacity!r}"
            )
        self.width = Shape.cast(word_shape).width
        if not 0 <= pad_word < 1 << self.width:
            raise ValueError(f"pad_word must be a pattern of {self.width} bits, not {pad_word!r}")
        self.geometry = geometry
        self.capacity = capacity
        self.pad_word = pad_word
        self.memory = line_buffer_memory(capacity, self.width, memory)
        self.latency = 2 if output_register else 1
        layout = StructLayout({"data": word_shape, "first": 1, "last": 1})
        super().__init__(
            {
                "i": In(stream.Signature(word_shape)),
                "credit": In(1),
                "take": Out(1),
                "step": Out(1),
                "o": Out(stream.Signature(layout, always_ready=True)),
            }
        )

    @property
    def pointer_bits(self) -> int:
        """Width of the modular word pointers: enough to tell all reachable distances apart.

        (words written) - (index read) lies in -furthest_read .. capacity, and
        (words written) - freed in -furthest_freed .. capacity.
        """
        g = self.geometry
        index_bits = ceil_log2(self.capacity)
        bits: int = max(index_bits + 1, ceil_log2(self.capacity + g.furthest_freed + 1))
        if g.furthest_read or g.regression:
            # Compared by sign: distances up to and including -2**(bits-1), below 2**(bits-1).
            jump = g.stride[0] * g.width * g.words + g.image_words if g.regression else 0
            span = max(g.furthest_read, g.regression, jump)
            bits = max(bits, ceil_log2(span + 1) + 1)
        return bits

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        bits = self.pointer_bits
        low = ceil_log2(self.capacity)
        wcount = Signal(bits)
        ridx = Signal(bits, init=g.first_base % (1 << bits))
        window_end = Signal()
        group_end = Signal()
        next_ridx = Signal(bits)
        padding = self._walk(m, ridx, next_ridx, group_end, window_end)

        # Freed pointer. It never passes the next window's base; if bases never fall it is that.
        if g.release_steps == 1:
            freed = ridx
        else:
            freed = Signal(bits, init=ridx.init)
            rises = (next_ridx - freed)[bits - 1] == 0 if g.regression else Const(1)
            with m.If(self.step & window_end & rises):
                m.d.sync += freed.eq(next_ridx)

        # The writer is never more than capacity ahead of freed: it is full at that very distance.
        full = (wcount[:low] == freed[:low]) & ((wcount[low:] - freed[low:])[: bits - low] == 1)
        accept = Signal()
        m.d.comb += [
            self.i.ready.eq(~full),
            accept.eq(self.i.valid & self.i.ready),
        ]
        with m.If(accept):
            m.d.sync += wcount.eq(wcount + 1)

        written = Signal()
        if g.furthest_read:
            m.d.comb += written.eq((ridx - wcount)[bits - 1])
        else:
            m.d.comb += written.eq(ridx != wcount)
        m.d.comb += [
            self.step.eq((padding | written) & (~group_end | self.credit)),
            self.take.eq(self.step & group_end),
        ]
        with m.If(self.step):
            m.d.sync += ridx.eq(next_ridx)

        data = self._memory(m, accept, wcount[:low], ridx[:low])
        self._output(m, data, padding, group_end)
        return m

    def _walk(
        self, m: Module, ridx: Signal, next_ridx: Signal, group_end: Signal, window_end: Signal
    ) -> Value:
        """Loop counters: drive the next index and the end flags; return the padding flag."""
        g = self.geometry
        position, outer, inner, stride = merge_loops(g)
        loops = position + outer + inner
        counters: dict[str, _Counter] = {}
        all_last: Value = Const(1)
        ends = {len(loops): all_last}
        # Index change when a loop advances and all loops within it start again.
        rewind = 0
        choices: list[tuple[Value, int]] = []
        for level in range(len(loops) - 1, -1, -1):
            name, extent, loop_stride = loops[level]
            counters[name] = counter = _Counter(m, extent, self.step & all_last, name)
            choices.append((counter.last, loop_stride - rewind))
            rewind += (extent - 1) * loop_stride
            all_last = all_last & counter.last
            ends[level] = all_last
        value: Value = Const((stride - rewind) % (1 << len(ridx)), len(ridx))
        for last, change in reversed(choices):
            value = Mux(last, value, Const(change % (1 << len(ridx)), len(ridx)))
        m.d.comb += [
            next_ridx.eq(ridx + value),
            group_end.eq(ends[len(position) + len(outer)]),
            window_end.eq(ends[len(position)]),
        ]
        return self._outside(counters, "oy", "ky") | self._outside(counters, "ox", "kx")

    def _outside(self, counters: dict[str, _Counter], position: str, tap: str) -> Value:
        """Whether the tap lies outside of the image in one dimension.

        For each kernel row (column), only the first few and the last few positions do: two
        comparisons with constants.
        """
        g = self.geometry
        axis = 0 if tap == "ky" else 1
        size = (g.height, g.width)[axis]
        extent = (g.out_height, g.out_width)[axis]
        outside: Value = Const(0)
        for k in range(g.kernel[axis]):
            start = k * g.dilation[axis] - g.pads[axis]
            inside = [o for o in range(extent) if 0 <= o * g.stride[axis] + start < size]
            if len(inside) == extent:
                continue
            here: Value = Const(0)
            if not inside:
                here = Const(1)
            else:
                counter = counters[position]
                if inside[0] > 0:
                    here = here | (counter.value < inside[0])
                if inside[-1] == extent - 2:
                    here = here | counter.last
                elif inside[-1] < extent - 1:
                    here = here | (counter.value > inside[-1])
            at = counters[tap].value == k if tap in counters else Const(1)
            outside = outside | (at & here)
        return outside

    def _memory(self, m: Module, accept: Value, waddr: Value, raddr: Value) -> Value:
        """Storage with one write port and one read port of a cycle; return the word read."""
        word = Value.cast(self.i.payload)
        if self.capacity == 1:
            held = Signal(self.width, reset_less=True)
            data = Signal(self.width, reset_less=True)
            m.d.sync += data.eq(held)
            with m.If(accept):
                m.d.sync += held.eq(word)
            return data
        m.submodules.ram = ram = Memory(
            shape=self.width, depth=self.capacity, init=[], attrs={"ram_style": self.memory}
        )
        write = ram.write_port()
        read = ram.read_port()
        m.d.comb += [
            write.en.eq(accept),
            write.addr.eq(waddr),
            write.data.eq(word),
            read.addr.eq(raddr),
            # Saves power in block RAM; a wide LUT memory is better off without the fan-out.
            read.en.eq(self.step if self.memory == "block" else 1),
        ]
        return read.data

    def _output(self, m: Module, data: Value, padding: Value, group_end: Value) -> None:
        """Delay the flags along with the memory, replace padding."""
        g = self.geometry
        valid = Signal()
        padded = Signal(reset_less=True)
        last = Signal(reset_less=True)
        m.d.sync += [valid.eq(self.step), padded.eq(padding), last.eq(group_end)]
        first: Value = Const(1)
        if g.group_steps > 1:
            begins = Signal(init=1)
            first = Signal(reset_less=True)
            m.d.sync += first.eq(begins)
            with m.If(self.step):
                m.d.sync += begins.eq(group_end)
        word = Cat(Mux(padded, self.pad_word, data)[: self.width], first, last)
        payload = Value.cast(self.o.payload)
        if self.latency == 1:
            m.d.comb += [payload.eq(word), self.o.valid.eq(valid)]
        else:
            held = Signal(self.width + 2, reset_less=True)
            m.d.sync += [held.eq(word), self.o.valid.eq(valid)]
            m.d.comb += payload.eq(held)
