"""Gathers: from a constant index to a read program, its buffer and its timing."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from nn2rtl.errors import UnsupportedError
from nn2rtl.ir import integer as ig
from nn2rtl.ir.types import IntArray, IntTensor
from nn2rtl.plan.cost_parts import Area, bits_for, block_ram, carries, credits, fifo, lut_ram
from nn2rtl.plan.lanes import divisors
from nn2rtl.plan.stages import GatherStage
from nn2rtl.primitives.gather import gather_pointer_bits
from nn2rtl.primitives.read_program import NestProgram, ReadProgram, TableEntry, TableProgram
from nn2rtl.primitives.ring import ring_memory
from nn2rtl.primitives.rom import rom_memory

MAX_LOOPS = 7
"""Most loops of a program; what takes more is a table."""
MAX_TABLE = 16384
"""Most entries of a table."""
MAX_AHEAD_BITS = 1 << 19
"""Largest buffer, in bits, that lets its writer run ahead of what the reader needs."""

Loops = list[tuple[int, int]]


@lru_cache(maxsize=1024)
def gather_lanes(op: ig.Gather, operand: IntTensor, result: IntTensor) -> list[int]:
    """Numbers of lanes for which whole words are moved or filled, ascending.

    A word is of consecutive channels, of the operand and of the result.
    """
    found = []
    for lanes in divisors(int(np.gcd(operand.channels, result.channels))):
        words = op.index.reshape(-1, lanes)
        first = words[:, 0]
        moved = (first % lanes == 0) & (words == first[:, None] + np.arange(lanes)).all(axis=1)
        if (moved | (words < 0).all(axis=1)).all():
            found.append(lanes)
    return found


@lru_cache(maxsize=1024)
def read_program(
    op: ig.Gather, operand: IntTensor, result: IntTensor, lanes: int, node: str
) -> ReadProgram:
    """How the hardware reads the operand's words.

    Parameters
    ----------
    op : Gather
        The index.
    operand, result : IntTensor
        Their shapes.
    lanes : int
        One of `gather_lanes`.
    node : str
        For the message.

    Raises
    ------
    UnsupportedError
        If nothing of the operand is used, or the index has neither the structure of a loop nest
        nor a short enough table.
    """
    index = op.index[::lanes]
    words = np.where(index < 0, -1, index // lanes)
    image = operand.size // lanes
    if (words < 0).all():
        raise UnsupportedError(
            "none of its operand's elements is used", node=node,
            remedy="fold this constant before exporting the model",
        )
    height, width, channels = result.shape
    mask = _mask((words >= 0).reshape(height, width, channels // lanes))
    loops = loop_nest(words[words >= 0])
    if mask is not None and loops is not None:
        program = _nest(words[words >= 0], image, loops, mask)
        if len(program.loops) <= MAX_LOOPS:
            return program
    return _table(words, image, node)


def copy_program(words: int) -> NestProgram:
    """The program that reads all words in order: a FIFO."""
    return NestProgram(words, 0)


def loop_nest(words: IntArray) -> Loops | None:
    """The loop nest, outermost first, that yields a sequence; None if there is none.

    From the innermost loop on, each takes as many turns as it can.
    """
    loops: Loops = []
    while len(words) > 1:
        stride = int(words[1] - words[0])
        breaks = np.nonzero(np.diff(words) != stride)[0]
        run = int(breaks[0]) + 1 if len(breaks) else len(words)
        for extent in reversed([d for d in divisors(len(words)) if d <= run]):
            if (np.diff(words.reshape(-1, extent), axis=1) == stride).all():
                break
        if extent == 1:
            return None
        loops.append((extent, stride))
        words = words[::extent]
    return loops[::-1]


def _mask(valid: npt.NDArray[np.bool_]) -> tuple[tuple[int, int | None], ...] | None:
    """The loops of a program's mask, if that is a product of one for each axis."""
    if valid.all():
        return ()
    axes: list[npt.NDArray[np.bool_]] = [
        np.asarray(valid.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)
    ]
    if not (valid == axes[0][:, None, None] & axes[1][:, None] & axes[2]).all():
        return None
    loops: list[tuple[int, int | None]] = []
    for axis in axes:
        size = len(axis)
        period = next(d for d in divisors(size) if (axis == np.resize(axis[:d], size)).all())
        bits = None
        if not axis.all():
            bits = sum(1 << turn for turn in range(period) if axis[turn])
        for extent, own in ((size // period, None), (period, bits)):
            if own is None and loops and loops[-1][1] is None:
                loops[-1] = loops[-1][0] * extent, None
            elif extent > 1:
                loops.append((extent, own))
    # The steps are repeated anyway.
    return tuple(loops[1:] if loops[0][1] is None else loops)


def _nest(
    words: IntArray, image: int, loops: Loops, mask: tuple[tuple[int, int | None], ...]
) -> NestProgram:
    """The program of a loop nest, with the releases for which the smallest buffer does."""
    stride = image
    while loops and loops[0][0] * loops[0][1] == stride:
        stride = loops.pop(0)[1]
    lowest = np.minimum.accumulate(words[::-1])[::-1]  # of this and all later reads
    best: tuple[int, int, int] | None = None
    unit = 1
    for release in range(len(loops), -1, -1):
        if release < len(loops):
            unit *= loops[release][0]
        bases = words[::unit]
        back = int((bases - lowest[::unit]).max())
        freed = bases - back
        if (np.diff(freed) >= 0).all() and freed[0] + image >= freed[-1]:
            capacity = int((words.reshape(-1, unit).max(axis=1) + 1 - freed).max())
            if best is None or _power(capacity) < _power(best[0]):
                best = capacity, release, back
    assert best is not None  # a release after each image always is possible
    return NestProgram(image, int(words[0]), tuple(loops), stride, best[1], best[2], mask)


def _power(words: int) -> int:
    return 1 << (words - 1).bit_length()


def _table(words: IntArray, image: int, node: str) -> TableProgram:
    """The program as a table of its shortest period."""
    steps, reads = len(words), np.nonzero(words >= 0)[0]
    upcoming = np.searchsorted(reads, np.arange(steps + 1))
    index = np.append(words[reads], words[reads[0]] + image)[upcoming]  # next, and behind the last
    later = np.append(words[reads], words[reads].min() + image)  # that of the next image in one
    lowest = np.minimum.accumulate(later[::-1])[::-1][upcoming]
    filled = words < 0
    for period in divisors(steps):
        moved = index[period:] - index[:-period]
        if (moved == moved[0]).all() and (filled[period:] == filled[:-period]).all():
            break
    if period > MAX_TABLE:
        raise UnsupportedError(
            f"its {steps} words are in no regular order, and too many for a table of {MAX_TABLE}",
            node=node, remedy="split it into steps along one axis each, or use a smaller tensor",
        )
    change = np.diff(index)
    release = ~filled & (index[1:] == lowest[1:])
    return TableProgram(
        image,
        int(index[0]),
        tuple(
            TableEntry(int(change[k]), bool(filled[k]), bool(release[k])) for k in range(period)
        ),
    )


def gather_capacity(program: ReadProgram, bits: int) -> int:
    """Words of a gather's buffer, a power of two, for words of `bits` bits.

    With room for what is released at once, the writer never waits for a regular reader.
    """
    if program.frees_reads:
        return max(2, _power(program.minimum_capacity))
    ahead = _power(program.minimum_capacity + program.longest_release)
    return ahead if ahead * bits <= MAX_AHEAD_BITS else _power(program.minimum_capacity)


def gather_area(stage: GatherStage) -> Area:
    """`GatherEngine`: pointers, loop counters or ROM, memory, credits and FIFO.

    Flip-flops are exact for nests; the other coefficients are fitted to Yosys 0.70 on 24 programs.
    """
    program, operand, result = stage.program, stage.operand, stage.result
    bits = gather_pointer_bits(program, stage.capacity)
    far, held = program.furthest_read > 0, not program.frees_reads
    area = credits(stage.depth) + fifo(stage.depth, result.bits)
    lut, carry = 3.3 + bits * (0.65 * far + 0.46 * held - 0.75), 2.1 + far - 0.66 * held
    ff = bits * (2 + held) + 1.0
    if isinstance(program, NestProgram):
        extents = [extent for extent, _ in (*program.loops, *program.mask)]
        counters = sum(bits_for(extent) for extent in extents)
        back = program.back > 0
        lut += 2.0 * len(program.loops) + 1.35 * counters
        lut += bits * (2.0 * bool(program.loops) + 0.54 * back)
        if program.mask:
            masked = sum(chosen is not None for _, chosen in program.mask)
            lut += 8.2 * masked + 0.93 * result.bits
            ff += 1 + (not program.round[0])
        ff += counters + sum(extent != 2 for extent in extents)
        carry += 0.55 * bool(program.loops) + 0.58 * back
        area = area + Area(carry=sum(carries(bits_for(extent)) for extent in extents))
    elif isinstance(program, TableProgram):
        entries = len(program.entries)
        lut, carry = lut + 5.3 * bits, carry + 1.56
        ff += 1 + bits_for(entries)
        if rom_memory(entries) == "block":
            area = area + block_ram(entries, bits)
        else:
            ff += len({entry.change for entry in program.entries}).bit_length() + 1
    area = area + Area(max(lut, 3), ff, carry=round(carry * carries(bits)))
    if ring_memory(stage.capacity, operand.bits) == "block":
        return area + block_ram(stage.capacity, operand.bits)
    return area + Area(lut_ram(stage.capacity, operand.bits), operand.bits)


def program_needs(program: ReadProgram, inferences: int) -> tuple[IntArray, IntArray]:
    """Steps that need a word, and the word that each needs."""
    needs = np.array([-1 if word is None else word for word in program.needs], dtype=np.int64)
    steps = np.nonzero(needs >= 0)[0]
    image = np.arange(inferences)[:, None]
    return (
        (steps + image * program.steps).ravel(),
        (needs[steps] + image * program.image_words).ravel(),
    )


def program_frees(
    program: ReadProgram, capacity: int, inferences: int
) -> tuple[IntArray, IntArray]:
    """Words whose place is free only after a step, and that step."""
    releases = np.array(program.releases, dtype=np.int64).reshape(-1, 2)
    image = np.arange(inferences)[:, None]
    steps = (releases[:, 0] + image * program.steps).ravel()
    freed = (releases[:, 1] + image * program.image_words).ravel()
    words = np.arange(program.image_words * inferences, dtype=np.int64)
    # How many releases it takes until the word may be written.
    count = np.searchsorted(np.append(program.first_freed, freed), words - capacity, side="right")
    waits = count > 0
    return words[waits], steps[count[waits] - 1]
