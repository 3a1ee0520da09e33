"""Concatenations in whole networks: hardware equals the model, FIFOs let operands wait."""

from dataclasses import replace

import numpy as np
import pytest
from integer_networks import IntegerNetwork, check_integer_hardware

from nn2rtl.ir import integer as ig
from nn2rtl.ir.types import IntTensor, IntType
from nn2rtl.plan.concat import concat_chunks, concat_lanes
from nn2rtl.plan.cost import stage_cost
from nn2rtl.plan.fifos import with_places
from nn2rtl.plan.schedule import DeadlockError
from nn2rtl.plan.stages import ConcatStage, ForkStage, StreamType
from nn2rtl.plan.timing import Schedule


def test_chunks():
    kind = IntType(0, 1)
    operands = [IntTensor((2, 3, 8), kind), IntTensor((2, 3, 12), kind)]
    assert concat_chunks(ig.Concat(2), operands, [4, 4]) == (2, 3)
    assert concat_chunks(ig.Concat(2), operands, [8, 12]) == ()
    operands = [IntTensor((2, 3, 8), kind), IntTensor((2, 1, 8), kind)]
    assert concat_chunks(ig.Concat(1), operands, [2, 2]) == (12, 4)
    operands = [IntTensor((2, 3, 8), kind), IntTensor((5, 3, 8), kind)]
    assert concat_chunks(ig.Concat(0), operands, [8, 8]) == (6, 15)


@pytest.mark.parametrize(("channels", "own", "wanted", "lanes"), [
    ((8, 12), (4, 4), 4, [4, 4]),  # as its neighbours
    ((8, 12), (8, 12), 4, [4, 4]),  # no faster than the reader
    ((8, 12), (8, 12), 20, [8, 12]),  # side by side
    ((5, 16), (1, 2), 1, [1, 1]),
    ((5, 16), (1, 2), 21, [5, 16]),
    ((500, 800), (500, 800), 1300, [100, 100]),  # too wide to be side by side
])  # fmt: skip
def test_lanes(channels, own, wanted, lanes):
    kind = IntType(-1, 0)
    operands = [(IntTensor((2, 3, c), kind), n) for c, n in zip(channels, own)]
    result = IntTensor((2, 3, sum(channels)), kind)
    assert concat_lanes(ig.Concat(2), operands, result, wanted) == lanes


def branches(axis):
    """Two convolutions of the input, of different ranges, joined along an axis."""
    net = IntegerNetwork((4, 6, 4))
    start = net.name
    left = net.conv(4, 3, pad=1).clip(4).name
    right = net.at(start).conv(4, 1).clip(3, 0, 31).name
    net.concat(axis, left, right).conv(2, 1)
    return net.done(interval_cycles=1000)


def u_net():
    """Down, up again, and joined with what was there before."""
    net = IntegerNetwork((6, 8, 3))
    skip = net.conv(4, 3, pad=1).clip(4, 0, 15).name
    net.pool(2).clip(2, 0, 15).conv(6, 3, pad=1).clip(5, 0, 7)
    up = net.gather(lambda x: x.repeat(2, 0).repeat(2, 1)).name
    net.concat(2, skip, up).conv(4, 3, pad=1).clip(5)
    return net.done(interval_cycles=4000)


def twice():
    """A tensor joined with itself, and with the network's input."""
    net = IntegerNetwork((3, 4, 2))
    start = net.name
    same = net.conv(4, 1).clip(3).name
    both = net.concat(2, same, same).name
    net.gather(lambda x: x[..., ::4])
    cut = net.name
    return net.at(both).concat(2, cut, start, both).done(interval_cycles=1000)


def turned():
    """An image is added to another one upside down, which comes a whole image later."""
    net = IntegerNetwork((6, 4, 2))
    start = net.name
    left = net.conv(2, 3, pad=1).clip(3).name
    net.at(start).gather(lambda x: x[::-1]).add(left)
    return net.clip(1).done(interval_cycles=1000)


