"""Packing of integers into the beats of an AXI4-Stream, and back.

Lane ``i`` of a beat is at bits ``[i*width +: width]`` of tdata, two's complement; tdata is padded
with zeros to whole bytes, the least significant byte first.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# Beats are expanded to a byte a bit while packing: work through blocks to bound the memory.
_BLOCK_BITS = 1 << 24


def beat_bytes(lanes: int, width: int) -> int:
    """Bytes of tdata that hold ``lanes`` integers of ``width`` bits."""
    if lanes < 1 or width < 1:
        raise ValueError(f"lanes and width must be positive, not {lanes} and {width}")
    return -(-lanes * width // 8)


def pack_beats(values: npt.ArrayLike, width: int) -> npt.NDArray[np.uint8]:
    """Pack integers into beats.

    Parameters
    ----------
    values : array of int, shape (n_beats, lanes)
        Each in ``-2**(width-1) .. 2**width - 1``, so signed and unsigned values are both taken.
    width : int
        Bits of one lane, 1 to 64.

    Returns
    -------
    array of uint8, shape (n_beats, beat_bytes(lanes, width))

    Raises
    ------
    ValueError
        A value does not fit, or the shape or width is wrong.
    TypeError
        The values are not integers.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "iub":
        raise TypeError(f"values must be integers, not {array.dtype}")
    if array.ndim != 2:
        raise ValueError(f"values must have the shape (n_beats, lanes), not {array.shape}")
    if not 1 <= width <= 64:
        raise ValueError(f"width must be 1 to 64 bits, not {width}")
    n_beats, lanes = array.shape
    size = beat_bytes(lanes, width)
    if array.size:
        low, high = int(array.min()), int(array.max())
        if low < -(1 << (width - 1)) or high >= 1 << width:
            worst = low if low < -(1 << (width - 1)) else high
            raise ValueError(f"the value {worst} does not fit {width} bits")
    # Conversion to 64 bits keeps the two's complement pattern.
    words = np.ascontiguousarray(array.astype("<u8"))
    beats = np.zeros((n_beats, size), np.uint8)
    lane_bytes = -(-width // 8)
    block = max(1, _BLOCK_BITS // (8 * lane_bytes * lanes))
    for start in range(0, n_beats, block):
        part = words[start : start + block]
        octets = part.view(np.uint8).reshape(len(part), lanes, 8)[:, :, :lane_bytes]
        if width % 8 == 0:
            beats[start : start + block] = octets.reshape(len(part), size)
            continue
        bits = np.unpackbits(octets, axis=2, count=width, bitorder="little")
        beats[start : start + block] = np.packbits(
            bits.reshape(len(part), lanes * width), axis=1, bitorder="little"
        )
    return beats


def unpack_beats(
    beats: npt.ArrayLike, lanes: int, width: int, signed: bool
) -> npt.NDArray[np.int64]:
    """Take the integers out of beats; the inverse of `pack_beats`.

    Parameters
    ----------
    beats : array of uint8, shape (n_beats, beat_bytes(lanes, width))
        Padding bits are ignored.
    lanes : int
        Integers in a beat.
    width : int
        Bits of one lane: 1 to 64, unsigned 1 to 63.
    signed : bool
        Whether lanes are two's complement.

    Returns
    -------
    array of int64, shape (n_beats, lanes)
    """
    array = np.asarray(beats)
    if not 1 <= width <= (64 if signed else 63):
        raise ValueError(f"width must be 1 to {64 if signed else 63} bits, not {width}")
    size = beat_bytes(lanes, width)
    if array.dtype != np.uint8 or array.ndim != 2 or array.shape[1] != size:
        raise ValueError(
            f"beats must be uint8 of the shape (n_beats, {size}) for {lanes} lanes of {width} "
            f"bits, not {array.dtype} of the shape {array.shape}"
        )
    n_beats = len(array)
    lane_bytes = -(-width // 8)
    words = np.zeros((n_beats, lanes, 8), np.uint8)
    block = max(1, _BLOCK_BITS // (8 * lane_bytes * lanes))
    for start in range(0, n_beats, block):
        part = np.ascontiguousarray(array[start : start + block])
        if width % 8 == 0:
            octets = part.reshape(len(part), lanes, lane_bytes)
        else:
            bits = np.unpackbits(part, axis=1, count=lanes * width, bitorder="little")
            octets = np.packbits(
                bits.reshape(len(part), lanes, width), axis=2, bitorder="little"
            )
        words[start : start + block, :, :lane_bytes] = octets
    values = words.view("<i8")[:, :, 0].astype(np.int64)
    if signed and width < 64:
        values = (values << (64 - width)) >> (64 - width)
    return values
