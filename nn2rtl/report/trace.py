"""The comparison of a network's stages, as JSON and in the terminal."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from nn2rtl.errors import DifferenceError, SimulationError
from nn2rtl.report import text as tx
from nn2rtl.simulation import Simulation
from nn2rtl.trace import Layer, Trace

_STYLES = {"equal": "green", "follows": "yellow", "ties": "yellow", "unexplained": "bold red"}


def trace_data(found: Trace, hardware: Simulation | None) -> dict[str, Any]:
    """Everything found, JSON-serialisable."""
    return {
        "reference": found.reference,
        "samples": found.samples,
        "first_difference": found.first_difference,
        "first_unexplained": found.first_unexplained,
        "layers": [{**asdict(layer), "verdict": layer.verdict} for layer in found.layers],
        "hardware": None
        if hardware is None
        else {"samples": hardware.samples, "mismatches": hardware.mismatches},
        "notes": list(found.notes),
    }


def print_trace(found: Trace, hardware: Simulation | None, console: Console) -> None:
    """Print a row for each layer, and what differs first.

    Parameters
    ----------
    found : Trace
        Of reference and integer graph.
    hardware : Simulation or None
        Of the Verilog, if it was simulated.
    console : Console
        Where to; 100 columns are enough.
    """
    console.print(_table(found))
    lines = [("reference", tx.clean(found.reference), "")]
    first, cause = (
        _called(found, name) for name in (found.first_difference, found.first_unexplained)
    )
    if not any(layer.compared for layer in found.layers):
        lines.append(("integers", "nothing to compare with", "yellow"))
    elif cause is not None:
        lines.append(("integers", f"first unexplained difference in {cause}", "bold red"))
    elif first is not None:
        lines.append(("integers", f"differ first in {first}; all are explained", "yellow"))
    else:
        lines.append(("integers", f"equal to the reference in {found.samples} samples", "green"))
    if hardware is not None:
        same, count = hardware.samples - hardware.mismatches, hardware.samples
        style = "bold red" if hardware.mismatches else "green"
        lines.append(("hardware", f"{same} of {count} inferences equal to the integers", style))
    for title, text, style in lines:
        console.print(Text(f"{title:11}", style="bold").append(text, style=f"not bold {style}"))
    for note in found.notes:
        console.print(Text("note       ", style="bold").append(tx.clean(note), style="not bold"))


def raise_difference(found: Trace, hardware: Simulation | None) -> None:
    """Raise an error if a difference has no explanation.

    Raises
    ------
    DifferenceError
        If a layer differs from the reference, and not by a tie.
    SimulationError
        If the hardware differs from the integers.
    """
    cause = found.first_unexplained
    if cause is not None:
        count = next(layer.unexplained for layer in found.layers if layer.name == cause)
        raise DifferenceError(
            f"{count} elements differ from {found.reference}",
            node=cause,
            remedy="if the inputs and the reference belong to this model, please report it",
        )
    if hardware is not None and hardware.mismatches:
        raise SimulationError(
            f"{hardware.mismatches} of {hardware.samples} inferences differ from the integer model",
            remedy="please report this, with the model: it is a defect of nn2rtl",
        )


def _table(found: Trace) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("layer", overflow="fold", min_width=12)
    table.add_column("by", no_wrap=True)
    table.add_column("shape", no_wrap=True)
    table.add_column("type", no_wrap=True)
    table.add_column("used range", no_wrap=True)
    table.add_column("at ends", justify="right", no_wrap=True)
    table.add_column("differ", justify="right", no_wrap=True)
    table.add_column("at most", justify="right", no_wrap=True)
    table.add_column("because", min_width=12)
    for layer in found.layers:
        table.add_row(*_cells(layer))
    return table


def _cells(layer: Layer) -> list[str | Text]:
    ends = tx.UNKNOWN
    if layer.at_low is not None and layer.at_high is not None:
        ends = tx.percent(layer.at_low + layer.at_high, layer.elements)
    differ = greatest = tx.UNKNOWN
    if layer.compared:
        differ = f"{layer.different:,}" if layer.different else "0"
        greatest = f"{layer.greatest:.4g}"
    return [
        Text(_short(layer.source)),
        layer.operation,
        tx.shape(layer.shape),
        layer.type,
        f"{layer.low:,}..{layer.high:,}",
        ends,
        differ,
        greatest,
        Text(_reason(layer), style=_STYLES.get(layer.verdict, "")),
    ]


def _called(found: Trace, name: str | None) -> str | None:
    """What the table calls a layer."""
    layer = next((layer for layer in found.layers if layer.name == name), None)
    return None if layer is None else f"{_short(layer.source, 60)} ({layer.operation})"


def _short(name: str, length: int = 24) -> str:
    """A name that leaves room for other things: its start and end."""
    name = tx.clean(name)
    half = length // 2
    return name if len(name) <= length else f"{name[:half]}…{name[1 - half :]}"


def _reason(layer: Layer) -> str:
    parts = []
    if layer.unexplained:
        parts.append(f"unexplained: {layer.unexplained:,}")
    if layer.ties:
        parts.append(f"ties: {layer.ties:,}")
    if layer.following:
        parts.append(f"earlier: {layer.following:,}")
    if not layer.compared:
        return "not compared"
    return ", ".join(parts) or "equal"
