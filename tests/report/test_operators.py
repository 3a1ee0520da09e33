"""The page of operators against the code: nothing is missing, and what it says is so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, get_args

import numpy as np
import pytest

from nn2rtl.boards.board import load_board
from nn2rtl.design import Design
from nn2rtl.frontend import operator_table
from nn2rtl.frontend.registry import find
from nn2rtl.ir import integer as ig
from nn2rtl.ir import model
from nn2rtl.ir.graph import Graph
from nn2rtl.ir.types import IntTensor, IntType
from nn2rtl.options import Options
from nn2rtl.passes.lower import _Handlers
from nn2rtl.plan.components import stage_latency
from nn2rtl.plan.planner import make_plan
from nn2rtl.plan.stages import ForkStage, WidthStage
from nn2rtl.reference import Reference
from nn2rtl.report.operators import BECOMES, HARDWARE, LOWERED, operators_page

PAGE = Path(__file__).parents[2] / "docs" / "operators.md"
COMMAND = "python -m nn2rtl.report.operators > docs/operators.md"


def test_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == operators_page(), f"run {COMMAND}"


def test_every_operator_of_the_file_is_told() -> None:
    assert set(BECOMES) == {info.name for info in operator_table()}


def code_names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from code_names(constant)


def emitted(function: FunctionType, seen: set[Any]) -> set[type]:
    """Model operations that a handler, or a function of the front end that it calls, mentions."""
    seen.add(function)
    found: set[type] = set()
    for name in code_names(function.__code__):
        value = function.__globals__.get(name)
        if value in get_args(model.ModelOp):
            found.add(value)
        elif isinstance(value, FunctionType) and value not in seen:
            is_own = value.__module__.startswith("nn2rtl.frontend.")
            found |= emitted(value, seen) if is_own else set()
    return found


def test_operators_become_what_their_handlers_emit() -> None:
    told: dict[Any, set[type]] = {}
    for name, kinds in BECOMES.items():
        domain = next(info for info in operator_table() if info.name == name).domains[0]
        registration = find(name, domain)
        assert registration is not None
        # Operators that share a handler share what it emits.
        told.setdefault(registration.handler, set()).update(kinds)
    for handler, kinds in told.items():
        assert kinds == emitted(handler, set()), handler.__name__


def test_every_model_operation_has_a_lowering() -> None:
    # The input is what lowering starts from.
    handlers = {model.Input, *_Handlers(Graph("empty")).handlers}
    assert set(get_args(model.ModelOp)) == handlers == set(LOWERED)


def pooled() -> ig.IntegerGraph:
    """A sum over windows, and a step function that stands alone."""
    kind = IntType(0, 3)
    graph = ig.IntegerGraph("pooled")
    x = graph.append("x", ig.Input(), (), IntTensor((4, 4, 2), IntType(0, 9)))
    steps = ig.Thresholds(0, np.array([[2, 4, 6]]), np.array([False]))
    t = graph.append("steps", steps, (x,), IntTensor((4, 4, 2), kind))
    pool = ig.SumPool(ig.Window((2, 2), (2, 2)))
    graph.outputs = [graph.append("sum", pool, (t,), IntTensor((2, 2, 2), IntType(0, 12)))]
    return graph


@pytest.fixture
def plans(designs: dict[str, Design]) -> list[Any]:
    made = [designs[name].planned.plan for name in ("residual", "classifier")]
    resources = load_board("arty_a7").resources
    return [*made, make_plan(pooled(), resources, Options()).plan]


def test_every_integer_operation_has_a_reference_and_hardware(plans: list[Any]) -> None:
    assert set(get_args(ig.IntOp)) == set(HARDWARE)
    computed: set[type] = set()
    built: dict[type, type] = {}
    for plan in plans:
        reference = Reference(plan.graph)
        tensor = plan.graph.types[reference.source]
        stream = np.full((2, tensor.size), tensor.type.high)
        assert [name for name, _ in reference.tensors(stream)] == [n.name for n in plan.graph]
        computed |= {type(node.op) for node in plan.graph}
        for stage in plan.stages:
            if isinstance(stage, ForkStage | WidthStage):
                continue
            assert stage_latency(stage).pipe >= 1  # builds the component
            op: Any = getattr(stage, "op", None) or getattr(stage, "epilogue", ig.ArgMax())
            built[type(op)] = type(stage)
    assert computed == set(get_args(ig.IntOp))
    # A requantization alone is built by the same stage as thresholds; it is fused in these plans.
    built.setdefault(ig.Requantize, built[ig.Thresholds])
    assert built == {op: stage for op, (stage, _) in HARDWARE.items() if stage is not None}


def test_every_target_of_a_lowering_is_an_integer_operation() -> None:
    targets = {kind for kinds, _ in LOWERED.values() for kind in kinds}
    assert targets == set(get_args(ig.IntOp))
