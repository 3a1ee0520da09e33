"""The interface page, and its code against the golden model."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nn2rtl.design import Design
from nn2rtl.ir.model import Rounding
from nn2rtl.report.data import Outcome, make_report
from nn2rtl.report.interface import interface_page, markdown
from nn2rtl.sim.beats import pack_beats

NAMES = ["residual", "classifier", "image", "hostile"]


def code(report: dict[str, Any], language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)\n```", interface_page(report), re.DOTALL)
    return str(found)


def execute(
    report: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """Names that the page's Python defines, run where report.json is."""
    (folder / "report.json").write_text(json.dumps(report), encoding="utf-8")
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    exec(code(report, "python"), names)
    return names


def check(design: Design, report: dict[str, Any], functions: dict[str, Any]) -> None:
    spec, _ = design.graph.spec()
    inputs = np.random.default_rng(5).normal(0, 2, (20, *spec.shape))
    stream = design.stream(inputs)
    kind, result = design.planned.plan.input.result, design.planned.plan.output.result
    outputs = design.reference.run(stream)
    for x, wanted, y in zip(inputs, stream, outputs, strict=True):
        q = functions["quantize"](x)
        assert (q == wanted).all()
        packed = pack_beats(wanted.reshape(-1, kind.lanes), kind.type.width)
        beats = [int.from_bytes(beat.tobytes(), "little") for beat in packed]
        assert functions["pack"](q) == beats
        assert max(beats) < 1 << report["input"]["tdata_bits"]
        packed = pack_beats(y.reshape(-1, result.lanes), result.type.width)
        beats = [int.from_bytes(beat.tobytes(), "little") for beat in packed]
        assert (functions["unpack"](beats) == y).all()
        real = functions["real"](y)
        assert real.shape == tuple(report["output"]["model_shape"])
        np.testing.assert_allclose(real, design.results(y[None])[0], rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_code_agrees_with_the_golden_model(
    designs: dict[str, Design], reports: dict[str, dict[str, Any]], name: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check(designs[name], reports[name], execute(reports[name], tmp_path, monkeypatch))


@pytest.mark.parametrize("rounding", Rounding)
def test_every_rounding(
    rounded: Callable[[Rounding], Design], rounding: Rounding, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    design = rounded(rounding)
    functions = execute(make_report(design, Outcome("plan")), tmp_path, monkeypatch)
    # Eighths and sixteenths of a step: ties among them, all exact in binary.
    grid = np.arange(-30, 30).reshape(2, 2, 3, 5) / 64 + np.array([0, 1]).reshape(2, 1, 1, 1)
    for x, wanted in zip(grid, design.stream(grid), strict=True):
        assert (functions["quantize"](x) == wanted).all()


def test_ports_and_order(reports: dict[str, dict[str, Any]]) -> None:
    report = reports["residual"]
    page = interface_page(report)
    for port in ("input", "output"):
        prefix = {"input": "s_axis", "output": "m_axis"}[port]
        direction = {"input": "in", "output": "out"}[port]
        assert f"| `{prefix}_tdata` | {direction} | {report[port]['tdata_bits']} |" in page
        high = report[port]["tdata_bits"] - 1
        assert f"wire [{high}:0] {direction}_tdata;" in code(report, "verilog")
    assert "order 1, 2, 0, the last one fastest (row by row, channels last)" in page
    lanes = report["input"]["lanes"]
    # The second element of the stream is the first pixel's second channel.
    assert f"| {1 // lanes} | {1 % lanes} | [1, 0, 0] |" in page
    assert "665 cycles (6.65 µs)" in page
    assert page.count("| 2 | 1.0 |") == 1  # the third channel's scale


def test_hostile_names_are_no_markup(reports: dict[str, dict[str, Any]]) -> None:
    plain, hostile = (interface_page(reports[name]) for name in ("residual", "hostile"))
    assert code(reports["hostile"], "python") == code(reports["residual"], "python")
    assert code(reports["hostile"], "verilog") == code(reports["residual"], "verilog")
    assert len(hostile.splitlines()) == len(plain.splitlines())
    assert "<b>" not in hostile and "</script>" not in hostile and "\x1b" not in hostile
    assert markdown("a|b<c>`*_&") == "a\\|b&lt;c\\>\\`\\*\\_&amp;"
