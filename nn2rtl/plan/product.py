"""Area of products of two streams (`Product`)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from nn2rtl.ir.types import IntType
from nn2rtl.plan.cost_mac import dsp_slices
from nn2rtl.plan.cost_parts import Area, carries, width_of
from nn2rtl.plan.cost_pipes import lut_multiplier
from nn2rtl.primitives.product import product_factors


@lru_cache(maxsize=4096)
def product(
    operands: Sequence[IntType], offsets: Sequence[int], lanes: int, use_dsp: bool
) -> Area:
    """`Product` of two operands, with their offsets."""
    ranges = [(kind.low, kind.high) for kind in operands]
    factors = product_factors(ranges, offsets)
    shapes = [(width_of(*ends), ends[0] < 0) for ends in factors]
    if use_dsp and (slices := dsp_slices(*shapes)):
        # Its registers are used, and its adder ahead of the multiplier.
        return Area(dsp=slices) * lanes + Area(ff=2)
    area = Area()
    for (width, _), offset in zip(shapes, offsets, strict=True):
        low_zeros = (offset & -offset).bit_length() - 1 if offset else width
        adder = max(0, width - low_zeros)
        if adder > 1:
            area = area + Area(adder, carry=carries(adder))
        if use_dsp or any(offsets):
            area = area + Area(ff=width)
    if use_dsp:
        total = shapes[0][0] + shapes[1][0]
        return (area + Area(1.5 * shapes[0][0] * shapes[1][0], total)) * lanes + Area(ff=2)
    found, latency = lut_multiplier(*shapes)
    return (area + found) * lanes + Area(ff=latency + any(offsets))
