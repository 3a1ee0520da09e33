"""Packing against plain Python integers."""

from __future__ import annotations

import numpy as np
import pytest

from nn2rtl.sim.beats import beat_bytes, pack_beats, unpack_beats


def pack_slowly(values, width):
    size = beat_bytes(values.shape[1], width)
    rows = []
    for row in values.tolist():
        word = sum((int(v) % (1 << width)) << (i * width) for i, v in enumerate(row))
        rows.append(list(word.to_bytes(size, "little")))
    return np.array(rows, np.uint8)


WIDTHS = [1, 3, 8, 13, 16, 24, 33, 63]


@pytest.mark.parametrize(
    "width, signed", [(w, False) for w in WIDTHS] + [(w, True) for w in [*WIDTHS, 64]]
)
def test_pack_and_unpack(width, signed):
    rng = np.random.default_rng(width)
    low = -(1 << (width - 1)) if signed else 0
    high = (1 << (width - 1)) - 1 if signed else (1 << width) - 1
    values = rng.integers(low, high, (17, 5), np.int64, endpoint=True)
    values[0, :2] = low, high
    for array in (values, np.asfortranarray(values), np.repeat(values, 2, axis=1)[:, ::2]):
        beats = pack_beats(array, width)
        np.testing.assert_array_equal(beats, pack_slowly(values, width))
    for stored in (beats, np.asfortranarray(beats)):
        np.testing.assert_array_equal(unpack_beats(stored, 5, width, signed), values)


def test_blocks_are_joined(monkeypatch):
    monkeypatch.setattr("nn2rtl.sim.beats._BLOCK_BITS", 100)
    values = np.arange(-50, 50).reshape(20, 5)
    beats = pack_beats(values, 7)
    np.testing.assert_array_equal(beats, pack_slowly(values, 7))
    np.testing.assert_array_equal(unpack_beats(beats, 5, 7, True), values)


def test_padding_bits_are_ignored():
    assert unpack_beats(np.array([[0b11111101]], np.uint8), 1, 3, True).tolist() == [[-3]]


def test_small_and_unsigned_types():
    np.testing.assert_array_equal(pack_beats(np.array([[-1]], np.int8), 16), [[255, 255]])
    np.testing.assert_array_equal(pack_beats(np.array([[True, False]]), 1), [[1]])
    assert pack_beats(np.array([[2**64 - 1]], np.uint64), 64).tolist() == [[255] * 8]
    assert pack_beats(np.zeros((0, 3), np.int64), 5).shape == (0, 2)


@pytest.mark.parametrize("value", [-5, 8])
def test_value_that_does_not_fit(value):
    with pytest.raises(ValueError, match=f"{value} does not fit 3 bits"):
        pack_beats(np.array([[0, value]]), 3)


def test_wrong_arguments():
    with pytest.raises(TypeError, match="float64"):
        pack_beats(np.zeros((1, 1)), 8)
    with pytest.raises(ValueError, match="shape"):
        pack_beats(np.zeros(3, np.int64), 8)
    with pytest.raises(ValueError, match="1 to 64"):
        pack_beats(np.zeros((1, 1), np.int64), 65)
    with pytest.raises(ValueError, match="1 to 63"):
        unpack_beats(np.zeros((1, 8), np.uint8), 1, 64, False)
    with pytest.raises(ValueError, match="n_beats, 2"):
        unpack_beats(np.zeros((1, 3), np.uint8), 3, 5, False)
