"""Tables in a terminal of 100 columns."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from nn2rtl.design import Design
from nn2rtl.report.inspect import inspect_data
from nn2rtl.report.terminal import print_inspection, print_summary

NAMES = ["residual", "classifier", "image", "hostile"]


def console() -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, width=100, force_terminal=False), out


@pytest.mark.parametrize("name", [*NAMES, "bare"])
def test_summary(reports: dict[str, dict[str, Any]], name: str) -> None:
    terminal, out = console()
    print_summary(reports[name], terminal)
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= 100
    assert "\x1b" not in text
    wanted = "not simulated" if name == "bare" else "100 of 100 inferences bit-exact"
    assert wanted in text
    for layer in reports[name]["layers"]:
        # Cut names end in an ellipsis; cycles are never cut.
        assert layer["name"][:12] in text and f"{layer['cycles']:,}" in text


def test_summary_of_wrong_hardware(wrong: dict[str, Any]) -> None:
    terminal, out = console()
    print_summary(wrong, terminal)
    assert "3 of 100 inferences differ from the model" in out.getvalue()
    assert "50.0 MHz after place and route: too slow" in out.getvalue()


@pytest.mark.parametrize("name", NAMES)
def test_inspection(
    designs: dict[str, Design], reports: dict[str, dict[str, Any]], name: str
) -> None:
    terminal, out = console()
    print_inspection(designs[name].graph, reports[name], terminal)
    assert max(map(len, out.getvalue().splitlines())) <= 100
    assert "\x1b" not in out.getvalue()


def test_inspected_layers(designs: dict[str, Design]) -> None:
    data = inspect_data(designs["residual"].graph)
    rows = {row["name"]: row for row in data["layers"]}
    # The names that options take for single layers; reshapes and fused steps are none.
    assert list(rows) == ["residual", "sum", "pool", "fc"]
    assert rows["residual"]["requantizer"]["form"] == "multiply-add-shift"
    assert rows["sum"]["requantizer"]["form"] == "table"
    assert (data["macs"], data["weights"]) == (16 * 81 + 60, 81 + 60)
    assert data["input"]["meaning"] == (
        "tanh, then round(x / [3 channels' values] + 1) clipped to -8..7"
    )
    assert data["output"]["meaning"].endswith("then softmax on the host")
