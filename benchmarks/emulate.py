"""Speed of the exact integer model: samples a second, batched, for real networks.

    python benchmarks/emulate.py [--seconds 3] [--json]

Networks that are not at hand are left out.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from os import cpu_count
from pathlib import Path

import numpy as np

import nn2rtl
from nn2rtl.design import Emulator, integer_graph
from nn2rtl.ir import integer as ig
from nn2rtl.options import InputType

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "models"
NETWORKS = {
    "digits mlp": (ROOT / "examples/digits/mlp.onnx", None),
    "digits cnn": (ROOT / "examples/digits/cnn.onnx", None),
    "jet tagging": (SHARED / "qonnx_jettagging/qkeras_jettagging.onnx", "int16:1/1024"),
    "rn06": (SHARED / "qonnx_rn06/rn06.onnx", "uint8:1/256"),
    "keyword w3a3": (SHARED / "qonnx_kws_w3a3/QONNX_model.onnx", None),
    "tfc 1w1a": (SHARED / "qonnx_tfc/TFC_1W1A.onnx", None),
}


def speed(path: Path, input_type: str | None, seconds: float) -> dict[str, float]:
    """Samples a second from input integers to output integers, and from reals to reals."""
    kind = None if input_type is None else InputType.parse(input_type)
    graph = integer_graph(nn2rtl.load(path), kind)
    emulator = Emulator(graph)
    span = graph.types[emulator.reference.source].type
    spec, _ = graph.spec()
    rng = np.random.default_rng(0)
    macs = sum(
        node.op.weight.size * graph.types[node.name].shape[0] * graph.types[node.name].shape[1]
        for node in graph
        if isinstance(node.op, ig.Conv)
    )
    count = int(np.clip(2e9 / max(macs, 1), 2_000, 200_000))
    integers = rng.integers(span.low, span.high, (count, *spec.shape), endpoint=True)
    reals = rng.normal(size=(count, *spec.shape)).astype(np.float32)
    result = {"macs": float(macs)}
    for name, x in (("integers", integers), ("reals", reals)):
        emulator.emulate(x[:512], raw=name == "integers")
        done, started, cpu = 0, time.perf_counter(), time.process_time()
        while time.perf_counter() - started < seconds:
            emulator.emulate(x, raw=name == "integers")
            done += count
        result[f"{name}_per_second"] = done / (time.perf_counter() - started)
        result[f"{name}_per_cpu_second"] = done / (time.process_time() - cpu)
    return result


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="time for each figure")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    rows = {
        name: speed(path, kind, options.seconds)
        for name, (path, kind) in NETWORKS.items()
        if path.exists()
    }
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    print(f"numpy {np.__version__}, {platform.machine()}, {cpu_count()} cores")
    print(f"{'network':14} {'MACs':>10} {'integers/s':>12} {'per CPU s':>12} {'reals/s':>12}")
    for name, row in rows.items():
        print(
            f"{name:14} {row['macs']:10,.0f} {row['integers_per_second']:12,.0f} "
            f"{row['integers_per_cpu_second']:12,.0f} {row['reals_per_second']:12,.0f}"
        )


if __name__ == "__main__":
    main()
