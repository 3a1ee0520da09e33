"""Area of the common parts: adders, memories, FIFOs, credits, constants.

Every formula mirrors what the primitive of the same name builds. Structure (bits of a register,
cells of a memory, CARRY4 of an adder) is exact; the coefficients of control logic are fitted to
Yosys 0.70 (``synth_xilinx -abc9``, hierarchy kept) on some 200 instances of the primitives.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import ceil, exp

from nn2rtl.boards.resources import Resources
from nn2rtl.primitives.constants import MAX_LUT_WORDS
from nn2rtl.primitives.fifo import fifo_memory
from nn2rtl.primitives.serialize import SELECTED

BLOCK_SHAPES = (
    *((1, 16384 >> k, bits) for k, bits in enumerate((1, 2, 4, 9, 18, 36))),
    *((2, 32768 >> k, bits) for k, bits in enumerate((1, 2, 4, 9, 18, 36, 72))),
)
"""Halves, words, bits of RAMB18E1 and RAMB36E1 with one write and one read port (AMD UG473)."""
MIN_SRL = 3
"""Registers in a row, without reset, that become a shift register in a LUT."""


@dataclass(frozen=True, slots=True)
class Area:
    """Resources in fractions, as estimates add up."""

    lut: float = 0.0
    ff: float = 0.0
    bram36: float = 0.0
    dsp: int = 0
    carry: int = 0

    def __add__(self, other: Area) -> Area:
        return Area(
            self.lut + other.lut,
            self.ff + other.ff,
            self.bram36 + other.bram36,
            self.dsp + other.dsp,
            self.carry + other.carry,
        )

    def __mul__(self, count: float) -> Area:
        return Area(
            self.lut * count,
            self.ff * count,
            self.bram36 * count,
            round(self.dsp * count),
            round(self.carry * count),
        )

    def resources(self) -> Resources:
        """In whole numbers."""
        return Resources(round(self.lut), round(self.ff), self.bram36, self.dsp, self.carry)


def price(cost: Area | Resources) -> float:
    """One figure to compare costs by: LUTs, and others weighed by their rarity."""
    return cost.lut + 0.25 * cost.ff + 200 * cost.bram36 + 150 * cost.dsp


def bits_for(count: int) -> int:
    """Bits of a register that counts to `count` - 1."""
    return (count - 1).bit_length()


def width_of(low: int, high: int) -> int:
    """Bits of the narrowest shape that holds a range (`shape_containing`)."""
    if low >= 0:
        return max(1, high.bit_length())
    return 1 + max((-1 - low).bit_length(), max(high, 0).bit_length())


def carries(bits: int) -> int:
    """CARRY4 of an adder; up to two bits are plain logic (Yosys's arith_map.v)."""
    return -(-bits // 4) if bits > 2 else 0


@lru_cache(maxsize=4096)
def _blocks(depth: int, width: int) -> tuple[int, int]:
    """Halves of block RAM, and how many words of the memory lie side by side in a word of them."""
    choices = []
    for halves, words, bits in BLOCK_SHAPES:
        rows = -(-depth // words)
        choices.append((halves * -(-rows * width // bits), rows))
    return min(choices)


def block_ram(depth: int, width: int) -> Area:
    """Block RAM of a memory with one write and one read port.

    Yosys lays words side by side where that fills the blocks better, and selects one in LUTs.
    """
    halves, rows = _blocks(depth, width)
    select = 0.0 if rows == 1 else 1.0 if rows <= 4 else rows / 2
    return Area(lut=select * width, bram36=halves / 2)


def lut_ram(depth: int, width: int) -> int:
    """LUTs of a memory with one write and one read port.

    A RAM32M (four LUTs) holds 32 x 6 bits, a RAM64M 64 x 3 bits; deeper ones need a multiplexer.
    """
    if depth <= 32:
        return 4 * -(-width // 6)
    rows = -(-depth // 64)
    return 4 * -(-width // 3) * rows + (width * -(-(rows - 1) // 3) if rows > 1 else 0)


def delay_line(bits: int, cycles: int) -> Area:
    """Registers in a row without reset, which become shift registers in LUTs."""
    if cycles >= MIN_SRL:
        return Area(lut=bits * float(-(-cycles // 16)))
    return Area(ff=bits * cycles)


def fifo(depth: int, width: int) -> Area:
    """`Fifo`: level, two pointers, storage."""
    level = depth.bit_length()
    kind = fifo_memory(depth)
    if kind == "registers":
        return Area(width + 5 if depth > 1 else 3, width * depth + level)
    pointer = bits_for(max(2, depth))
    whole = depth == 1 << pointer
    carry = carries(level) + 2 * carries(pointer)
    if kind == "distributed":
        return Area(
            2 * level + (4 if whole else 6) + lut_ram(depth, width),
            level + 2 * pointer,
            carry=carry,
        )
    lut = 2 * level + 4 if whole else 3 * level + 8
    return Area(lut, level + 2 * pointer + 1, carry=carry) + block_ram(depth, width)


def credits(depth: int, taken: int = 1) -> Area:
    """`Credits`: one counter; of several credits at a time, with a choice of summands."""
    bits = max(depth - taken, taken - 1).bit_length() + 1
    if taken > 1:
        return Area(bits + 1, bits, carry=carries(bits))
    return Area(bits + (bits > 2), bits, carry=carries(bits))


def serializer(width: int, ratio: int) -> Area:
    """`Serializer` to words of `width` bits: those that are kept, and registered multiplexers."""
    if ratio < 2:
        return Area()
    area = Area(ff=width * ratio + 1) + counter(ratio)
    words, index = ratio, bits_for(ratio)
    while words > 1:
        # A last word without others is only registered.
        selected, words = words // SELECTED + (words % SELECTED > 1), -(-words // SELECTED)
        index = max(0, index - bits_for(SELECTED))
        area = area + Area(width * selected, width * words + 1 + index)
    return area


def counter(count: int) -> Area:
    """Counter of `count` states, around which other logic is."""
    bits = bits_for(count)
    return Area(2 if bits < 3 else 3, bits, carry=carries(bits)) if bits else Area()


def credited(depth: int, width: int, inputs: int = 1) -> Area:
    """What `CreditedPipe` puts around a pipe whose outputs have `width` bits."""
    return credits(depth) + fifo(depth, width) + counter(inputs) + Area(2)


def different_columns(bits: float, words: int) -> float:
    """Columns of a random table of `words` that are neither constant nor equal to another one."""
    if words < 2:
        return 0.0
    if words > 16 or bits <= 0:
        return bits
    kinds = 1 << words
    return min(bits, (kinds - 2) * (1 - exp(-bits / kinds)))


def select_luts(words: int) -> float:
    """LUTs that select one bit of `words` constants by a counter in a module of its own.

    A LUT6 selects of 64, the multiplexers behind them of four. Measured with 24 random bits: 24 to
    27 LUTs up to 64 words, 48 to 55 up to 128, 96 to 113 up to 256.
    """
    return 1.0 if words <= 64 else 2.0 if words <= 128 else 4.0


def rom(words: int, columns: float, block: bool) -> Area:
    """`WeightRom`: address counter, and a registered LUT for each different column, or block RAM.

    Parameters
    ----------
    words : int
        Depth.
    columns : float
        Bits of a word that differ, see `different_columns`.
    block : bool
        Block RAM.
    """
    if words < 2:
        return Area()
    address = bits_for(words)
    whole = words == 1 << address
    control = Area(1 if whole else max(2, address - 1), address, carry=carries(address))
    if block:
        return control + block_ram(words, ceil(columns))
    return control + Area(columns * (0.3 if words <= 4 else select_luts(words)), columns)


def table(folds: int, bits: int) -> Area:
    """`ConstantTable` of `bits` bits that change from fold to fold, with their register."""
    if folds < 2 or not bits:
        return Area()
    index = bits_for(folds)
    if folds > MAX_LUT_WORDS:
        around = Area(2 * bits + 4 * index, bits + 2 * index + 1, carry=2 * carries(index))
        return around + block_ram(folds, bits)
    columns = different_columns(bits, folds)
    return Area(0.9 * columns * select_luts(folds) + 2, columns + index, carry=carries(index))


def fork(readers: int, depths: list[int], width: int) -> Area:
    """A `Fork` and the FIFO of each of its branches."""
    area = Area(readers + 1)
    for depth in depths:
        area = area + fifo(depth, width)
    return area


def upsizer(narrow: int, wide: int, depth: int) -> Area:
    """`Upsizer`, of bits a beat: the word is a shift register with enable."""
    ratio = wide // narrow
    pipe = Area(1, wide + 1) + counter(ratio)
    return pipe + credited(depth, wide, ratio)


def downsizer(wide: int, narrow: int, depth: int) -> Area:
    """`Downsizer`, of bits a beat: the word is a shift register with load."""
    ratio = wide // narrow
    return credits(depth) + fifo(depth, narrow) + counter(ratio) + Area(wide - narrow + 3, wide + 1)
