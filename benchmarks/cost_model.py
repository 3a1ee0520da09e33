"""Compare predicted with synthesized resources, stage by stage.

Run ``python benchmarks/cost_model.py`` for a standard set (about ten minutes with Yosys's
WebAssembly build), or give models and foldings::

    python benchmarks/cost_model.py model.onnx --interval 1000 --no-dsp --json result.json

Models of ``../shared/models`` are skipped where that folder is absent.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import nn2rtl
from nn2rtl.boards.resources import Resources
from nn2rtl.boards.synthesis import synthesize
from nn2rtl.elaborate import TOP
from nn2rtl.errors import Nn2RtlError
from nn2rtl.plan.stages import ForkStage

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "models"
JETS = {"input_type": "int8:1/16"}
IMAGES = {"input_type": "uint8:1/256"}
STANDARD: list[tuple[Path, dict[str, Any]]] = [
    (ROOT / "examples/digits/cnn.onnx", {}),
    (ROOT / "examples/digits/cnn.onnx", {"interval_cycles": 2400, "dsp": False}),
    (ROOT / "examples/digits/mlp.onnx", {}),
    (ROOT / "examples/digits/mlp.onnx", {"interval_cycles": 64}),
    (SHARED / "qonnx_tfc/TFC_1W1A.onnx", {"interval_cycles": 800}),
    (SHARED / "qonnx_tfc/TFC_2W2A.onnx", {"interval_cycles": 3200, "dsp": False}),
    (SHARED / "qonnx_kws_w3a3/QONNX_model.onnx", {"interval_cycles": 8000, "dsp": False}),
    (SHARED / "qonnx_jettagging/qkeras_jettagging.onnx", JETS | {"interval_cycles": 32}),
    (SHARED / "qonnx_jettagging/qkeras_jettagging.onnx",
     JETS | {"interval_cycles": 256, "dsp": False}),
    (SHARED / "qonnx_rn06/rn06.onnx", IMAGES | {"interval_cycles": 37000}),
    (SHARED / "qonnx_rn06/rn06.onnx", IMAGES | {"interval_cycles": 74000, "dsp": False}),
]


@dataclass(frozen=True)
class Row:
    """Predicted and synthesized resources of a stage, or of all."""

    name: str
    predicted: Resources
    synthesized: Resources

    def ratios(self) -> dict[str, float]:
        """Predicted over synthesized, of those resources that either has."""
        return {
            name: self.predicted[name] / self.synthesized[name]
            for name in Resources.names()
            if self.synthesized[name]
        }

    def __str__(self) -> str:
        cells = []
        for name in Resources.names():
            ratio = self.ratios().get(name)
            text = f"{self.predicted[name]:g}/{self.synthesized[name]:g}"
            cells.append(f"{text:>13} {'' if ratio is None else f'{ratio:.2f}':>5}")
        return f"{self.name:24}{''.join(cells)}"


def compare(model: Path, board: str, options: dict[str, Any], folder: Path) -> list[Row]:
    """Rows of each stage, and of the total at the end."""
    design = nn2rtl.compile(nn2rtl.load(model), board, options)
    source = folder / "design.il"
    source.write_text(design.rtlil, encoding="utf-8")
    result = synthesize(source, TOP, design.board, folder)
    rows = []
    for stage in design.planned.plan.stages:
        names = {stage.name}
        if isinstance(stage, ForkStage):
            names |= {f"{stage.name}_{k}" for k in range(len(stage.branches))}
        actual = Resources.total(result.by_instance[n] for n in names if n in result.by_instance)
        rows.append(Row(stage.name, design.planned.costs[stage.name], actual))
    return [*rows, Row("total", design.planned.total, result.resources)]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="*", type=Path, help="model files; without, a standard set")
    parser.add_argument("--board", default="arty_a7")
    parser.add_argument("--interval", type=int, help="cycles between inferences")
    parser.add_argument("--input-type", help="quantizer of a real input, such as int8:1/16")
    parser.add_argument("--no-dsp", action="store_true")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    args = parser.parse_args(arguments)
    own: dict[str, Any] = {"dsp": not args.no_dsp}
    if args.interval is not None:
        own["interval_cycles"] = args.interval
    if args.input_type is not None:
        own["input_type"] = args.input_type
    figures = []
    failed = False
    for model, options in [(model, own) for model in args.model] or STANDARD:
        title = f"{model.stem} {json.dumps(options)}"
        if not args.model and not model.exists():
            print(f"{title}: skipped, {model} is not there")
            continue
        # Not in the system's temporary folder: Yosys's WebAssembly build cannot work there.
        with tempfile.TemporaryDirectory(prefix="cost-", dir=Path.cwd()) as folder:
            try:
                rows = compare(model, args.board, options, Path(folder))
            except Nn2RtlError as error:
                print(f"{title}: {error}", file=sys.stderr)
                failed = True
                continue
        head = "".join(f"{name:>13} {'ratio':>5}" for name in Resources.names())
        print(f"\n{title}\n{'predicted/synthesized':24}{head}")
        print("\n".join(map(str, rows)), flush=True)
        figures.append(
            {
                "model": model.name,
                "options": options,
                "rows": [
                    {
                        "stage": row.name,
                        "predicted": asdict(row.predicted),
                        "synthesized": asdict(row.synthesized),
                        "ratio": row.ratios(),
                    }
                    for row in rows
                ],
            }
        )
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
