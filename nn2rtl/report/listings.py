"""Boards and tools, in the terminal."""

from __future__ import annotations

from typing import Any

from rich.table import Table


def board_table(rows: list[dict[str, Any]]) -> Table:
    """Boards with what their parts have, and how far each flow goes."""
    table = Table(box=None, pad_edge=False)
    for column in ("board", "part", "MHz", "LUT", "FF", "BRAM36", "DSP", "flows"):
        table.add_column(column, overflow="fold")
    for row in rows:
        have = row["resources"]
        flows = "\n".join(f"{name}: {state}" for name, state in row["flows"].items())
        cells = [f"{have[key]:,}" for key in ("lut", "ff")]
        cells += [f"{have['bram36']:g}", f"{have['dsp']:,}"]
        table.add_row(row["name"], row["part"], f"{row['clock_mhz']:g}", *cells, flows)
    return table


def tool_table(rows: list[dict[str, Any]]) -> Table:
    """Tools that are here, and how to get the others."""
    table = Table(box=None, pad_edge=False)
    for column in ("tool", "version", "needed for", "how to get it"):
        table.add_column(column, overflow="fold")
    for row in rows:
        state = f"{row['version'] or 'found'} ({row['source']})" if row["found"] else "not found"
        table.add_row(row["name"], state, row["purpose"], "" if row["found"] else row["how_to_get"])
    return table
