"""Predicted resources of pairs of streams, tables and two-piece requantization, against Yosys."""

from __future__ import annotations

import numpy as np
import pytest

from nn2rtl.ir import integer as ig
from nn2rtl.ir.types import IntType
from nn2rtl.plan.cost_pipes import epilogue, requantizer
from nn2rtl.plan.cost_sums import weighted_sum
from nn2rtl.plan.product import product

INT8 = IntType(-128, 127)


@pytest.mark.parametrize(
    ("weights", "lut", "ff"),
    [((1621615, 4289132), 139, 217), ((220413, 557016), 123, 162), ((86500, 224087), 128, 203)],
)
def test_weighted_sums(weights: tuple[int, int], lut: int, ff: int) -> None:
    area = weighted_sum(INT8, INT8, weights, 1)
    assert area.lut == pytest.approx(lut, rel=0.3)
    assert area.ff == pytest.approx(ff, rel=0.2)


@pytest.mark.parametrize(
    ("offsets", "use_dsp", "lut", "ff", "dsp"),
    [((0, 0), False, 74, 84, 0), ((13, 128), False, 106, 152, 0), ((13, 128), True, 0, 2, 2)],
)
def test_products(offsets: tuple[int, int], use_dsp: bool, lut: int, ff: int, dsp: int) -> None:
    area = product((INT8, INT8), offsets, 2, use_dsp)
    assert area.lut == pytest.approx(lut, rel=0.25)
    assert area.ff == pytest.approx(ff, rel=0.2)
    assert area.dsp == dsp


@pytest.mark.parametrize(
    ("width", "bits", "lut", "blocks"), [(6, 8, 16, 0.0), (8, 8, 64, 0.0), (12, 12, 0, 1.5)]
)
def test_tables(width: int, bits: int, lut: int, blocks: float) -> None:
    op = ig.Lookup(0, np.arange(1 << width, dtype=np.int64))
    area = epilogue(op, IntType.of_width(width, False), bits, 2, 2, False)
    assert (area.lut, area.bram36) == (lut, blocks)


@pytest.mark.parametrize(
    ("channels", "lanes", "lut", "ff"), [(16, 1, 482, 445), (64, 2, 983, 874), (4, 4, 744, 946)]
)
def test_two_pieces(channels: int, lanes: int, lut: int, ff: int) -> None:
    rng = np.random.default_rng(0)
    steps = (1 << rng.integers(18, 23, channels)) + (rng.integers(0, 8, channels) << 12)
    op = ig.Requantize(
        rng.integers(1 << 20, 1 << 24, channels), rng.integers(-(1 << 36), 1 << 36, channels),
        32, -128, 127, split=5, step=steps,
    )  # fmt: skip
    area = requantizer(op, IntType.of_width(21, True), 8, lanes, channels, False)
    assert area.lut == pytest.approx(lut, rel=0.15)
    assert area.ff == pytest.approx(ff, rel=0.25)
