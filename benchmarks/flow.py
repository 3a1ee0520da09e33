"""Time from a model file to Verilog and to verified hardware, and the timing of the designs.

    python benchmarks/flow.py [--board arty_a7] [--synthesize] [--json]

Each network is compiled, written as Verilog, and simulated in Verilator against the integer model
with the samples that come with it. `--synthesize` also runs Yosys (minutes). Networks that are not
at hand are left out.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import nn2rtl
from nn2rtl.boards.resources import Resources
from nn2rtl.boards.synthesis import synthesize
from nn2rtl.build import check_simulation

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "models"
DIGITS = ROOT / "examples" / "digits"
NETWORKS: dict[str, tuple[Path, Path, str | None, int]] = {
    "digits mlp": (DIGITS / "mlp.onnx", DIGITS / "test.npz", None, 100),
    "digits cnn": (DIGITS / "cnn.onnx", DIGITS / "test.npz", None, 100),
    "tfc 1w1a": (
        SHARED / "qonnx_tfc/TFC_1W1A.onnx", SHARED / "qonnx_tfc/tfc_1w1a.npz", None, 100
    ),
    "tfc 1w2a": (
        SHARED / "qonnx_tfc/TFC_1W2A.onnx", SHARED / "qonnx_tfc/tfc_1w2a.npz", None, 100
    ),
    "tfc 2w2a": (
        SHARED / "qonnx_tfc/TFC_2W2A.onnx", SHARED / "qonnx_tfc/tfc_2w2a.npz", None, 100
    ),
    "jet tagging": (
        SHARED / "qonnx_jettagging/qkeras_jettagging.onnx",
        SHARED / "qonnx_jettagging/jettag.npz", "int16:1/1024", 100,
    ),
    "keyword w3a3": (
        SHARED / "qonnx_kws_w3a3/QONNX_model.onnx", SHARED / "qonnx_kws_w3a3/kws_w3a3.npz",
        None, 100,
    ),
    "rn06": (
        SHARED / "qonnx_rn06/rn06.onnx", SHARED / "qonnx_rn06/rn06_randio.npz", "uint8:1/256", 8
    ),
}  # fmt: skip


def measure(
    model: Path, data: Path, input_type: str | None, samples: int, board: str, with_yosys: bool
) -> dict[str, Any]:
    """Times in seconds and what was found."""
    started = time.perf_counter()
    options = {} if input_type is None else {"input_type": input_type}
    design = nn2rtl.compile(nn2rtl.load(model), board, options)
    planned = time.perf_counter()
    _ = design.verilog
    written = time.perf_counter()
    arrays = np.load(data)
    x = arrays["x_int8"] * arrays["x_scale"] if "x_int8" in arrays else arrays["x"]
    run = design.simulate(x[:samples])
    simulated = time.perf_counter()
    check_simulation(design, run)
    row: dict[str, Any] = {
        "plan_s": planned - started,
        "verilog_s": written - planned,
        "simulate_s": simulated - written,
        "samples": run.samples,
        "mismatches": run.mismatches,
        "latency_cycles": run.latency_cycles,
        "interval_cycles": run.interval_cycles,
        "predicted": {name: design.planned.total[name] for name in Resources.names()},
    }
    if with_yosys:
        with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
            source = Path(folder) / "core.il"
            source.write_text(design.rtlil)
            result = synthesize(source, "nn2rtl_core", design.board, Path(folder))
        row["synthesized"] = {name: result.resources[name] for name in Resources.names()}
        row["synthesis_s"] = result.seconds
    return row


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--board", default="arty_a7")
    parser.add_argument("--synthesize", action="store_true", help="run Yosys, too")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("names", nargs="*", help="only these networks")
    options = parser.parse_args()
    rows = {
        name: measure(*entry, options.board, options.synthesize)
        for name, entry in NETWORKS.items()
        if entry[0].exists() and (not options.names or name in options.names)
    }
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    print(
        f"{'network':13} {'plan s':>7} {'verilog s':>9} {'sim s':>6} {'exact':>9} "
        f"{'latency':>8} {'interval':>8} {'LUT':>13} {'FF':>13} {'BRAM':>11} "
        f"{'DSP':>7} {'yosys s':>7}"
    )
    for name, row in rows.items():
        found = row.get("synthesized")
        cells = [
            f"{row['predicted'][r]:g}" + ("" if found is None else f"/{found[r]:g}")
            for r in ("lut", "ff", "bram36", "dsp")
        ]
        seconds = f"{row['synthesis_s']:.0f}" if found else "-"
        print(
            f"{name:13} {row['plan_s']:7.1f} {row['verilog_s']:9.1f} {row['simulate_s']:6.1f} "
            f"{row['samples'] - row['mismatches']:4}/{row['samples']:<4} "
            f"{row['latency_cycles']:8} {row['interval_cycles']:8} "
            f"{cells[0]:>13} {cells[1]:>13} {cells[2]:>11} {cells[3]:>7} {seconds:>7}"
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory of this process {peak:.0f} MB; resources predicted/synthesized")


if __name__ == "__main__":
    main()
