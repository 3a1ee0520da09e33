"""Area of line buffers. See `cost_parts` for where the coefficients come from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from nn2rtl.ir import integer as ig
from nn2rtl.plan.cost_parts import Area, bits_for, block_ram, carries, lut_ram
from nn2rtl.primitives.geometry import WindowGeometry
from nn2rtl.primitives.ring import ring_memory


class Facts(NamedTuple):
    """What a line buffer needs of a geometry, in pixels, and its furthest read in half pixels.

    `padded` says whether some window reaches into padding in y and in x.
    """

    capacity: int
    half_read: int
    furthest_freed: int
    regression: int
    padded: tuple[bool, bool]

    def furthest_read(self, words: int, blocks: int) -> int:
        """In words.

        A window reads on behind whole pixels, or (odd) behind a tap of which it read a block.
        """
        odd = self.half_read % 2
        return (self.half_read + odd) // 2 * words - odd * (words // blocks)


@lru_cache(maxsize=4096)
def pixel_geometry(
    op: ig.Conv | ig.MaxPool | ig.SumPool, height: int, width: int
) -> WindowGeometry:
    """Geometry of a layer with one word a pixel."""
    window = op.window
    return WindowGeometry(
        height=height, width=width, words=1, kernel=window.kernel, stride=window.stride,
        pads=window.pads, dilation=window.dilation,
    )


def row_jump(g: WindowGeometry) -> int:
    """Pixels from the last window of a row to the first of the next."""
    return g.stride[0] * g.width - (g.out_width - 1) * g.stride[1]


def run_ahead(g: WindowGeometry) -> int:
    """Pixels that the writer of a line buffer may be ahead of what its reader waits for.

    A window's width. A 1x1 window may jump over whole rows, which then are there in time.
    """
    return row_jump(g) if g.kernel == (1, 1) else g.kernel[1]


@lru_cache(maxsize=4096)
def _facts(pixel: WindowGeometry) -> Facts:
    g = replace(pixel, words=2, blocks=2)
    padded = (
        any(len(rows) < g.kernel[0] for rows in g.tap_rows),
        any(len(columns) < g.kernel[1] for columns in g.tap_columns),
    )
    return Facts(
        max(1, g.minimum_capacity // 2), g.furthest_read, g.furthest_freed // 2, g.regression // 2,
        padded,
    )


@dataclass(frozen=True)
class Buffer:
    """A line buffer's parameters.

    Parameters
    ----------
    pixel : WindowGeometry
        Its geometry, with one word a pixel and without neuron folds.
    words, outer, blocks : int
        Words a pixel, neuron folds, and blocks of the words.
    """

    pixel: WindowGeometry
    words: int
    outer: int
    blocks: int = 1

    @property
    def padded(self) -> bool:
        """Whether it has padding."""
        return any(_facts(self.pixel).padded)

    @property
    def group_steps(self) -> int:
        """Steps of an output."""
        return self.pixel.kernel[0] * self.pixel.kernel[1] * (self.words // self.blocks)

    @property
    def frees_steps(self) -> bool:
        """Whether each step frees its word."""
        return self.pixel.kernel == (1, 1) and self.outer == 1

    @property
    def capacity(self) -> int:
        """Words, as the planner chooses them (`streams.line_buffer_capacity`)."""
        if self.frees_steps:
            return 2
        least = _facts(self.pixel).capacity * self.words
        return 1 << (least + self.words * run_ahead(self.pixel) - 1).bit_length()

    @property
    def cycles(self) -> int:
        """Cycles of an image, as far as the search knows: its steps, and words that hold them up.

        A stride jumps over rows. Of what lies between the windows at the end of a row and at the
        start of the next, only so much can be written ahead as there is room for. (The schedule is
        exact; padding, and pixels that a stride jumps over in a row, are left out here.)
        """
        g = self.pixel
        steps = g.out_height * g.out_width * self.group_steps * self.blocks * self.outer
        if self.frees_steps:
            return max(steps, g.height * g.width * self.words)
        jump = row_jump(g)
        taps = [
            (y * g.dilation[0] * g.width + x * g.dilation[1], y * g.kernel[1] + x)
            for y in range(g.kernel[0])
            for x in range(g.kernel[1])
        ]
        late = max(
            (jump + pixel) * self.words - tap * (self.words // self.blocks) for pixel, tap in taps
        )
        steps += g.out_height * max(0, late + 1 - self.capacity)
        return max(steps, g.height * g.width * self.words)

    def pointer_bits(self, capacity: int) -> int:
        """Bits of its pointers (`LineBuffer.pointer_bits`)."""
        g, facts, words = self.pixel, _facts(self.pixel), self.words
        bits = max(bits_for(capacity) + 1, bits_for(capacity + facts.furthest_freed * words + 1))
        furthest_read = facts.furthest_read(words, self.blocks)
        if furthest_read or facts.regression:
            jump = 0
            if facts.regression:
                jump = (g.stride[0] * g.width + g.height * g.width) * words
            span = max(furthest_read, facts.regression * words, jump)
            bits = max(bits, bits_for(span + 1) + 1)
        return bits

    def loops(self) -> list[int]:
        """Extents of its loop counters (`merge_loops`)."""
        g, words = self.pixel, self.words
        row = g.width * words
        y_pinned, x_pinned = _facts(g).padded
        oy = (g.out_height, g.stride[0] * row, y_pinned)
        ox = (g.out_width, g.stride[1] * words, x_pinned)
        ky = (g.kernel[0], g.dilation[0] * row, y_pinned)
        kx = (g.kernel[1], g.dilation[1] * words, x_pinned)
        size = words // self.blocks
        block, outer, w = (self.blocks, size, False), (self.outer, 0, False), (size, 1, False)
        sections = ((oy, ox), (block, outer), (ky, kx, w))
        result: list[int] = []
        for place, section in enumerate(sections):
            merged: list[tuple[int, int, bool]] = []
            for extent, stride, pinned in section:
                if extent == 1:
                    continue
                last = merged[-1] if merged else (0, 0, True)
                if not pinned and not last[2] and last[1] == stride * extent:
                    merged[-1] = (last[0] * extent, stride, False)
                else:
                    merged.append((extent, stride, pinned))
            image = g.height * row
            # The endless loop over images takes in the outermost ones.
            while place == 0 and merged and not merged[0][2]:
                if image != merged[0][0] * merged[0][1]:
                    break
                image = merged.pop(0)[1]
            result += [extent for extent, _, _ in merged]
        return result


@lru_cache(maxsize=65536)
def _control(buffer: Buffer, capacity: int) -> tuple[int, float, int]:
    """LUTs, flip-flops and CARRY4 of a line buffer's control."""
    g, bits, loops = buffer.pixel, buffer.pointer_bits(capacity), buffer.loops()
    pads = sum(_facts(g).padded)
    counters = sum(bits_for(extent) + (extent != 2) for extent in loops)
    read = _facts(g).furthest_read(buffer.words, buffer.blocks) > 0
    lut = -2 + 4.5 * bits + 0.3 * len(loops) + 0.4 * counters + 3.3 * pads + 1.4 * read
    ff = bits * (2 if buffer.frees_steps else 3) + counters + 2 + (pads > 0)
    ff += 2 * (buffer.group_steps > 1)
    carry = (3 if bits > 4 else 1) * carries(bits) if bits > 2 else 0
    return round(max(lut, 7)), ff, carry + sum(carries(bits_for(extent)) for extent in loops) // 2


def line_buffer(buffer: Buffer, capacity: int, width: int) -> Area:
    """`LineBuffer`: pointers and loop counters, memory, and padding's multiplexer.

    The data register is in the block RAM, if that is what the memory is made of.
    """
    lut, ff, carry = _control(buffer, capacity)
    padding = width if buffer.padded else 0
    if ring_memory(capacity, width) == "block":
        return Area(lut + padding, ff, carry=carry) + block_ram(capacity, width)
    return Area(lut + padding + lut_ram(capacity, width), ff + width, carry=carry)
