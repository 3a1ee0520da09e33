"""Products, tables and two-piece requantization in whole networks: hardware equals the graph."""

import numpy as np
from integer_networks import IntegerNetwork, check_integer_hardware

from nn2rtl.ir import integer as ig
from nn2rtl.ir.types import IntType
from nn2rtl.plan.stages import ApplyStage, ConvStage, PairStage


def two_piece(net, channels, low=-8, high=7):
    """Requantization with a multiplier, a bias and a step for each channel."""
    rng = np.random.default_rng(channels)
    op = ig.Requantize(
        rng.integers(-9, 20, channels), rng.integers(-90, 90, channels), 5, low, high,
        split=2, step=rng.integers(0, 32, channels),
    )  # fmt: skip
    return net.append("two_piece", op, net.tensor.shape, IntType(low, high))


def table(net, low, high):
    kind = net.tensor.type
    values = net.rng.integers(low, high + 1, kind.high - kind.low + 1)
    values[:2] = low, high
    op = ig.Lookup(kind.low, values)
    return net.append("table", op, net.tensor.shape, IntType(low, high))


def product(net, other, offsets):
    a, b = net.tensor.type, net.graph.types[other].type
    corners = [
        (x + offsets[0]) * (y + offsets[1]) for x in (a.low, a.high) for y in (b.low, b.high)
    ]
    kind = IntType(min(corners), max(corners))
    return net.append("product", ig.Product(offsets), net.tensor.shape, kind, net.name, other)


def test_product():
    net = IntegerNetwork((4, 4, 6))
    gate = net.conv(6, 3, pad=1).clip(3).name
    two_piece(product(net.at("image").conv(6, 1).clip(2), gate, (3, -8)), 6)
    design = net.conv(2, 1).done()
    check_integer_hardware(design)
    (pair,) = (stage for stage in design.planned.plan.stages if isinstance(stage, PairStage))
    assert isinstance(pair.op, ig.Product)
    assert isinstance(pair.epilogue, ig.Requantize)


def test_tables_of_narrow_and_wide_integers():
    net = IntegerNetwork((4, 4, 3), low=-5, high=6)  # not all patterns of four bits
    table(net, -2, 1)
    table(net.conv(4, 1), -100, 100)
    table(net.conv(4, 1).clip(0, -300, 299), 0, 15)  # 10 bits: block RAM
    design = net.conv(2, 3).done()
    check_integer_hardware(design)
    stages = design.planned.plan.stages
    assert [
        (type(stage), type(stage.epilogue))
        for stage in stages
        if isinstance(stage, ApplyStage | ConvStage)
    ] == [
        (ApplyStage, ig.Lookup),
        (ConvStage, ig.Lookup),
        (ConvStage, ig.Requantize),
        (ApplyStage, ig.Lookup),
        (ConvStage, type(None)),
    ]
