"""What a model is, before anything is planned: `nn2rtl inspect`."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from nn2rtl.ir import functions as fn
from nn2rtl.ir import integer as ig
from nn2rtl.plan.streams import layers
from nn2rtl.report import text as tx
from nn2rtl.report.layers import kind_of, requantizer_entry, type_entry, window_text, work


def inspect_data(graph: ig.IntegerGraph) -> dict[str, Any]:
    """Layers, totals and the meaning of input and output, JSON-serialisable.

    Parameters
    ----------
    graph : IntegerGraph
        What the hardware computes, with requantizers chosen.
    """
    rows: list[dict[str, Any]] = []
    for layer in layers(graph):
        op, operand = layer.node.op, graph.types[layer.node.inputs[0]]
        result, total = graph.types[layer.name], graph.types[layer.node.name]
        macs, weights, weight_bits = work(op, total.shape)
        epilogue = layer.epilogue.op if layer.epilogue else op
        is_step = isinstance(epilogue, ig.Thresholds | ig.Requantize)
        kind = total.type if layer.epilogue else operand.type
        rows.append(
            {
                "name": layer.node.name,
                "source": layer.node.source,
                "kind": kind_of(op, operand.shape),
                "window": window_text(op.window)
                if isinstance(op, ig.Conv | ig.MaxPool | ig.SumPool)
                else None,
                "operand": {"shape": list(operand.shape), **type_entry(operand.type)},
                "result": {"shape": list(result.shape), **type_entry(result.type)},
                "accumulator": str(total.type) if isinstance(op, ig.Conv | ig.SumPool) else None,
                "macs": macs,
                "weights": weights,
                "weight_bits": weight_bits,
                "requantizer": requantizer_entry(
                    epilogue if isinstance(epilogue, ig.Thresholds | ig.Requantize) else None,
                    kind if is_step else None,
                ),
            }
        )
    spec, out = graph.spec()
    source = next(node for node in graph if isinstance(node.op, ig.Input))
    return {
        "layers": rows,
        "macs": sum(row["macs"] for row in rows),
        "weights": sum(row["weights"] for row in rows),
        "weight_bits": sum(row["weights"] * (row["weight_bits"] or 0) for row in rows),
        "input": {
            "name": spec.name,
            "shape": list(spec.shape),
            "type": str(graph.types[source.name].type),
            "meaning": input_meaning(spec),
        },
        "output": {
            "name": out.name,
            "shape": list(out.shape),
            "type": str(graph.types[graph.outputs[0]].type),
            "meaning": output_meaning(out),
        },
    }


def print_inspection(
    graph: ig.IntegerGraph, report: dict[str, Any], console: Console
) -> None:
    """Print layers and what input and output mean.

    Parameters
    ----------
    graph : IntegerGraph
        What the hardware computes.
    report : dict
        From `make_report`, of at least a plan.
    console : Console
        Where to; 100 columns are enough.
    """
    data = inspect_data(graph)
    latency, interval = (report["predicted"][f"{key}_cycles"] for key in ("latency", "interval"))
    console.print(Text(tx.clean(report["model"]["name"]), style="bold"))
    console.print(
        f"{len(data['layers'])} layers, {data['macs']:,} multiply-accumulates, "
        f"{data['weights']:,} weights ({data['weight_bits'] / 8192:,.1f} KiB)",
        highlight=False,
    )
    console.print(
        Text(
            f"planned for {tx.clean(report['board']['title'])} at "
            f"{tx.number(report['clock_mhz'])} MHz: latency {latency:,} cycles, "
            f"interval {interval:,} cycles"
        )
    )
    for port in ("input", "output"):
        entry = data[port]
        line = Text(f"{port:7}", style="bold")
        line.append(
            f"{tx.clean(entry['name'])}: {tx.shape(entry['shape'])} {entry['type']}, "
            f"{entry['meaning']}",
            style="not bold",
        )
        console.print(line)
    console.print()
    console.print(inspect_table(graph))


def inspect_table(graph: ig.IntegerGraph) -> Table:
    """Layers with shapes, widths, work, and what each becomes in hardware."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("layer", overflow="fold", min_width=10)
    table.add_column("operation", min_width=9)
    table.add_column("operand")
    table.add_column("result")
    table.add_column("weights", justify="right")
    table.add_column("MACs", justify="right")
    table.add_column("sum", no_wrap=True)
    table.add_column("requantizer")
    for row in inspect_data(graph)["layers"]:
        weights = tx.UNKNOWN
        if row["weights"]:
            weights = f"{row['weights']:,}×{row['weight_bits']} bit"
        table.add_row(
            Text(tx.clean(row["name"])),
            " ".join(filter(None, (row["kind"], row["window"] if row["kind"] != "dense" else ""))),
            *(f"{tx.shape(row[side]['shape'])} {row[side]['type']}" for side in
              ("operand", "result")),
            weights,
            tx.number(row["macs"]) if row["macs"] else tx.UNKNOWN,
            row["accumulator"] or tx.UNKNOWN,
            tx.requantizer(row["requantizer"]),
        )
    return table


def input_meaning(spec: ig.InputSpec) -> str:
    """How a real input becomes an integer, in a phrase."""
    before = _chain(spec.chain)
    prefix = f"{before}, then " if before else ""
    if isinstance(spec.quantizer, fn.SignQuantizer):
        return f"{prefix}1 where x >= 0, else 0"
    q = spec.quantizer
    if isinstance(q, fn.StepQuantizer):
        start = f"{q.low} + " if q.low else ""
        return f"{prefix}{start}the number of {q.high - q.low} thresholds that it reaches"
    zero = "" if not any(q.zero_point) else f" + {_values(q.zero_point)}"
    inner = f"{zero})" if not q.zero_after else f"){zero}"
    return f"{prefix}round(x / {_values(q.scale)}{inner} clipped to {q.low}..{q.high}"


def output_meaning(spec: ig.OutputSpec) -> str:
    """What the output's integers mean, in a phrase."""
    if spec.index:
        return "index of the largest element"
    tail = ""
    if spec.softmax_axis is not None:
        tail = ", then softmax on the host"
    elif spec.argmax_axis is not None:
        tail = ", then argmax on the host"
    return (_chain(spec.chain) or "the integer itself") + tail


def _chain(chain: fn.Chain) -> str:
    return ", then ".join(map(_step, chain))


def _step(step: fn.Step) -> str:
    if isinstance(step, fn.AffineStep):
        offset = "" if not any(step.offset) else f" + {_values(step.offset)}"
        return f"{_values(step.scale)} × x{offset}"
    if isinstance(step, fn.FunctionStep):
        parameter = "" if not any(step.parameter) else f" ({_values(step.parameter)})"
        return f"{step.function.value}{parameter}"
    if isinstance(step, fn.RoundStep):
        return f"rounded {step.rounding.value.replace('_', ' ')}"
    left, right = (_chain(chain) or "x" for chain in (step.left, step.right))
    return f"the {step.combination.value} of [{left}] and [{right}]"


def _values(values: fn.Channelwise) -> str:
    return f"{float(values[0]):.6g}" if len(values) == 1 else f"[{len(values)} channels' values]"