def wide():
    """Vectors whose lengths have no common divisor, at a position a cycle."""
    net = IntegerNetwork((2, 5, 3))
    start = net.name
    left = net.conv(5, 1).clip(3).name
    net.at(start).concat(2, start, left, start).conv(4, 1)
    return net.done(layers={"conv": {"pe": 5, "simd": 3}, "conv_2": {"pe": 4, "simd": 11}})


NETWORKS = {
    "wide": wide,
    "turned": turned,
    "rows": lambda: branches(0),
    "columns": lambda: branches(1),
    "channels": lambda: branches(2),
    "u-net": u_net,
    "twice": twice,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_hardware(name):
    check_integer_hardware(NETWORKS[name](), samples=6)


def edges(plan):
    """Depths of the FIFOs whose depth was searched."""
    found = {
        (stage.name, reader): depth
        for stage in plan.stages if isinstance(stage, ForkStage) for reader, depth in stage.branches
    }
    for stage in plan.stages:
        if isinstance(stage, ConcatStage):
            found |= {(s.name, stage.name): s.depth for s in plan.stages if s.name in stage.inputs
                      and not isinstance(s, ForkStage)}
    return found


@pytest.mark.parametrize("name", ["rows", "u-net", "turned"])
def test_depths_are_the_least_that_do_not_slow_the_network(name):
    plan = NETWORKS[name]().planned.plan
    before = Schedule(plan, 4).solve()
    found = edges(plan)
    free = Schedule(plan, 4, frozenset(found)).solve()
    # Unlimited FIFOs gain nothing but the cycle that a deep one takes longer.
    assert before.interval_cycles == free.interval_cycles
    assert before.latency_cycles <= free.latency_cycles + len(found)
    edge, depth = max(found.items(), key=lambda item: item[1])
    assert depth > 8
    slower = Schedule(with_places(plan, edge, depth - 1), 4).solve()
    assert (slower.output_cycles > before.output_cycles).any()
    with pytest.raises(DeadlockError):
        Schedule(with_places(plan, edge, 2), 4).solve()


def test_joined_rows_take_no_longer_than_the_slower_branch():
    """The second operand is computed while the first one passes."""
    planned = branches(0).planned
    (join,) = (stage for stage in planned.plan.stages if isinstance(stage, ConcatStage))
    alone = replace(join, chunks=(1, 1))
    assert join.chunks != alone.chunks
    steps = [stage.geometry.steps for stage in planned.plan.stages if hasattr(stage, "geometry")]
    assert planned.timing.interval_cycles <= max(*steps, join.result.beats) + 8


def test_a_position_a_cycle():
    assert wide().planned.timing.interval_cycles == 10


def test_emulation_of_joined_channels():
    design = u_net()
    x = np.random.default_rng(1).integers(-8, 8, (3, 6, 8, 3))
    tensors = dict(design.reference.tensors(design.stream(x)))
    joined = tensors["concat"]
    np.testing.assert_array_equal(joined[..., :4], tensors["clip"])
    np.testing.assert_array_equal(joined[:, ::2, 1::2, 4:], tensors["clip_3"])


@pytest.mark.parametrize(("lanes", "width", "chunks", "lut", "ff"), [
    (8, 4, (1, 1), 76, 44),
    (8, 8, (12, 3), 135, 80),
    (4, 8, (2, 2, 5), 84, 48),
    (2, 8, (1, 1, 1, 1), 52, 29),
    (16, 4, (300, 700), 147, 86),
])  # fmt: skip
def test_cost_against_yosys(lanes, width, chunks, lut, ff):
    """Yosys 0.70, ``synth_xilinx -abc9``."""
    kind = IntType.of_width(width, signed=True)
    operands = tuple(StreamType(kind, lanes, chunk) for chunk in chunks)
    result = StreamType(kind, lanes, sum(chunks))
    stage = ConcatStage(
        "join", "join", ("a", "b"), result, 4, operands, ig.Concat(2), chunks
    )
    cost = stage_cost(stage)
    assert cost.lut == pytest.approx(lut, rel=0.15)
    assert cost.ff == pytest.approx(ff, abs=1)
