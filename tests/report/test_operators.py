"""The page of operators against the code: nothing is missing, and what it says is so."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from nn2rtl.boards.board import load_board
from nn2rtl.frontend import operator_table, tflite_operator_table
from nn2rtl.frontend.registry import find
from nn2rtl.ir import functions as fn
from nn2rtl.ir import integer as ig
from nn2rtl.ir import model
from nn2rtl.ir.graph import Graph
from nn2rtl.ir.softmax import exact_tables
from nn2rtl.ir.types import IntTensor, IntType, QuantizedConstant, RealType, exact_array
from nn2rtl.ir.verify import verify
from nn2rtl.options import Options
from nn2rtl.passes.lower import lower
from nn2rtl.passes.requantize import choose_requantizers
from nn2rtl.plan.components import stage_latency
from nn2rtl.plan.planner import make_plan
from nn2rtl.plan.stages import ForkStage, WidthStage
from nn2rtl.reference import Reference
from nn2rtl.report.lowerings import HARDWARE, LOWERED
from nn2rtl.report.operators import DIALECTS, REFUSED, dialect, operators_page

PAGE = Path(__file__).parents[2] / "docs" / "operators.md"
COMMAND = "python -m nn2rtl.report.operators > docs/operators.md"
ONE, ZERO = exact_array(1), exact_array(0)
SHAPE = (2, 4, 4)
Node = tuple[model.ModelOp, tuple[int, ...], tuple[int, ...]]
"""An operation, the nodes that it reads (0 is the quantized input), and its result's shape."""


def test_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == operators_page(), f"run {COMMAND}"


def test_every_operator_of_a_file_is_told() -> None:
    page = operators_page()
    for info in [*operator_table(), *tflite_operator_table()]:
        assert f"| `{info.name}` | {info.supported.replace('|', '∣')} |" in page, info


def test_every_dialect_has_operators() -> None:
    assert {dialect(info) for info in operator_table()} == {None, *DIALECTS.values()}


def test_refused_operators_have_no_handler() -> None:
    assert all(find(name, domain) is None for name, domain in REFUSED)


def weight(*shape: int) -> QuantizedConstant:
    values = np.arange(np.prod(shape), dtype=np.int64).reshape(shape) % 7 - 3
    scale = exact_array(np.full((1,) * len(shape), Fraction(1, 8), dtype=object))
    return QuantizedConstant(values, scale, scale * 0, IntType(-3, 3))


def steps(low: int, high: int, scale: Fraction = Fraction(1)) -> model.Quantize:
    return model.Quantize(exact_array(scale), ZERO, low, high)


def behind(op: model.ModelOp, shape: tuple[int, ...] = SHAPE, *inputs: int) -> list[Node]:
    """An operation, and a quantizer behind it."""
    last = (op, inputs or (0,), shape)
    return [last, (steps(-8, 7, Fraction(1, 3)), (1,), shape)]


REVERSED = np.arange(32)[::-1].reshape(SHAPE)
CONV = model.Conv(weight(2, 2, 1, 1), None, (1, 1), (0,) * 4, (1, 1), 1)
DECONV = model.ConvTranspose(weight(2, 2, 2, 2), None, (2, 2), (0,) * 4, (1, 1), 1, (0, 0))
THRESHOLDS = exact_array(np.array([[-2, 1, 5]]))
RELU, ABS = (model.Elementwise(f) for f in (model.Function.RELU, model.Function.ABS))
BIPOLAR = model.BipolarQuantize(ONE)
COUNT = model.MultiThreshold(THRESHOLDS, Fraction(1), Fraction(0))
SWISH: list[Node] = [
    (CONV, (0,), SHAPE),
    (model.Elementwise(model.Function.SIGMOID), (1,), SHAPE),
    (model.Mul(), (1, 2), SHAPE),
    (steps(-4, 7, Fraction(1, 3)), (3,), SHAPE),
]
"""A function that falls and rises, of integers too wide for a table if the input has 12 bits."""

