"""Index arithmetic of sliding windows: what a line buffer reads, keeps and frees, in integers.

The hardware (:mod:`.line_buffer`), its tests and a schedule model all take their numbers here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

__all__ = ["WindowGeometry"]


@dataclass(frozen=True)
class WindowGeometry:
    """Sliding windows over a raster image stream.

    The image has ``height`` x ``width`` pixels of ``words`` words (a word is a group of consecutive
    channels). Words arrive in raster order; word ``k`` of pixel ``(y, x)`` of image ``n`` has index
    ``r = ((n*height + y)*width + x)*words + k``.

    The words of a pixel are cut into ``blocks`` of consecutive words: one for a convolution or
    dense layer, one for each group of channels of a grouped convolution, one for each word for
    pooling and for depthwise convolution. For each output position ``(oy, ox)`` in raster order,
    the reader takes one *step* for each of ::

        for b in range(blocks): for nf in range(outer): for ky: for kx: for w in range(block_words)

    An accumulation *group* is one ``(position, b, nf)``.

    The tap ``(ky, kx)`` lies at ``iy = oy*sy - top + ky*dy``, ``ix = ox*sx - left + kx*dx``. Its
    *virtual* index is ``(iy*width + ix)*words + b*block_words + w`` whether or not the tap lies
    inside the image.

    Parameters
    ----------
    height, width : int
        Image extents in pixels.
    words : int
        Words a pixel.
    kernel, stride, dilation : tuple of int
        ``(y, x)``, in pixels.
    pads : tuple of int
        ``(top, left, bottom, right)``, in pixels.
    outer : int
        How often each block of a window is read before the next one (neuron folds).
    blocks : int
        Blocks that the words of a pixel are cut into; divides ``words``.

    Raises
    ------
    ValueError
        If a number is out of range, the kernel does not fit into the padded image, or some window
        lies entirely in padding (its output would not depend on the image).
    """

    height: int
    width: int
    words: int
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    outer: int = 1
    blocks: int = 1

    def __post_init__(self) -> None:
        positive = (self.height, self.width, self.words, self.outer, self.blocks,
                    *self.kernel, *self.stride, *self.dilation)
        if min(positive) < 1 or min(self.pads) < 0:
            raise ValueError(f"extents must be positive and pads not negative: {self!r}")
        if self.words % self.blocks:
            raise ValueError(f"blocks must divide the {self.words} words, not {self.blocks!r}")
        if self.out_height < 1 or self.out_width < 1:
            raise ValueError(f"kernel does not fit into the padded image: {self!r}")
        if not all(self.tap_rows) or not all(self.tap_columns):
            raise ValueError(f"a window lies entirely in padding: {self!r}")

    # Extents

    @property
    def out_height(self) -> int:
        """Output positions in y."""
        span = self.height + self.pads[0] + self.pads[2] - self.dilation[0] * (self.kernel[0] - 1)
        return (span - 1) // self.stride[0] + 1

    @property
    def out_width(self) -> int:
        """Output positions in x."""
        span = self.width + self.pads[1] + self.pads[3] - self.dilation[1] * (self.kernel[1] - 1)
        return (span - 1) // self.stride[1] + 1

    @property
    def positions(self) -> int:
        """Windows an image."""
        return self.out_height * self.out_width

    @property
    def image_words(self) -> int:
        """Words an image."""
        return self.height * self.width * self.words

    @property
    def block_words(self) -> int:
        """Words a block."""
        return self.words // self.blocks

    @property
    def group_steps(self) -> int:
        """Steps an accumulation group."""
        return self.kernel[0] * self.kernel[1] * self.block_words

    @property
    def groups(self) -> int:
        """Accumulation groups a window."""
        return self.blocks * self.outer

    @property
    def window_steps(self) -> int:
        """Steps a window."""
        return self.groups * self.group_steps

    @property
    def steps(self) -> int:
        """Steps an image (an inference)."""
        return self.positions * self.window_steps

    @property
    def outputs(self) -> int:
        """Groups an image, hence outputs an inference."""
        return self.positions * self.groups

    # Loop nest

    @property
    def loops(self) -> list[tuple[str, int, int]]:
        """Loop nest of an image, outermost first, as ``(name, extent, stride)``.

        The virtual index of a step is ``base_of_first_window + sum(counter * stride)``; names are
        ``oy ox b nf ky kx w``. An image is ``image_words`` after the one before.
        """
        row = self.width * self.words
        y = ("oy", self.out_height, self.stride[0] * row)
        x = ("ox", self.out_width, self.stride[1] * self.words)
        ky = ("ky", self.kernel[0], self.dilation[0] * row)
        kx = ("kx", self.kernel[1], self.dilation[1] * self.words)
        block = ("b", self.blocks, self.block_words)
        return [y, x, block, ("nf", self.outer, 0), ky, kx, ("w", self.block_words, 1)]

    @property
    def position_levels(self) -> int:
        """How many of the outermost `loops` select the position; the others walk the window."""
        return 2

    @property
    def group_levels(self) -> int:
        """How many of the innermost `loops` make a group."""
        return 3

    # Taps

    @cached_property
    def tap_rows(self) -> list[list[int]]:
        """Image rows inside the image for each oy, ascending."""
        return [[iy for ky in range(self.kernel[0])
                 if 0 <= (iy := oy * self.stride[0] - self.pads[0] + ky * self.dilation[0])
                 < self.height] for oy in range(self.out_height)]

    @cached_property
    def tap_columns(self) -> list[list[int]]:
        """Image columns inside the image for each ox, ascending."""
        return [[ix for kx in range(self.kernel[1])
                 if 0 <= (ix := ox * self.stride[1] - self.pads[1] + kx * self.dilation[1])
                 < self.width] for ox in range(self.out_width)]

    @property
    def first_base(self) -> int:
        """Virtual index of the first window's top left tap; not positive."""
        return -(self.pads[0] * self.width + self.pads[1]) * self.words

    def base(self, oy: int, ox: int) -> int:
        """Virtual index of the top left tap, word 0, of a window of image 0."""
        return (self.first_base
                + (oy * self.stride[0] * self.width + ox * self.stride[1]) * self.words)

    def bases(self) -> Iterator[int]:
        """`base` of each window of an image in the order in which they are read."""
        for oy in range(self.out_height):
            for ox in range(self.out_width):
                yield self.base(oy, ox)

    @property
    def release_steps(self) -> int:
        """Steps after which words are given back to the writer: a window, or a single step.

        With a 1x1 kernel and ``outer == 1``, every word is read at most once and in order, so the
        buffer is a FIFO which frees after each step; otherwise it frees after each window.
        """
        return 1 if self.kernel == (1, 1) and self.outer == 1 else self.window_steps

    def freed(self, images: int = 1) -> Iterator[int]:
        """Freed pointer while the reader is in each release unit (`release_steps` steps).

        The running maximum of the bases; below it, no step from here on reads.
        """
        highest = self.first_base
        units = range(self.words if self.release_steps == 1 else 1)
        for n in range(images):
            for base in self.bases():
                for w in units:
                    highest = max(highest, base + w + n * self.image_words)
                    yield highest

    def window_reads(self, oy: int, ox: int) -> list[int | None]:
        """Word indices (image 0) that the steps of a window read, None in padding."""
        taps: list[int | None] = []
        for ky in range(self.kernel[0]):
            iy = oy * self.stride[0] - self.pads[0] + ky * self.dilation[0]
            for kx in range(self.kernel[1]):
                ix = ox * self.stride[1] - self.pads[1] + kx * self.dilation[1]
                inside = 0 <= iy < self.height and 0 <= ix < self.width
                taps.append((iy * self.width + ix) * self.words if inside else None)
        size = self.block_words
        return [None if tap is None else tap + w
                for first in range(0, self.words, size) for _ in range(self.outer)
                for tap in taps for w in range(first, first + size)]

    def reads(self) -> Iterator[int | None]:
        """Word index (image 0) that each step of an image reads, None in padding."""
        for oy in range(self.out_height):
            for ox in range(self.out_width):
                yield from self.window_reads(oy, ox)

    def flags(self) -> Iterator[tuple[bool, bool]]:
        """``(first, last)`` of each step of an image."""
        size = self.group_steps
        for _ in range(self.outputs):
            for k in range(size):
                yield k == 0, k == size - 1

    # What the circular buffer needs

    @cached_property
    def _extremes(self) -> tuple[int, int, int]:
        """``(minimum_capacity, furthest_read, furthest_freed)``.

        Two images in a row: the first has the start, the second the wrap-around; all later ones
        are like the second.
        """
        capacity = furthest_read = furthest_freed = 0
        highest = -1  # greatest index read so far; the writer has certainly passed it
        bases = (base + n * self.image_words for n in range(2) for base in self.bases())
        freed = self.first_base
        for n in range(2):
            for rows in self.tap_rows:
                for columns in self.tap_columns:
                    freed = max(freed, next(bases))
                    furthest_freed = max(furthest_freed, freed - (highest + 1))
                    for iy in rows:
                        for ix in columns:
                            tap = ((n * self.height + iy) * self.width + ix) * self.words
                            if tap > highest:
                                furthest_read = max(furthest_read, tap - (highest + 1))
                                # The first block of each tap now, the others afterwards.
                                highest = tap + self.block_words - 1
                    end = ((n * self.height + rows[-1]) * self.width + columns[-1] + 1) * self.words
                    highest = max(highest, end - 1)
                    capacity = max(capacity, end - freed)
        return 1 if self.release_steps == 1 else capacity, furthest_read, furthest_freed

    @cached_property
    def regression(self) -> int:
        """How far a window's base lies behind the freed pointer at most; 0 if bases never fall."""
        row_end = (self.out_width - 1) * self.stride[1] * self.words
        last = (self.out_height - 1) * self.stride[0] * self.width * self.words
        to_row = row_end - self.stride[0] * self.width * self.words if self.out_height > 1 else 0
        # An image may be lower than one row's excess: walk the second image to see that, too.
        if max(to_row, row_end + last - self.image_words) <= 0:
            return 0
        bases = (base + n * self.image_words for n in range(2) for base in self.bases())
        highest, worst = self.first_base, 0
        for base in bases:
            highest = max(highest, base)
            worst = max(worst, highest - base)
        return worst

    @property
    def minimum_capacity(self) -> int:
        """Words of the smallest circular buffer that never deadlocks.

        While the reader is in release unit ``u`` (counted over back to back images), the writer
        may write word ``m`` only if ``m < freed_u + capacity`` (see `freed`). The capacity must let
        it reach the last word that unit ``u`` reads, for every ``u``. Words behind the last window
        of an image are accepted on the way to the next image's first window.
        """
        return self._extremes[0]

    @property
    def furthest_read(self) -> int:
        """Upper bound of (index to be read) - (words written), over all steps; at least 0."""
        return self._extremes[1]

    @property
    def furthest_freed(self) -> int:
        """Upper bound of (freed pointer) - (words written), at any time; at least 0."""
        return self._extremes[2]
