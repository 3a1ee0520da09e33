"""Line buffer: a circular buffer that is read in sliding windows."""

from amaranth.hdl import Cat, Const, Module, Mux, Shape, ShapeLike, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out

from nn2rtl.primitives.geometry import WindowGeometry
from nn2rtl.primitives.loops import LoopCounter, walk_loops
from nn2rtl.primitives.ring import (
    RingMemory,
    build_writer,
    pointer_bits,
    ring_memory,
    ring_storage,
)

__all__ = ["LineBuffer", "merge_loops"]

Loop = tuple[str, int, int]


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
        LUT memory or block RAM, see :func:`ring_memory`.
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
        memory: RingMemory = "auto",
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
        self.memory = ring_memory(capacity, self.width, memory)
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
        span = 0
        if g.furthest_read or g.regression:
            jump = g.stride[0] * g.width * g.words + g.image_words if g.regression else 0
            span = max(g.furthest_read, g.regression, jump)
        return pointer_bits(self.capacity, g.furthest_freed, span)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        bits = self.pointer_bits
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

        accept = build_writer(m, self.i, freed, wcount, self.capacity)
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

        word = Value.cast(self.i.payload)
        data = ring_storage(
            m, word, accept, wcount, ridx, self.step, self.capacity, self.memory
        )
        self._output(m, data, padding, group_end)
        return m

    def _walk(
        self, m: Module, ridx: Signal, next_ridx: Signal, group_end: Signal, window_end: Signal
    ) -> Value:
        """Loop counters: drive the next index and the end flags; return the padding flag."""
        g = self.geometry
        position, outer, inner, stride = merge_loops(g)
        loops = position + outer + inner
        walk = walk_loops(m, loops, stride, self.step, len(ridx))
        counters = {name: counter for (name, _, _), counter in zip(loops, walk.counters)}
        m.d.comb += [
            next_ridx.eq(ridx + walk.change),
            group_end.eq(walk.ends[len(position) + len(outer)]),
            window_end.eq(walk.ends[len(position)]),
        ]
        return self._outside(counters, "oy", "ky") | self._outside(counters, "ox", "kx")

    def _outside(self, counters: dict[str, LoopCounter], position: str, tap: str) -> Value:
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
