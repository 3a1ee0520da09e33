"""MLPerf Tiny's networks as shipped (int8 TensorFlow Lite), against published FPGA designs.

    python benchmarks/mlperf_tiny.py [--board pynq_z2] [--utilization 0.8] [--samples 16]
                                     [--synthesize] [--json] [names...]

Each network is planned, written as Verilog and simulated in Verilator: outputs against the
reference outputs that come with the models, every beat's cycle against the plan. `--synthesize`
also runs Yosys (many minutes). The softmax is left out, as in the published designs. Without the
models there is nothing to measure.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import nn2rtl
from nn2rtl.boards.resources import Resources
from nn2rtl.boards.synthesis import synthesize
from nn2rtl.build import check_simulation

MODELS = Path(__file__).resolve().parents[2] / "shared" / "models" / "tflite_mlperf_tiny"
NETWORKS = {
    "resnet8": ("pretrainedResnet_quant.tflite", "ic_random_int8_io.npz", 58_800),
    "dscnn": ("kws_ref_model.tflite", "kws01_int8_1000.npz", 46_000),
    "mobilenet": ("vww_96_int8.tflite", "vww_random_int8_io.npz", 1_050_000),
    "autoencoder": ("ad01_int8.tflite", "ad01_int8_io.npz", None),
}
"""Model, data, and cycles of latency of the best published design on an xc7z020 (fpgaConvNet)."""


def measure(name: str, board: str, utilization: float, samples: int, with_yosys: bool) -> Any:
    """What is known of one network's design."""
    model, data, published = NETWORKS[name]
    started = time.perf_counter()
    net = nn2rtl.load(MODELS / model)
    design = nn2rtl.compile(net, board, {"utilization": utilization, "softmax": "logits"})
    planned = time.perf_counter()
    _ = design.verilog
    written = time.perf_counter()
    row: dict[str, Any] = {
        "plan_s": planned - started,
        "verilog_s": written - planned,
        "latency_cycles": design.planned.timing.latency_cycles,
        "interval_cycles": design.planned.timing.interval_cycles,
        "published_latency_cycles": published,
        "predicted": {r: design.planned.total[r] for r in Resources.names()},
        "part": {r: design.board.resources[r] for r in Resources.names()},
    }
    if samples:
        arrays = np.load(MODELS / data)
        key = "tflite_ref_logits" if "tflite_ref_logits" in arrays else "tflite_ref_out"
        run = design.simulate(arrays["x"][:samples], raw=True)
        check_simulation(design, run)
        reference = arrays[key][: run.samples].reshape(run.outputs.shape)
        row["samples"] = run.samples
        row["mismatches"] = run.mismatches
        row["equal_to_reference"] = int((run.outputs == reference).all(axis=1).sum())
        row["simulated_latency_cycles"] = run.latency_cycles
        row["simulated_interval_cycles"] = run.interval_cycles
        row["simulate_s"] = time.perf_counter() - written
    if with_yosys:
        with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
            source = Path(folder) / "core.il"
            source.write_text(design.rtlil)
            result = synthesize(source, "nn2rtl_core", design.board, Path(folder))
        row["synthesized"] = {r: result.resources[r] for r in Resources.names()}
        row["synthesis_s"] = result.seconds
    return row


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--board", default="pynq_z2")
    parser.add_argument("--utilization", type=float, default=0.8, help="share of LUTs and FFs")
    parser.add_argument("--samples", type=int, default=16, help="inferences; 0: do not simulate")
    parser.add_argument("--synthesize", action="store_true", help="run Yosys, too")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("names", nargs="*", help="only these networks")
    options = parser.parse_args()
    names = options.names or list(NETWORKS)
    rows = {
        name: measure(
            name, options.board, options.utilization, options.samples, options.synthesize
        )
        for name in names
        if (MODELS / NETWORKS[name][0]).exists()
    }
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    print(
        f"{'network':12} {'latency':>8} {'published':>9} {'interval':>8} {'equal':>7} {'LUT':>13} "
        f"{'FF':>13} {'BRAM':>11} {'DSP':>8} {'plan s':>6} {'sim s':>6} {'yosys s':>7}"
    )
    for name, row in rows.items():
        found = row.get("synthesized")
        cells = [
            f"{row['predicted'][r]:g}" + ("" if found is None else f"/{found[r]:g}")
            for r in ("lut", "ff", "bram36", "dsp")
        ]
        equal = f"{row['equal_to_reference']}/{row['samples']}" if "samples" in row else "-"
        print(
            f"{name:12} {row['latency_cycles']:8} {row['published_latency_cycles'] or '-':>9} "
            f"{row['interval_cycles']:8} {equal:>7} {cells[0]:>13} {cells[1]:>13} {cells[2]:>11} "
            f"{cells[3]:>8} {row['plan_s']:6.1f} {row.get('simulate_s', 0):6.1f} "
            f"{row.get('synthesis_s', 0):7.0f}"
        )


if __name__ == "__main__":
    main()
