# amaranth: UnusedElaboratable=no
"""Reciprocal on a multiplier, against the integer model."""

import random

import numpy as np
import pytest
from amaranth.hdl import Module, Signal, signed
from amaranth.sim import Simulator

from nn2rtl.ir.fixed_point import reciprocal
from nn2rtl.primitives.reciprocal import Reciprocal, reciprocal_latency


@pytest.mark.parametrize(("least", "latency"), [(1 << 19, 3), (1 << 30, 1), (1, 2)])
def test_reciprocal(least, latency):
    rng = random.Random(least)
    totals = [least, (1 << 31) - 1, 1 << 30]
    totals += [min((1 << 31) - 1, int(least * 2 ** rng.uniform(0, 12))) for _ in range(20)]
    dut = Reciprocal(least, latency)
    assert dut.latency == reciprocal_latency(least, latency)
    m = Module()
    m.submodules.dut = dut
    factors = dut.a * dut.b
    for stage in range(latency):
        product = Signal(signed(64), name=f"product_{stage}")
        m.d.sync += product.eq(factors)
        factors = product
    m.d.sync += dut.high.eq((factors + (1 << 30)) >> 31)
    seen = []

    async def bench(ctx):
        for total in totals:
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            ctx.set(dut.total, total)
            used = None
            for cycle in range(1, dut.latency):
                if ctx.get(dut.busy) and used is None:
                    used = cycle
                await ctx.tick()
                ctx.set(dut.total, rng.getrandbits(31))
            assert used == dut.first_use
            seen.append((ctx.get(dut.mantissa), ctx.get(dut.exponent)))

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    mantissa, exponent = reciprocal(np.array(totals))
    # Numbers below 2^19, which no softmax has, would have a negative exponent.
    assert seen == list(zip(mantissa.tolist(), (exponent % 16).tolist(), strict=True))


def test_bad_arguments():
    with pytest.raises(ValueError, match="min_total must be at least 1, not 0"):
        Reciprocal(0, 3)
    with pytest.raises(ValueError, match="at most 31 bits"):
        Reciprocal(1 << 31, 3)
