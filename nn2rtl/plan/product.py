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
    area, valids = Area(), 1
    for (width, _), offset in zip(shapes, offsets, strict=True):
        adder = Area(width if offset else 0, carry=carries(width) if offset else 0)
        area = area + adder
        if use_dsp or any(offsets):
            area = area + Area(ff=width)
    slices = dsp_slices(shapes[0], shapes[1]) if use_dsp else 0
    total = shapes[0][0] + shapes[1][0]
    if slices:
        # Factors that nothing is added to are registered in the slice, and the product is.
        held = sum(width for (width, _), offset in zip(shapes, offsets, strict=True) if not offset)
        area = area + Area(ff=-held, dsp=slices)
        valids = 2
    elif use_dsp:
        area = area + Area(1.5 * shapes[0][0] * shapes[1][0], total)
        valids = 2
    else:
        found, latency = lut_multiplier(*shapes)
        area, valids = area + found, latency + any(offsets)
    return area * lanes + Area(ff=valids)
