# amaranth: UnusedElaboratable=no
"""MAC array against plain integers."""

import random

import pytest
from amaranth.hdl import Module, Shape, Signal, Value, signed, unsigned
from amaranth.sim import Simulator

from nn2rtl.primitives.dot_product import plan_dot_product
from nn2rtl.primitives.mac_array import MacArray, lookup
from nn2rtl.primitives.pipe import shape_bounds


def run(dut, groups, *, idle, seed):
    """Send groups of beats (data, weights); return [(cycle of last beat, cycle of sums, sums)]."""
    rng = random.Random(seed)
    beats = [(k == 0, k == len(group) - 1, *beat)
             for group in groups for k, beat in enumerate(group)]
    sent, seen = [], []

    async def bench(ctx):
        cycle = 0
        pending = list(beats)
        while len(seen) < len(groups) and cycle < 20 * len(beats) + 100:
            valid = bool(pending) and rng.random() >= idle
            ctx.set(dut.i.valid, valid)
            if valid:
                first, last, data, weights = pending.pop(0)
                ctx.set(dut.i.payload,
                        {"data": data, "weights": weights, "first": first, "last": last})
                if last:
                    sent.append(cycle)
            else:
                ctx.set(Value.cast(dut.i.payload), rng.getrandbits(len(Value.cast(dut.i.payload))))
            _, _, out, *sums = await ctx.tick().sample(dut.o.valid, *dut.o.payload)
            if out:
                seen.append((cycle, sums))
            cycle += 1

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return [(s, c, v) for s, (c, v) in zip(sent, seen, strict=True)]


SHAPES = [
    (unsigned(1), signed(2)),
    (unsigned(1), unsigned(1)),
    (signed(1), signed(1)),
    (unsigned(2), signed(2)),
    (signed(2), signed(3)),
    (unsigned(3), signed(3)),
    (unsigned(4), signed(4)),
    (signed(4), unsigned(4)),
    (signed(4), signed(2)),
    (unsigned(8), signed(8)),
    (signed(8), signed(8)),
    (signed(6), signed(5)),
    (unsigned(16), signed(1)),
    (signed(1), unsigned(9)),
    (signed(11), unsigned(7)),
]


