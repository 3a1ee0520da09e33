"""Read programs: in which order a gather reads the words of an image, in integers.

The hardware (:mod:`.gather`), its tests and a schedule model all take their numbers here.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod
from typing import NamedTuple

__all__ = ["NestProgram", "ReadProgram", "TableEntry", "TableProgram"]


class _Facts(NamedTuple):
    minimum_capacity: int
    furthest_read: int
    longest_release: int


@dataclass(frozen=True)
class ReadProgram:
    """What a gather reads of an image of `image_words` words, step by step; an abstract class.

    Words are numbered over back to back images. A step either reads a word or is *filled*: it
    yields a constant. The *index* is the word that is read next. All images are read alike, each
    `image_words` behind the one before. *Release* of words, for the writer to write over, is by a
    pointer *freed*: below it, no later step reads.

    A filled step ahead of the first read of a round (see the subclasses) waits for that read's
    word, so that nothing is yielded before the image comes. Other filled steps wait for nothing.

    Parameters
    ----------
    image_words : int
        Words an image.
    first : int
        First word that is read.

    Attributes
    ----------
    reads : list of (int or None)
        Word that each step of image 0 reads; None where filled.
    needs : list of (int or None)
        Word that must be there for each step of image 0.
    releases : list of (int, int)
        Steps of image 0 that release words, ascending, and the freed pointer from then on.
    first_freed : int
        Freed pointer ahead of all steps.
    """

    image_words: int
    first: int

    @property
    def reads(self) -> list[int | None]:
        raise NotImplementedError

    @property
    def needs(self) -> list[int | None]:
        raise NotImplementedError

    @property
    def releases(self) -> list[tuple[int, int]]:
        raise NotImplementedError

    @property
    def first_freed(self) -> int:
        raise NotImplementedError

    @property
    def frees_reads(self) -> bool:
        """Whether the freed pointer simply is the index: reads never go back."""
        raise NotImplementedError

    @property
    def steps(self) -> int:
        """Steps an image."""
        return len(self.reads)

    @cached_property
    def _facts(self) -> _Facts:
        """Two images in a row: the first has the start, the second the wrap-around."""
        capacity = furthest = longest = 0
        highest, freed = -1, self.first_freed
        for image in range(2):
            base = image * self.image_words
            releases = iter(self.releases)
            release = next(releases, None)
            for step, read in enumerate(self.reads):
                if read is not None:
                    word = read + base
                    if word < freed:
                        raise ValueError(f"word {read} is read after its release: {self!r}")
                    furthest = max(furthest, word - highest - 1)
                    highest = max(highest, word)
                    capacity = max(capacity, word + 1 - freed)
                if release is not None and release[0] == step:
                    if release[1] + base < freed:
                        raise ValueError(f"releases must ascend: {self!r}")
                    longest = max(longest, release[1] + base - freed)
                    freed = release[1] + base
                    release = next(releases, None)
        return _Facts(capacity, furthest, longest)

    @property
    def minimum_capacity(self) -> int:
        """Words of the smallest circular buffer that never deadlocks."""
        return self._facts.minimum_capacity

    @property
    def furthest_read(self) -> int:
        """Upper bound of index - (words written), at least 0; also of freed - (words written)."""
        return self._facts.furthest_read

    @property
    def longest_release(self) -> int:
        """Most words that are released at once."""
        return self._facts.longest_release


def _in_range(program: ReadProgram) -> None:
    words = [read for read in program.reads if read is not None]
    if not words or min(words) < 0 or max(words) >= program.image_words:
        raise ValueError(f"reads must be words of the image: {program!r}")


@dataclass(frozen=True)
class NestProgram(ReadProgram):
    """Reads of a loop nest; the places of the filled steps among them are a nest of their own.

    Parameters
    ----------
    loops : tuple of (extent, stride)
        Loop nest of the reads, outermost first: word ``first + sum(counter * stride)``.
    stride : int
        Stride of the endless loop around them; it divides `image_words`.
    release : int
        How many of the `loops`, outermost first, go on when words are released: 0 for a release
        after each round of the endless loop, ``len(loops)`` for one after each read.
    back : int
        How far the freed pointer then stays behind the next read.
    mask : tuple of (extent, bits)
        Loop nest of the steps, outermost first, if some are filled; a step reads if bit `counter`
        is set in the `bits` of each loop that has any (None: all). It is repeated endlessly; a
        *round* is one repetition.

    Raises
    ------
    ValueError
        If extents are less than 2, numbers do not divide as they must, words are not in the image,
        or a released word is read.
    """

    loops: tuple[tuple[int, int], ...] = ()
    stride: int = 1
    release: int = 0
    back: int = 0
    mask: tuple[tuple[int, int | None], ...] = ()

    def __post_init__(self) -> None:
        extents = [extent for extent, _ in (*self.loops, *self.mask)]
        if min(extents, default=2) < 2 or not 0 <= self.release <= len(self.loops):
            raise ValueError(f"extents must be at least 2, release one of the loops: {self!r}")
        if self.stride < 1 or self.image_words < 1 or self.image_words % self.stride:
            raise ValueError(f"stride must divide image_words: {self!r}")
        if not any(self.round) or self._count % sum(self.round):
            raise ValueError(f"the mask must go into the reads of an image: {self!r}")
        _in_range(self)
        assert self._facts  # raises ValueError

    @property
    def _count(self) -> int:
        """Reads an image."""
        return prod(extent for extent, _ in self.loops) * (self.image_words // self.stride)

    @cached_property
    def words(self) -> list[int]:
        """The words of image 0 that are read, in order."""
        result = [self.first]
        for extent, stride in ((self.image_words // self.stride, self.stride), *self.loops):
            result = [word + turn * stride for word in result for turn in range(extent)]
        return result

    @cached_property
    def round(self) -> list[bool]:
        """For each step of a round whether it reads."""
        axes = [
            [bits is None or bool(bits >> turn & 1) for turn in range(extent)]
            for extent, bits in self.mask
        ]
        return [all(valid) for valid in product(*axes)]

    @cached_property
    def reads(self) -> list[int | None]:
        if not self.mask:
            return [*self.words]
        word = iter(self.words)
        rounds = self._count // sum(self.round)
        return [next(word) if valid else None for _ in range(rounds) for valid in self.round]

    @cached_property
    def needs(self) -> list[int | None]:
        lead = self.round.index(True)
        if not lead:
            return self.reads
        result, size = [*self.reads], len(self.round)
        for start in range(0, len(result), size):
            result[start : start + lead] = [result[start + lead]] * lead
        return result

    @cached_property
    def releases(self) -> list[tuple[int, int]]:
        unit = prod(extent for extent, _ in self.loops[self.release :])
        places = [step for step, read in enumerate(self.reads) if read is not None]
        bases = [*self.words[unit::unit], self.first + self.image_words]
        ends = places[unit - 1 :: unit]
        return [(step, base - self.back) for step, base in zip(ends, bases, strict=True)]

    @property
    def first_freed(self) -> int:
        return self.first - self.back

    @property
    def frees_reads(self) -> bool:
        return self.release == len(self.loops) and not self.back


class TableEntry(NamedTuple):
    """A step of a `TableProgram`.

    Parameters
    ----------
    change : int
        What the index changes by after a read; 0 where filled.
    filled : bool
        The step is filled.
    release : bool
        All words below the next read are released.
    """

    change: int
    filled: bool = False
    release: bool = False


@dataclass(frozen=True)
class TableProgram(ReadProgram):
    """Reads in any order: a table of steps, repeated endlessly. A *round* is one repetition.

    Parameters
    ----------
    entries : tuple of TableEntry
        The steps. The changes add up to a divisor of `image_words`.

    Raises
    ------
    ValueError
        If they do not, words are not in the image, or a released word is read.
    """

    entries: tuple[TableEntry, ...] = ()

    def __post_init__(self) -> None:
        if self.stride < 1 or self.image_words % self.stride:
            raise ValueError(f"changes must add up to a divisor of image_words: {self!r}")
        if any(entry.filled and (entry.change or entry.release) for entry in self.entries):
            raise ValueError(f"filled steps change nothing: {self!r}")
        _in_range(self)
        assert self._facts  # raises ValueError

    @property
    def stride(self) -> int:
        """Words that a round goes on by."""
        return sum(entry.change for entry in self.entries)

    @property
    def lead(self) -> int:
        """Filled steps ahead of the first read."""
        return next(step for step, entry in enumerate(self.entries) if not entry.filled)

    @cached_property
    def _walk(self) -> list[tuple[int, TableEntry, int]]:
        """Step, its entry, and the index in it."""
        result, index = [], self.first
        entries = self.entries * (self.image_words // self.stride)
        for step, entry in enumerate(entries):
            result.append((step, entry, index))
            index += entry.change
        return result

    @cached_property
    def reads(self) -> list[int | None]:
        return [None if entry.filled else index for _, entry, index in self._walk]

    @cached_property
    def needs(self) -> list[int | None]:
        size, lead = len(self.entries), self.lead
        return [
            index if not entry.filled or step % size < lead else None
            for step, entry, index in self._walk
        ]

    @cached_property
    def releases(self) -> list[tuple[int, int]]:
        return [
            (step, index + entry.change) for step, entry, index in self._walk if entry.release
        ]

    @property
    def first_freed(self) -> int:
        return min(read for read in self.reads if read is not None)

    @property
    def frees_reads(self) -> bool:
        return all(entry.filled or entry.release for entry in self.entries)
