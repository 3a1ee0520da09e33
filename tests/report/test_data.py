"""The schema, against its documentation, and figures against the design."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from nn2rtl.design import Design
from nn2rtl.ir import functions as fn
from nn2rtl.ir.model import Function, Rounding
from nn2rtl.report.data import Outcome, make_report
from nn2rtl.report.meaning import input_entry

PAGE = Path(__file__).parents[2] / "docs" / "report.md"


def documented() -> dict[str, list[str]]:
    """Keys in the first column of the table under each heading."""
    found: dict[str, list[str]] = {}
    for section in re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        heading = section.splitlines()[0].replace("`", "")
        found[heading] = re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE)
    return found


@pytest.mark.parametrize("name", ["residual", "classifier", "image", "bare"])
def test_keys_are_those_documented(reports: dict[str, dict[str, Any]], name: str) -> None:
    report, keys = reports[name], documented()
    assert keys["Top level"] == list(report)
    layer = report["layers"][0]
    parts = {
        "model": [report["model"]],
        "board": [report["board"]],
        "stages[]": report["stages"],
        "predicted": [report["predicted"]],
        "Resources": [
            report["predicted_resources"], report["board_resources"],
            *(x for x in [report["resources"], layer["predicted"], layer["synthesized"]] if x),
        ],
        "layers[]": report["layers"],
        "Streams": [s for x in report["layers"] for s in (*x["operands"], x["result"])],
        "requantizer": [x["requantizer"] for x in report["layers"]],
        "branches[]": [b for x in report["layers"] for b in x["branches"]],
        "input": [report["input"]],
        "output": [report["output"]],
        "quantizer": [report["input"]["quantizer"]],
        "chain[]": [*report["input"]["chain"], *report["output"]["chain"]],
    }
    assert set(parts) | {"Top level"} == set(keys)
    for heading, objects in parts.items():
        for entry in objects:
            assert sorted(entry) == sorted(keys[heading]), heading


def test_survives_json(reports: dict[str, dict[str, Any]]) -> None:
    for report in reports.values():
        assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_figures_of_a_plan(designs: dict[str, Design], reports: dict[str, dict[str, Any]]) -> None:
    report, timing = reports["bare"], designs["residual"].planned.timing
    unknown = ("samples", "mismatches", "latency_cycles", "interval_cycles", "resources",
               "fmax_mhz")
    assert all(report[key] is None for key in unknown)
    assert report["predicted"]["latency_cycles"] == timing.latency_cycles
    # 100 MHz: 10 ns a cycle.
    assert report["latency_us"] == pytest.approx(timing.latency_cycles / 100)
    assert report["inferences_per_second"] == pytest.approx(1e8 / timing.interval_cycles)
    assert all(layer["synthesized"] is None for layer in report["layers"])


def test_simulated_figures_win(reports: dict[str, dict[str, Any]]) -> None:
    report = reports["residual"]
    assert (report["latency_cycles"], report["interval_cycles"]) == (665, 576)
    assert report["latency_us"] == pytest.approx(6.65)
    assert report["inferences_per_second"] == pytest.approx(1e8 / 576)


def test_layers(reports: dict[str, dict[str, Any]]) -> None:
    layers = {layer["kind"]: layer for layer in reports["residual"]["layers"]}
    assert {"conv", "dense", "add", "max pool", "fork"} <= set(layers)
    conv, dense = layers["conv"], layers["dense"]
    assert (conv["macs"], conv["weights"], conv["weight_bits"]) == (16 * 81, 81, 3)
    assert (conv["window"], conv["operands"][0]["shape"]) == ("3×3 pad 1", [4, 4, 3])
    assert conv["requantizer"]["form"] == "multiply-add-shift"
    assert (conv["requantizer"]["multiplier_bits"], conv["requantizer"]["shift"]) == (3, 7)
    # Steps: positions x taps x input folds x output folds.
    assert conv["cycles"] == 16 * 9 * (3 // conv["simd"]) * (3 // conv["pe"])
    assert layers["add"]["requantizer"]["levels"] == 15
    assert len(layers["add"]["operands"]) == 2
    assert dense["operands"][0]["shape"] == [1, 1, 12]
    assert dense["requantizer"]["form"] == "none"
    assert layers["fork"]["fifo_depth"] is None
    assert len(layers["fork"]["branches"]) == 2


def test_ports(reports: dict[str, dict[str, Any]]) -> None:
    port, out = reports["residual"]["input"], reports["residual"]["output"]
    assert (port["axes"], port["order"], port["channels"]) == ([1, 2, 0], None, 3)
    assert port["quantizer"]["scale"] == pytest.approx([1 / 3, 2 / 3, 1])
    assert port["tdata_bits"] % 8 == 0 and 0 <= port["tdata_bits"] - port["beat_bits"] < 8
    assert (out["softmax_axis"], out["channels"], out["channel_of"]) == (0, 5, None)
    mixed = reports["classifier"]["input"]
    assert mixed["axes"] is None and sorted(mixed["order"]) == list(range(12))
    assert sorted(mixed["channel_of"]) == list(range(12))


def test_what_no_figure_counts_is_told(designs: dict[str, Design]) -> None:
    from nn2rtl.boards.synthesis import SynthesisResult

    outcome = Outcome("synth")
    empty = SynthesisResult(
        resources=designs["image"].board.resources + designs["image"].board.resources,
        own=designs["image"].board.resources, by_instance={}, cells={"X": 2}, uncounted={"X": 2},
        netlist=Path("n.v"), tool="t", seconds=1.0, peak_mb=1.0,
    )
    report = make_report(designs["image"], replace(outcome, synthesis=empty))
    assert report["uncounted_cells"] == {"X": 2}
    assert not report["fits"]


@pytest.mark.parametrize(
    ("stage", "stages"), [("later", []), ("sim", [("sim", "fine", 1.0, "")]),
                          ("sim", [("run", "done", 1.0, "")])]
)
def test_refuses_unknown_words(stage: str, stages: list[Any]) -> None:
    with pytest.raises(ValueError, match="must be one of"):
        Outcome(stage, stages)


def test_chains_and_quantizers_have_all_keys(designs: dict[str, Design]) -> None:
    """Those of every kind, of which the networks have a few only."""
    one = (Fraction(1),)
    steps = [
        fn.AffineStep(one, fn.ZERO), fn.RoundStep(Rounding.FLOOR),
        *(fn.FunctionStep(function, one) for function in Function),
        fn.CombineStep(fn.Combination.SUM, (fn.RoundStep(Rounding.CEIL),), ()),
    ]  # fmt: skip
    quantizers = [
        fn.SignQuantizer(), fn.StepQuantizer((one,)),
        fn.Quantizer(one, fn.ZERO, 0, 7, Rounding.HALF_EVEN, zero_after=True),
    ]  # fmt: skip
    made, keys = designs["image"].planned.plan, documented()
    spec, _ = made.graph.spec()
    for quantizer in quantizers:
        changed = replace(spec, chain=tuple(steps), quantizer=quantizer)
        entry = input_entry(replace(made, graph=replace(made.graph, input=changed)))
        assert sorted(entry["quantizer"]) == sorted(keys["quantizer"])
        for step in entry["chain"]:
            assert sorted(step) == sorted(keys["chain[]"])
            assert f"`{step['kind']}`" in PAGE.read_text(encoding="utf-8")
        assert f"`{entry['quantizer']['kind']}`" in PAGE.read_text(encoding="utf-8")