def check(act, weight, pe, simd, *, beats=None, idle=0.3, use_dsp=False, seed=0, acc_width=None,
          blocks=1, dsp_pes=None, weight_range=None):
    rng = random.Random(seed)
    alow, ahigh = shape_bounds(act)
    wlow, whigh = weight_range or shape_bounds(weight)

    def value(low, high):
        return rng.choice([low, high, rng.randint(low, high)])

    lanes = simd // blocks

    def own(data, p):
        return data[p // (pe // blocks) * lanes :][:lanes]

    groups = []
    for n in range(12):
        extreme = [(alow, wlow), (alow, whigh), (ahigh, wlow), (ahigh, whigh)][n] if n < 4 else None
        group = []
        for _ in range(beats or rng.randint(1, 4)):
            a, w = extreme or (None, None)
            group.append((
                [value(alow, ahigh) if extreme is None else a for _ in range(simd)],
                [[value(wlow, whigh) if extreme is None else w for _ in range(lanes)]
                 for _ in range(pe)],
            ))
        groups.append(group)
    exact = [
        [sum(a * w for data, weights in group
             for a, w in zip(own(data, p), weights[p], strict=True)) for p in range(pe)]
        for group in groups
    ]
    needed = max(v.bit_length() for sums in exact for v in sums) + 1
    acc = signed(acc_width or needed)
    dut = MacArray(
        act, weight, acc, pe, simd, blocks=blocks, use_dsp=use_dsp, dsp_pes=dsp_pes,
        weight_range=weight_range,
    )
    if dsp_pes is None:
        one = MacArray(act, weight, acc, pe // blocks, lanes, use_dsp=use_dsp,
                       weight_range=weight_range)
        assert dut.latency == one.latency
    wrap = 1 << acc.width
    for (sent, came, sums), wanted in zip(run(dut, groups, idle=idle, seed=seed), exact,
                                          strict=True):
        assert sums == [(v + wrap // 2) % wrap - wrap // 2 for v in wanted]
        assert came == sent + dut.latency
    return dut


@pytest.mark.parametrize(("act", "weight"), SHAPES, ids=repr)
@pytest.mark.parametrize("use_dsp", [False, True])
@pytest.mark.parametrize(("pe", "simd"), [(1, 1), (2, 3), (1, 4)])
def test_sums(act, weight, use_dsp, pe, simd):
    check(act, weight, pe, simd, use_dsp=use_dsp, seed=simd)


def test_many_lanes():
    check(unsigned(1), signed(2), 1, 17)
    check(unsigned(4), signed(4), 3, 8, idle=0)


@pytest.mark.parametrize("use_dsp", [False, True])
@pytest.mark.parametrize(("pe", "simd", "blocks"), [(4, 4, 4), (6, 3, 3), (2, 6, 2), (4, 8, 2)])
def test_blocks(pe, simd, blocks, use_dsp):
    check(signed(5), signed(3), pe, simd, blocks=blocks, use_dsp=use_dsp)


@pytest.mark.parametrize(
    ("act", "weight", "weight_range"),
    [
        (signed(8), signed(8), (-127, 127)),
        (signed(8), signed(8), None),  # fields of one less
        (unsigned(8), signed(8), (-127, 127)),
        (unsigned(4), signed(4), None),  # three PEs in a slice
        (unsigned(4), signed(2), None),
        (unsigned(20), signed(24), None),  # too wide for a slice
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    ("pe", "simd", "dsp_pes"),
    [(2, 1, None), (5, 4, None), (4, 7, None), (3, 2, 1), (4, 3, 3), (3, 1, 2), (2, 2, 0)],
)
def test_packed_products(act, weight, weight_range, pe, simd, dsp_pes):
    check(act, weight, pe, simd, use_dsp=True, dsp_pes=dsp_pes, weight_range=weight_range)


@pytest.mark.parametrize(("blocks", "dsp_pes"), [(3, None), (3, 2), (1, 4)])
def test_depthwise_and_mixed(blocks, dsp_pes):
    check(signed(8), signed(8), 6, 3, blocks=blocks, use_dsp=True, dsp_pes=dsp_pes)


def test_a_slice_sums_up_in_place():
    dut = check(signed(8), signed(8), 1, 1, use_dsp=True)
    assert dut.dsp.in_place and dut.latency == 3
    assert not MacArray(signed(8), signed(8), signed(49), 1, 1, use_dsp=True).dsp.in_place


def test_single_beat_groups_every_cycle():
    check(signed(4), signed(4), 2, 2, beats=1, idle=0)


def test_sums_are_modular():
    check(signed(8), signed(8), 1, 2, acc_width=9)


@pytest.mark.parametrize(("act", "weight"), SHAPES, ids=repr)
def test_plan_is_the_dot_product(act, weight):
    """Tables and tree evaluated in plain integers; bounds hold."""
    lanes = 5
    plan = plan_dot_product((act.width, act.signed), (weight.width, weight.signed), lanes)
    rng = random.Random(1)
    for _ in range(50):
        data = [rng.randint(*shape_bounds(act)) for _ in range(lanes)]
        weights = [rng.randint(*shape_bounds(weight)) for _ in range(lanes)]
        values = []
        for table in plan.tables:
            index = position = 0
            for lane, alow, abits, wlow, wbits in table.terms:
                index |= (data[lane] >> alow & (1 << abits) - 1) << position
                index |= (weights[lane] >> wlow & (1 << wbits) - 1) << position + abits
                position += abits + wbits
            assert position <= 6 and len(table.values) == 1 << position
            values.append((table.values[index], table.shift))
        for level in plan.levels:
            sums = []
            for node in level:
                total = sum(values[k][0] << (values[k][1] - node.shift) for k in node.operands)
                assert node.bounds[0] <= total <= node.bounds[1]
                sums.append((total, node.shift))
            values = sums
        assert values[0][0] << values[0][1] == sum(
            a * w for a, w in zip(data, weights, strict=True))


def test_tables_are_shared_by_narrow_lanes():
    assert len(plan_dot_product((1, False), (2, True), 4).tables) == 2
    assert len(plan_dot_product((1, False), (1, False), 6).tables) == 2
    assert len(plan_dot_product((3, False), (3, True), 4).tables) == 4


def test_lookup():
    rng = random.Random(0)
    inputs = Signal(5)
    one_input = sum(1 << p for p in range(32) if p >> 3 & 1)
    truths = [0, (1 << 32) - 1, one_input, *(rng.getrandbits(32) for _ in range(8))]
    values = [lookup(inputs, truth) for truth in truths]

    async def bench(ctx):
        for pattern in range(32):
            ctx.set(inputs, pattern)
            assert [ctx.get(value) for value in values] == [t >> pattern & 1 for t in truths]

    simulator = Simulator(Module())
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize(
    ("pe", "simd", "act", "blocks"),
    [(0, 1, 4, 1), (1, 0, 4, 1), (1, 1, 0, 1), (2, 2, 4, 0), (3, 2, 4, 2), (2, 3, 4, 2)],
)
def test_refusals(pe, simd, act, blocks):
    with pytest.raises(ValueError, match="must"):
        MacArray(Shape(act), signed(4), signed(12), pe, simd, blocks=blocks)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"dsp_pes": 3}, "dsp_pes must"), ({"dsp_pes": -1}, "dsp_pes must"),
     ({"weight_range": (0, 8)}, "from 0 to 8 do not fit"), ({"weight_range": (2, 1)}, "2 to 1")],
)
def test_refused_options(options, message):
    with pytest.raises(ValueError, match=message):
        MacArray(signed(4), signed(4), signed(12), 2, 1, use_dsp=True, **options)
