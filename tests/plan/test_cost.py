"""Predicted resources: one set of formulae, right where they are exact, close to Yosys in all."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from networks import Network

import nn2rtl
from nn2rtl.boards.resources import Resources
from nn2rtl.boards.synthesis import synthesize
from nn2rtl.design import integer_graph
from nn2rtl.elaborate import TOP
from nn2rtl.ir import integer as ig
from nn2rtl.ir.types import IntType
from nn2rtl.options import LayerOptions
from nn2rtl.plan import cost_parts as parts
from nn2rtl.plan.cost import layer_cost, stage_cost
from nn2rtl.plan.cost_buffer import Buffer
from nn2rtl.plan.cost_mac import dot_product, dsp_slices, exact_dot_product, mac_array
from nn2rtl.plan.cost_pipes import requantizer, thresholds
from nn2rtl.plan.fifos import with_depths
from nn2rtl.plan.folding import choices
from nn2rtl.plan.schedule import Dependence, Process, solve
from nn2rtl.plan.serial import output_area, output_lanes
from nn2rtl.plan.stages import ConvStage, PoolStage
from nn2rtl.plan.streams import (
    Folding,
    Layer,
    StreamBuilder,
    layers,
    line_buffer_capacity,
)
from nn2rtl.plan.timing import window_frees, window_reads
from nn2rtl.primitives.geometry import WindowGeometry
from nn2rtl.primitives.line_buffer import LineBuffer, merge_loops

DIGITS = Path(__file__).parents[2] / "examples" / "digits"


@pytest.fixture(scope="module")
def graph() -> ig.IntegerGraph:
    return integer_graph(nn2rtl.load(DIGITS / "cnn.onnx"))


def folded(graph: ig.IntegerGraph) -> Iterator[Layer]:
    for layer in layers(graph):
        if isinstance(layer.node.op, ig.Conv | ig.MaxPool | ig.SumPool):
            yield layer


# -- the two functions ---------------------------------------------------------------------------


@pytest.mark.parametrize("which", [0, 2, -1])
@pytest.mark.parametrize("use_dsp", [False, True])
def test_layer_and_stage_cost_the_same(
    graph: ig.IntegerGraph, which: int, use_dsp: bool
) -> None:
    foldings = {}
    for layer in folded(graph):
        options = choices(graph, layer, LayerOptions(), use_dsp)
        foldings[layer.node.name] = options[which % len(options)]
    plan = with_depths(StreamBuilder(graph, foldings).build())
    stages = {s.source: s for s in plan.stages if isinstance(s, ConvStage | PoolStage)}
    for layer in folded(graph):
        stage = stages[layer.node.source]
        of_stage = stage_cost(stage)
        of_layer = layer_cost(graph, layer, foldings[layer.node.name])
        assert of_layer.bram36 == of_stage.bram36
        assert of_layer.dsp == of_stage.dsp
        # What is left is the depth of the output FIFO.
        bits = stage.result.bits
        assert abs(of_layer.lut - of_stage.lut) <= bits + 16
        assert abs(of_layer.ff - of_stage.ff) <= 2 * bits + 16


def test_layer_cost_is_quick(graph: ig.IntegerGraph) -> None:
    cases = [
        (layer, folding)
        for layer in folded(graph)
        for folding in choices(graph, layer, LayerOptions(), False)
    ]
    for layer, folding in cases:
        layer_cost(graph, layer, folding)
    start = time.perf_counter()
    for layer, folding in cases:
        layer_cost(graph, layer, folding)
    assert time.perf_counter() - start < 500e-6 * len(cases)


def test_layer_cost_refuses_what_has_no_folding(graph: ig.IntegerGraph) -> None:
    layer = Layer(next(iter(graph)), None, ())
    with pytest.raises(TypeError, match="Input has no folding"):
        layer_cost(graph, layer, Folding(1, 1))


def test_more_lanes_cost_more(graph: ig.IntegerGraph) -> None:
    conv = [layer for layer in folded(graph) if isinstance(layer.node.op, ig.Conv)][1]
    for use_dsp in (False, True):
        by_pe = [layer_cost(graph, conv, Folding(pe, 8, use_dsp)) for pe in (1, 2, 4, 8, 16)]
        by_simd = [layer_cost(graph, conv, Folding(4, simd, use_dsp)) for simd in (1, 2, 4, 8)]
        for costs in (by_pe, by_simd):
            areas = [cost.lut + 100 * cost.dsp + 100 * cost.bram36 for cost in costs]
            assert areas == sorted(areas)
            if not use_dsp:  # more lanes in slices may take a cycle less, and its registers
                assert [cost.ff for cost in costs] == sorted(cost.ff for cost in costs)


# -- what is exact -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("a", "b", "slices", "of_array"),
    [
        ((8, False), (8, True), 1, 3),
        ((4, False), (4, True), 0, 3),  # Yosys takes no slice for a product below 9 bits
        ((5, False), (4, True), 1, 3),
        ((8, False), (1, False), 0, 3),
        ((25, True), (18, True), 1, 6),
        ((20, True), (22, False), 2, 12),
    ],
)
def test_dsp_slices_of_a_product(
    a: tuple[int, bool], b: tuple[int, bool], slices: int, of_array: int
) -> None:
    assert dsp_slices(a, b) == slices
    assert mac_array(a, b, 30, 2, 3, True).dsp == of_array


@pytest.mark.parametrize(
    ("depth", "width", "blocks"),
    [
        (100, 24, 0.5),
        (300, 40, 1.0),
        (600, 30, 1.0),
        (2000, 8, 0.5),
        (3000, 72, 6.0),
        (20480, 6, 3.5),  # words side by side: 16384 x 1 would take 6
        (1152, 56, 2.5),
        (3136, 32, 3.5),
        (7840, 48, 11.0),
    ],
)
def test_block_ram_as_yosys_maps_it(depth: int, width: int, blocks: float) -> None:
    assert parts.block_ram(depth, width).bram36 == blocks


def test_lut_ram_by_its_cells() -> None:
    assert parts.lut_ram(32, 12) == 8  # two RAM32M
    assert parts.lut_ram(64, 12) == 16  # four RAM64M


GEOMETRIES = [
    WindowGeometry(height=8, width=8, words=2, kernel=(3, 3), pads=(1, 1, 1, 1), outer=4),
    WindowGeometry(height=28, width=28, words=3, kernel=(3, 3), outer=1),
    WindowGeometry(height=32, width=30, words=2, kernel=(5, 5), stride=(2, 2), pads=(2, 2, 2, 2)),
    WindowGeometry(height=8, width=8, words=4, kernel=(1, 1), outer=8),
    WindowGeometry(height=1, width=1, words=64, outer=16),
    WindowGeometry(height=6, width=6, words=4, kernel=(6, 6), blocks=4),
    WindowGeometry(height=8, width=8, words=2, kernel=(2, 2), stride=(2, 2), blocks=2),
    WindowGeometry(height=8, width=8, words=6, kernel=(3, 3), outer=2, blocks=3),
    WindowGeometry(height=9, width=7, words=8, kernel=(3, 3), stride=(2, 2), dilation=(2, 2),
                   blocks=4),
    WindowGeometry(height=5, width=5, words=2, kernel=(3, 2), stride=(3, 3), pads=(0, 0, 2, 1),
                   dilation=(2, 1), outer=3),
    WindowGeometry(height=3, width=3, words=6, kernel=(1, 1), stride=(3, 3), outer=2, blocks=3),
]


# Strides with rows that are jumped over.
JUMPS = [
    WindowGeometry(height=16, width=16, words=4, kernel=(1, 1), stride=(2, 2), outer=3),
    WindowGeometry(height=16, width=14, words=8, kernel=(3, 3), stride=(2, 2), pads=(0, 0, 1, 1)),
    WindowGeometry(height=12, width=8, words=8, kernel=(2, 2), stride=(3, 3), outer=2),
]


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_a_line_buffer_is_sized_as_the_primitive_is(geometry: WindowGeometry) -> None:
    buffer = Buffer(
        replace(geometry, words=1, outer=1, blocks=1),
        geometry.words, geometry.outer, geometry.blocks,
    )
    capacity = line_buffer_capacity(geometry)
    assert buffer.capacity == capacity
    real = LineBuffer(geometry, 8, capacity)
    real._MustUse__silence = True  # only asked for its pointers
    assert buffer.pointer_bits(capacity) == real.pointer_bits
    position, outer, inner, _ = merge_loops(geometry)
    assert buffer.loops() == [extent for _, extent, _ in position + outer + inner]


@pytest.mark.parametrize("geometry", [*GEOMETRIES, *JUMPS])
def test_cycles_of_a_line_buffer(geometry: WindowGeometry) -> None:
    buffer = Buffer(
        replace(geometry, words=1, outer=1, blocks=1),
        geometry.words, geometry.outer, geometry.blocks,
    )
    images = 4
    write = Process("write", geometry.image_words * images)
    read = Process("read", geometry.steps * images)
    steps, words = window_reads(geometry, images)
    read.waits.append(Dependence(steps, "write", words, 1))
    words, steps = window_frees(geometry, buffer.capacity, images)
    write.waits.append(Dependence(words, "read", steps, 1))
    times = solve([write, read])["read"]
    interval = int(times[-1] - times[-1 - geometry.steps])
    assert buffer.cycles == pytest.approx(interval, rel=0.1, abs=16)


@pytest.mark.parametrize("lanes", [32, 8, 4, 1])
def test_outputs_that_take_turns_share_arithmetic(graph: ig.IntegerGraph, lanes: int) -> None:
    accumulator, result = IntType(-(1 << 19), (1 << 19) - 1), IntType(-128, 127)
    rng = np.random.default_rng(0)
    op = ig.Requantize(
        rng.integers(1 << 14, 1 << 15, 64), rng.integers(0, 1 << 20, 64), 24, -128, 127
    )
    area = output_area(op, accumulator, result, 32, lanes, 64, True, 40)
    assert area.dsp == lanes * output_area(op, accumulator, result, 1, 1, 64, True, 40).dsp
    kept = accumulator.width * 32 if lanes < 32 else 0
    assert area.ff >= kept


def test_as_many_outputs_take_turns_as_there_is_time() -> None:
    accumulator, result = IntType(-(1 << 19), (1 << 19) - 1), IntType(-128, 127)
    rng = np.random.default_rng(0)
    op = ig.Requantize(
        rng.integers(1 << 14, 1 << 15, 96), rng.integers(0, 1 << 20, 96), 24, -128, 127
    )

    def lanes(steps: int, wanted: int | None = None, pe: int = 24) -> int:
        return output_lanes(op, accumulator, result, pe, 96, True, steps, wanted)

    assert [lanes(steps) for steps in (1, 2, 7, 9, 23, 100)] == [24, 12, 4, 3, 2, 1]
    # A reader of 8 lanes gets 3 lanes one by one: that is not fast enough for 24 in 9 cycles.
    assert lanes(9, wanted=8) == 4
    assert lanes(24, wanted=8) == 1


def test_a_dot_product_in_proportion_is_close_to_the_exact_one() -> None:
    for act, weight in (((3, False), (3, True)), ((8, False), (4, True))):
        quick = dot_product(act, weight, 96).area
        exact = exact_dot_product(act, weight, 96).area
        assert quick.lut == pytest.approx(exact.lut, rel=0.03)
        assert quick.ff == pytest.approx(exact.ff, rel=0.03)


# -- parts against Yosys 0.70 ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("act", "weight", "simd", "lut", "ff"),
    [
        ((1, False), (2, True), 8, 39, 36),
        ((2, False), (2, True), 8, 64, 53),
        ((3, False), (3, True), 8, 101, 73),
        ((4, False), (4, True), 8, 184, 138),
        ((8, False), (4, True), 4, 188, 137),
        ((8, False), (8, True), 4, 357, 255),
    ],
)
def test_multipliers_in_luts(
    act: tuple[int, bool], weight: tuple[int, bool], simd: int, lut: int, ff: int
) -> None:
    area = mac_array(act, weight, 16, 1, simd, False)
    assert area.lut == pytest.approx(lut, rel=0.08)
    assert area.ff == pytest.approx(ff, rel=0.05)


@pytest.mark.parametrize(
    ("channels", "lanes", "levels", "lut", "ff"),
    [(4, 4, 3, 44, 62), (4, 4, 15, 106, 188), (16, 2, 7, 90, 72), (64, 2, 15, 266, 220)],
)
def test_thresholds(channels: int, lanes: int, levels: int, lut: int, ff: int) -> None:
    values = np.sort(np.random.default_rng(1).integers(-1024, 1024, (channels, levels)))
    op = ig.Thresholds(0, values, np.zeros(channels, dtype=bool))
    bits = levels.bit_length()
    area = thresholds(op, IntType.of_width(12, True), bits, lanes, channels)
    assert area.lut == pytest.approx(lut, rel=0.1)
    assert area.ff == pytest.approx(ff, rel=0.02)


def test_forms_of_the_requantizer() -> None:
    rng = np.random.default_rng(2)
    acc, one = IntType.of_width(20, True), np.array([1])
    factors, biases = rng.integers(2048, 4096, 32), rng.integers(-500000, 500000, 32)
    shift = requantizer(ig.Requantize(one, one * 0, 6, 0, 255), acc, 8, 2, 2, False)
    assert shift.lut == pytest.approx(18, abs=3)
    op = ig.Requantize(factors, biases, 20, -128, 127)
    luts = requantizer(op, acc, 8, 2, 32, False)
    assert (luts.lut, luts.dsp) == (pytest.approx(458, rel=0.1), 0)
    slices = requantizer(op, acc, 8, 2, 32, True)
    assert (slices.lut, slices.dsp) == (pytest.approx(81, rel=0.1), 2)


# -- whole designs against Yosys ------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "outputs", "kernel", "groups", "bits", "signed", "folding"),
    [
        ((16, 10, 10), 32, 3, 1, 8, True, {"pe": 8, "simd": 8}),
        ((32, 6, 6), 64, 1, 1, 8, False, {"pe": 8, "simd": 16}),
        ((32, 10, 10), 32, 3, 32, 8, True, {"pe": 8}),
        ((8, 8, 8), 24, 3, 1, 4, True, {"pe": 12, "simd": 8}),
    ],
)
def test_products_in_slices_within_15_percent_of_yosys(
    shape: tuple[int, int, int], outputs: int, kernel: int, groups: int, bits: int, signed: bool,
    folding: dict[str, int], tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    net = Network(shape, 5).quantize(bits, signed=signed)
    narrow = net.weight
    net.weight = lambda size: narrow(size, bits=bits)
    net.conv(outputs, kernel, groups=groups, pad=kernel // 2).norm().quantize(bits, signed=signed)
    layers = {"conv": {**folding, "dsp": True}}
    design = net.done({"layers": layers, "interval_cycles": 200_000})
    folder = tmp_path_factory.mktemp("cost")
    source = folder / "design.il"
    source.write_text(design.rtlil, encoding="utf-8")
    actual = synthesize(source, TOP, design.board, folder).by_instance["n_conv"]
    for name in Resources.names():
        predicted = design.planned.costs["n_conv"][name]
        assert predicted == pytest.approx(actual[name], rel=0.15, abs=1), name


@pytest.mark.slow
@pytest.mark.parametrize("model", ["cnn", "mlp"])
def test_digits_within_a_quarter_of_yosys(
    model: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    design = nn2rtl.compile(nn2rtl.load(DIGITS / f"{model}.onnx"), "arty_a7", {})
    folder = tmp_path_factory.mktemp("cost")
    source = folder / "design.il"
    source.write_text(design.rtlil, encoding="utf-8")
    actual = synthesize(source, TOP, design.board, folder).resources
    predicted = design.planned.total
    for name in Resources.names():
        assert predicted[name] == pytest.approx(actual[name], rel=0.25, abs=1), name