SAMPLES: dict[type, list[list[Node]]] = {
    model.Input: [[]],
    model.Quantize: [behind(CONV), SWISH, [(steps(-2, 1, Fraction(3)), (0,), SHAPE)]],
    model.BipolarQuantize: [
        [(BIPOLAR, (0,), SHAPE)], [(ABS, (0,), SHAPE), (BIPOLAR, (1,), SHAPE)]
    ],
    model.Round: [
        behind(model.Round(model.Rounding.FLOOR)),
        [(model.Affine(exact_array(Fraction(1, 3)), ZERO), (0,), SHAPE),
         (model.Round(model.Rounding.HALF_UP), (1,), SHAPE), (CONV, (2,), SHAPE)],
    ],
    model.MultiThreshold: [
        [(COUNT, (0,), SHAPE)], [(ABS, (0,), SHAPE), (COUNT, (1,), SHAPE)]
    ],
    model.Conv: [behind(CONV)],
    model.ConvTranspose: [[*behind(DECONV, (2, 8, 8)), (CONV, (2,), (2, 8, 8))]],
    model.MatMul: [behind(model.MatMul(weight(4, 3)), (2, 4, 3))],
    model.Affine: [behind(model.Affine(exact_array(3), ONE))],
    model.Elementwise: [behind(RELU), [(RELU, (0,), SHAPE), (CONV, (1,), SHAPE)]],
    model.Add: [[(CONV, (0,), SHAPE), (model.Add(), (0, 1), SHAPE)]],
    model.Mul: [[(CONV, (0,), SHAPE), (model.Mul(), (0, 1), SHAPE)]],
    model.MaxPool: [behind(model.MaxPool((2, 2), (2, 2), (0,) * 4), (2, 2, 2))],
    model.AveragePool: [behind(model.AveragePool((2, 2), (2, 2), (0,) * 4), (2, 2, 2))],
    model.Concat: [behind(model.Concat(0), (4, 4, 4), 0, 0)],
    model.Gather: [[*behind(model.Gather(REVERSED)), (CONV, (2,), SHAPE)]],
    model.Pad: [behind(model.Pad((1, 0, 0, 1, 0, 0), Fraction(2)), (4, 4, 4))],
    model.Reshape: [
        [(model.Reshape(), (0,), (32,)), (model.MatMul(weight(32, 3)), (1,), (3,))],
        [(CONV, (0,), SHAPE), (steps(-8, 7), (1,), SHAPE), (model.Reshape(), (2,), (8, 2, 2)),
         (model.MaxPool((2, 2), (1, 1), (0,) * 4), (3,), (8, 1, 1))],
    ],
    model.Transpose: [
        [*behind(CONV), (model.Transpose((0, 2, 1)), (2,), SHAPE), (CONV, (3,), SHAPE)]
    ],
    model.Softmax: [
        [(model.Softmax(0), (0,), SHAPE), (steps(0, 15, Fraction(1, 16)), (1,), SHAPE)]
    ],
    model.FixedPointSoftmax: [
        [(model.FixedPointSoftmax(Fraction(1), Fraction(0), 1 << 30, 23, -248), (0,), SHAPE)]
    ],
    model.ArgMax: [
        [(model.Reshape(), (0,), (32,)), (model.ArgMax(0, keep=False), (1,), ())]
    ],
}  # fmt: skip
"""Networks with each operation, behind a quantized input."""
ANYWHERE = {ig.Input, ig.Reshape, ig.Gather}
"""Operations that the order of elements may call for, whatever the network."""


