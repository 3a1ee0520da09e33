"""The report in the terminal."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Console
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from nn2rtl.report import text as tx
from nn2rtl.report.inspect import print_inspection

__all__ = ["headline", "layer_table", "print_inspection", "print_summary", "resource_table"]

_STYLES = {True: "bold green", False: "bold red", None: "yellow"}


def print_summary(report: dict[str, Any], console: Console) -> None:
    """Print headline, resources and layers of a report.

    Parameters
    ----------
    report : dict
        From `make_report`.
    console : Console
        Where to; 100 columns are enough.
    """
    console.print(headline(report))
    console.print()
    console.print(resource_table(report))
    console.print()
    console.print(layer_table(report))
    for note in report["notes"]:
        console.print(Text("note: ", style="bold") + Text(tx.clean(note)))


def headline(report: dict[str, Any]) -> Text:
    """What was built for what, whether it is verified, and how fast it is."""
    board = report["board"]
    line = Text()
    line.append(tx.clean(report["model"]["name"]), style="bold")
    line.append(" → ")
    line.append(tx.clean(board["title"]), style="bold")
    line.append(f" ({tx.clean(board['part'])})\n")
    phrase, good = tx.verdict(report)
    line.append(phrase, style=_STYLES[good])
    if not report["fits"]:
        line.append("\nlarger than the board", style="bold red")
    latency, simulated = tx.cycles(report, "latency_cycles")
    interval, _ = tx.cycles(report, "interval_cycles")
    basis = "simulated" if simulated else "predicted"
    line.append(f"\nlatency   {latency:,} cycles, {tx.duration(report['latency_us'])} ({basis})")
    line.append(
        f"\ninterval  {interval:,} cycles, {tx.number(round(report['inferences_per_second']))} "
        f"inferences/s at {tx.number(report['clock_mhz'])} MHz"
    )
    if report["fmax_mhz"] is not None:
        met = report["fmax_mhz"] >= report["clock_mhz"]
        line.append("\nFmax      ")
        line.append(
            f"{report['fmax_mhz']:.1f} MHz after place and route" + ("" if met else ": too slow"),
            style="" if met else "bold red",
        )
    return line


def resource_table(report: dict[str, Any]) -> Table:
    """Predicted and synthesized resources next to what the board has."""
    table = Table(
        title="Resources", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("")
    for name in ("predicted", "synthesized", "board", "used"):
        table.add_column(name, justify="right")
    table.add_column("", width=20)
    for key, title in tx.RESOURCE_TITLES.items():
        predicted, board = report["predicted_resources"][key], report["board_resources"][key]
        synthesized = None if report["resources"] is None else report["resources"][key]
        needed = predicted if synthesized is None else synthesized
        style = "red" if needed > board else "green"
        bar = ProgressBar(
            total=max(board, 1), completed=min(needed, board), width=20,
            complete_style=style, finished_style=style,
        )
        table.add_row(
            title, tx.number(predicted), tx.number(synthesized), tx.number(board),
            Text(tx.percent(needed, board), style="bold red" if needed > board else ""), bar,
        )
    return table


def layer_table(report: dict[str, Any]) -> Table:
    """A row for each stage; the slowest, which sets the interval, in bold."""
    layers = report["layers"]
    synthesized = any(layer["synthesized"] is not None for layer in layers)
    source = "synthesized" if synthesized else "predicted"
    table = Table(
        title=f"Layers (resources {source}; the slowest in bold)",
        title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False,
    )
    table.add_column("layer", no_wrap=True, max_width=22, overflow="ellipsis")
    table.add_column("kind", no_wrap=True)
    table.add_column("PE×SIMD", justify="right", no_wrap=True)
    table.add_column("result", no_wrap=True)
    for name in ("cycles", "LUT", "FF", "BRAM", "DSP"):
        table.add_column(name, justify="right", no_wrap=True)
    slowest = max((layer["cycles"] for layer in layers), default=0)
    for layer in layers:
        used = layer[source] or {}
        result = layer["result"]
        folding = tx.UNKNOWN if layer["pe"] is None else f"{layer['pe']}×{layer['simd']}"
        table.add_row(
            Text(tx.clean(layer["name"])), layer["kind"], folding,
            f"{tx.shape(result['shape'])} {result['type']}", tx.number(layer["cycles"]),
            *(tx.number(used.get(key)) for key in ("lut", "ff", "bram36", "dsp")),
            style="bold" if layer["cycles"] == slowest else None,
        )
    return table
