# amaranth: UnusedElaboratable=no
"""Small networks, made by hand, as planned designs; nothing is elaborated or simulated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nn2rtl.boards.board import load_board
from nn2rtl.boards.resources import Resources
from nn2rtl.boards.synthesis import SynthesisResult
from nn2rtl.design import Design
from nn2rtl.ir import functions as fn
from nn2rtl.ir import integer as ig
from nn2rtl.ir.graph import Graph
from nn2rtl.ir.model import Function, ModelGraph, Rounding
from nn2rtl.ir.types import IntTensor, IntType
from nn2rtl.ir.verify import verify
from nn2rtl.options import Options
from nn2rtl.plan.planner import make_plan
from nn2rtl.report.data import Outcome, make_report
from nn2rtl.simulation import Simulation

HOSTILE = "</script><b>$(rm -rf ~)`|\n\x1b[31m[red]"
U4, S4 = IntType(0, 15), IntType(-8, 7)
THIRDS = tuple(Fraction(c + 1, 3) for c in range(3))


def _conv_type(op: ig.Conv, operand: IntType) -> IntType:
    low, high = op.output_ranges(operand)
    return IntType(int(low.min()), int(high.max()))


def residual(name: str = "residual") -> ig.IntegerGraph:
    """Convolution, residual sum, pooling, dense layer; channels first outside, softmax tail."""
    rng = np.random.default_rng(1)
    graph = ig.IntegerGraph("residual")
    x = graph.append("x", ig.Input(), (), IntTensor((4, 4, 3), S4))
    conv = ig.Conv(rng.integers(-4, 4, (3, 3, 3, 3)), ig.Window((3, 3), pads=(1, 1, 1, 1)))
    total = _conv_type(conv, S4)
    c = graph.append(name, conv, (x,), IntTensor((4, 4, 3), total))
    scaling = ig.Requantize(np.array([5, 6, 7]), np.array([64, 32, 16]), 7, -8, 7)
    r = graph.append("quant", scaling, (c,), IntTensor((4, 4, 3), S4))
    wide = IntTensor((4, 4, 3), IntType(-16, 14))
    both = graph.append("sum", ig.WeightedSum((1, 1)), (x, r), wide)
    levels = np.sort(rng.integers(-10, 10, (1, 15)))
    steps = ig.Thresholds(0, levels, np.array([False]))
    t = graph.append("act", steps, (both,), IntTensor((4, 4, 3), U4))
    pool = ig.MaxPool(ig.Window((2, 2), (2, 2)))
    p = graph.append("pool", pool, (t,), IntTensor((2, 2, 3), U4))
    flat = graph.append("flat", ig.Reshape(), (p,), IntTensor((1, 1, 12), U4))
    dense = ig.Conv(rng.integers(-4, 4, (5, 1, 1, 12)), ig.Window((1, 1)))
    d = graph.append("fc", dense, (flat,), IntTensor((1, 1, 5), _conv_type(dense, U4)))
    graph.outputs = [d]
    order = np.arange(48).reshape(3, 4, 4).transpose(1, 2, 0).ravel()
    quantizer = fn.Quantizer(THIRDS, (Fraction(1),), -8, 7, Rounding.HALF_EVEN)
    graph.input = ig.InputSpec(
        name, (3, 4, 4), order, (fn.FunctionStep(Function.TANH),), quantizer, np.arange(48) % 3
    )
    chain = (fn.AffineStep((Fraction(1, 64),), tuple(Fraction(c, 7) for c in range(5))),)
    graph.output = ig.OutputSpec(
        name, (5,), np.arange(5), chain, np.arange(5), softmax_axis=0, operand_shape=(5,)
    )
    verify(graph, "the test")
    return graph


def classifier() -> ig.IntegerGraph:
    """Bipolar input in an order that is none of axes, wide dense layer, argmax in hardware."""
    rng = np.random.default_rng(2)
    graph = ig.IntegerGraph("classifier")
    one = IntType(0, 1)
    x = graph.append("x", ig.Input(), (), IntTensor((1, 1, 12), one))
    dense = ig.Conv(rng.integers(-1, 2, (7, 1, 1, 12)), ig.Window((1, 1)))
    d = graph.append("fc", dense, (x,), IntTensor((1, 1, 7), _conv_type(dense, one)))
    a = graph.append("argmax", ig.ArgMax(), (d,), IntTensor((1, 1, 1), IntType(0, 6)))
    graph.outputs = [a]
    offset = fn.AffineStep((Fraction(2),), tuple(Fraction(c - 6, 5) for c in range(12)))
    order = rng.permutation(12)
    graph.input = ig.InputSpec(
        "x", (2, 6), order, (offset,), fn.SignQuantizer(), rng.permutation(12)
    )
    graph.output = ig.OutputSpec(
        "class", (), np.arange(1), (), np.zeros(1, dtype=np.int64), index=True
    )
    verify(graph, "the test")
    return graph


def image(rounding: Rounding = Rounding.HALF_UP) -> ig.IntegerGraph:
    """A convolution from and to images, channels first outside; signed results."""
    rng = np.random.default_rng(3)
    graph = ig.IntegerGraph("image")
    kind = IntType(0, 31)
    x = graph.append("x", ig.Input(), (), IntTensor((3, 5, 2), kind))
    conv = ig.Conv(rng.integers(-3, 4, (4, 2, 2, 2)), ig.Window((2, 2)))
    c = graph.append("conv", conv, (x,), IntTensor((2, 4, 4), _conv_type(conv, kind)))
    graph.outputs = [c]
    order = np.arange(30).reshape(2, 3, 5).transpose(1, 2, 0).ravel()
    quantizer = fn.Quantizer((Fraction(1, 8),), (Fraction(0),), 0, 31, rounding)
    graph.input = ig.InputSpec("x", (2, 3, 5), order, (), quantizer, np.arange(30))
    position = np.arange(32).reshape(2, 4, 4).transpose(2, 0, 1).ravel()
    chain = (
        fn.AffineStep((Fraction(1, 3), Fraction(-1, 5), Fraction(1), Fraction(2)), (Fraction(0),)),
        fn.FunctionStep(Function.RELU),
    )
    graph.output = ig.OutputSpec(
        "y", (4, 2, 4), position, chain, np.arange(32) % 4, operand_shape=(4, 2, 4)
    )
    verify(graph, "the test")
    return graph


def plan(graph: ig.IntegerGraph, **options: Any) -> Design:
    net: ModelGraph = Graph(graph.name)
    board, chosen = load_board("arty_a7"), Options(**options)
    return Design(net, graph, board, chosen, make_plan(graph, board.resources, chosen))


def full_outcome(design: Design, mismatches: int = 0) -> Outcome:
    """An outcome with everything known; figures are made up but distinct."""
    instances = {
        name: Resources(lut=10 + i, ff=20 + i, bram36=0.5 * i, dsp=i, carry=3)
        for i, name in enumerate(stage.name for stage in design.planned.plan.stages)
    }
    own = Resources(lut=7)
    return Outcome(
        "synth",
        [("plan", "done", 0.25, ""), ("pnr", "skipped", None, "needs nextpnr-xilinx")],
        Simulation(np.zeros(1), 100, mismatches, 665, 576, np.zeros(1, int), np.zeros(1, int)),
        SynthesisResult(
            resources=Resources.total([own, *instances.values()]), own=own,
            by_instance=instances, cells={"LUT6": 1}, uncounted={}, netlist=Path("netlist.v"),
            tool="Yosys 1", seconds=1.0, peak_mb=1.0,
        ),
        123.4,
        ["nn2rtl_core.v", HOSTILE],
        ["look at " + HOSTILE],
        {"yosys": "1"},
        HOSTILE,
        "0123",
    )


@pytest.fixture(scope="session")
def designs() -> dict[str, Design]:
    """Planned designs by name; `hostile` has names that try to break out."""
    hostile = plan(residual(HOSTILE))
    hostile.model.name = HOSTILE
    made = {g.name: plan(g) for g in (residual(), classifier(), image())}
    return {**made, "hostile": hostile}


@pytest.fixture(scope="session")
def reports(designs: dict[str, Design]) -> dict[str, dict[str, Any]]:
    """A report of each design, with everything known; and `bare`, of a plan alone."""
    full = {name: make_report(d, full_outcome(d)) for name, d in designs.items()}
    return {**full, "bare": make_report(designs["residual"], Outcome("plan"))}


@pytest.fixture(scope="session")
def rounded() -> Callable[[Rounding], Design]:
    """The image network with another rounding of its input."""
    return lambda rounding: plan(image(rounding))


@pytest.fixture(scope="session")
def wrong(designs: dict[str, Design]) -> dict[str, Any]:
    """A report of hardware that differs from the model and misses its clock."""
    design = designs["residual"]
    return make_report(design, replace(full_outcome(design, mismatches=3), fmax_mhz=50.0))