def lowered(nodes: list[Node], bits: int) -> set[type]:
    """Operations of the integer graph of a network."""
    graph: model.ModelGraph = Graph("sample")
    names = [graph.append("x", model.Input(), (), RealType(SHAPE))]
    first = steps(-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
    names = [graph.append("q", first, tuple(names), RealType(SHAPE))]
    for op, inputs, shape in nodes:
        names.append(graph.append("n", op, tuple(names[i] for i in inputs), RealType(shape)))
    graph.outputs = [names[-1]]
    exact = lower(graph)
    chosen = choose_requantizers(exact)
    verify(chosen, "the test")
    return {type(node.op) for node in [*exact, *chosen]}


@pytest.mark.parametrize("kind", get_args(model.ModelOp), ids=lambda kind: kind.__name__)
def test_lowering_is_as_told(kind: type) -> None:
    told = set(LOWERED[kind][0])
    found: set[type] = set()
    for nodes in SAMPLES[kind]:
        for bits in (4, 12):
            seen = lowered(nodes, bits)
            others = {type(op) for op, _, _ in nodes} - {kind} | {model.Quantize}
            assert seen <= told.union(ANYWHERE, *(LOWERED[other][0] for other in others))
            found |= seen
    assert told - {ig.Requantize} <= found  # which step function is chosen, is for its own tests


def test_every_integer_operation_comes_of_a_lowering() -> None:
    assert {kind for kinds, _ in LOWERED.values() for kind in kinds} == set(get_args(ig.IntOp))


def everything() -> ig.IntegerGraph:
    """A network with every operation of the integer graph."""
    rng = np.random.default_rng(5)
    graph = ig.IntegerGraph("everything")
    kind, shape = IntType(0, 7), (4, 4, 2)

    def add(op: ig.IntOp, *inputs: str, ends: tuple[int, int], at: tuple[int, ...] = shape) -> str:
        return graph.append("n", op, inputs, IntTensor((at[0], at[1], at[2]), IntType(*ends)))

    def narrowed(name: str, at: tuple[int, ...] = shape) -> str:
        values = np.sort(rng.integers(-50, 50, (at[2], 7)))
        op = ig.Thresholds(0, values, np.zeros(at[2], dtype=np.bool_))
        return add(op, name, ends=(0, 7), at=at)

    x = graph.append("x", ig.Input(), (), IntTensor(shape, kind))
    conv = ig.Conv(rng.integers(-3, 4, (2, 1, 1, 2)), ig.Window((1, 1)))
    low, high = conv.output_ranges(kind)
    a = narrowed(add(conv, x, ends=(int(low.min()), int(high.max()))))
    b = add(ig.Lookup(0, rng.integers(0, 8, 8)), a, ends=(0, 7))
    c = narrowed(add(ig.WeightedSum((3, -1)), a, b, ends=(-7, 21)))
    d = add(ig.Product((-2, 0)), b, c, ends=(-14, 35))
    shift = ig.Requantize(np.array([3]), np.array([1]), 4, -4, 3)
    d = add(shift, d, ends=(-4, 3))
    e = add(ig.Concat(2), c, d, ends=(-4, 7), at=(4, 4, 4))
    f = add(ig.Gather(rng.permutation(64)), e, ends=(-4, 7), at=(4, 4, 4))
    g = add(ig.MaxPool(ig.Window((2, 2), (2, 2))), f, ends=(-4, 7), at=(2, 2, 4))
    h = add(ig.SumPool(ig.Window((2, 2))), g, ends=(-16, 28), at=(1, 1, 4))
    i = narrowed(h, (1, 1, 4))
    tables = exact_tables(Fraction(1, 4), Fraction(1, 16), 7, 4)
    j = add(ig.Softmax(*tables, 0, 0, 15), i, ends=(0, 15), at=(1, 1, 4))
    k = add(ig.Reshape(), j, ends=(0, 15), at=(2, 2, 1))
    graph.outputs = [add(ig.ArgMax(), k, ends=(0, 3), at=(1, 1, 1))]
    every, one = np.arange(32), np.arange(1)
    whole = fn.Quantizer((Fraction(1),), fn.ZERO, 0, 7, model.Rounding.HALF_EVEN)
    graph.input = ig.InputSpec("x", shape, every, (), whole, every)
    graph.output = ig.OutputSpec("y", (), one, (), one * 0, index=True)
    verify(graph, "the test")
    return graph


def test_every_integer_operation_has_a_reference_and_hardware() -> None:
    graph = everything()
    assert {type(node.op) for node in graph} == set(get_args(ig.IntOp)) == set(HARDWARE)
    reference = Reference(graph)
    stream = np.full((2, graph.types[reference.source].size), 7)
    assert [name for name, _ in reference.tensors(stream)] == [node.name for node in graph]
    built: dict[type, type] = {}
    plan = make_plan(graph, load_board("arty_a7").resources, Options()).plan
    for stage in plan.stages:
        if isinstance(stage, ForkStage):
            continue
        assert stage_latency(stage).fifo >= 1  # builds the component
        op: Any = getattr(stage, "op", None) or getattr(stage, "epilogue", ig.ArgMax())
        if not isinstance(stage, WidthStage) and op is not None:
            built[type(op)] = type(stage)
    # What is fused into the stage before it, may stand alone.
    for step in (ig.Thresholds, ig.Requantize):
        built.setdefault(step, built[ig.Lookup])
    assert built == {op: stage for op, (stage, _) in HARDWARE.items() if stage is not None}
