"""interface.md: what a person needs to integrate the core."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from nn2rtl.report import text as tx
from nn2rtl.report.snippets import numpy_code, verilog_instance

FIRST = 6
"""Elements that are shown as examples of an order."""
ROWS = 12
"""Most channels that a table lists."""

_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+.!|~<>&$-])")


def markdown(text: object) -> str:
    """Text that Markdown shows as it is, without markup, HTML or line breaks."""
    return _SPECIAL.sub(r"\\\1", tx.clean(text)).replace("\\<", "&lt;").replace("\\&", "&amp;")


def interface_page(report: dict[str, Any]) -> str:
    """A Markdown page on the core's ports, protocol, packing, meaning and timing.

    Parameters
    ----------
    report : dict
        From `make_report`; the page refers to it as ``report.json``.
    """
    parts = [
        f"# Interface of nn2rtl_core: {markdown(report['model']['name'])}",
        _ports(report),
        _protocol(report),
        _stream("Input", "s_axis", report["input"]),
        _input_meaning(report["input"]),
        _stream("Output", "m_axis", report["output"]),
        _output_meaning(report["output"]),
        _timing(report),
        "## Instantiation\n\n```verilog\n" + verilog_instance(report) + "\n```",
        "## Packing in numpy\n\n"
        "The functions below compute in float64. `nn2rtl` itself decides ties exactly, so a real "
        "input within rounding error of a tie may quantize differently here.\n\n"
        "```python\n" + numpy_code(report) + "\n```",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _ports(report: dict[str, Any]) -> str:
    wide, narrow = (report[port]["tdata_bits"] for port in ("input", "output"))
    rows = [
        ["`clk`", "in", "1", "clock; everything happens at its rising edge"],
        ["`rst`", "in", "1", "synchronous reset, active high"],
        ["`s_axis_tdata`", "in", str(wide), "input beat"],
        ["`s_axis_tvalid`", "in", "1", "there is an input beat"],
        ["`s_axis_tready`", "out", "1", "the input beat is taken in this cycle if valid"],
        ["`s_axis_tlast`", "in", "1", "not used: an inference has a fixed number of beats"],
        ["`m_axis_tdata`", "out", str(narrow), "output beat"],
        ["`m_axis_tvalid`", "out", "1", "there is an output beat"],
        ["`m_axis_tready`", "in", "1", "the output beat is taken in this cycle if valid"],
        ["`m_axis_tlast`", "out", "1", "the beat is the last one of its inference"],
    ]
    return "## Ports\n\n" + _table(["port", "direction", "bits", "meaning"], rows)


def _protocol(report: dict[str, Any]) -> str:
    return (
        "## Clock, reset and handshake\n\n"
        f"- One clock, planned for {tx.number(report['clock_mhz'])} MHz.\n"
        "- `rst` is synchronous and active high; one cycle is enough. It drops every beat inside "
        "the core, so that the next beat taken is the first of a new inference.\n"
        "- AXI4-Stream: a beat moves in a cycle in which `tvalid` and `tready` are both 1.\n"
        f"- An inference takes {report['input']['beats']:,} input and yields "
        f"{report['output']['beats']:,} output beats, always. Inferences may follow each other "
        "without a gap."
    )


def _stream(title: str, prefix: str, port: dict[str, Any]) -> str:
    width, lanes, padding = port["width"], port["lanes"], port["tdata_bits"] - port["beat_bits"]
    encoding = "two's complement" if port["signed"] else "unsigned"
    lines = [
        f"## {title}: {markdown(port['name'])}",
        "",
        f"- {port['beats']:,} beats an inference, each of {lanes} "
        f"element{'s' if lanes > 1 else ''} of {width} bit{'s' if width > 1 else ''}, {encoding} "
        f"(`{port['type']}`, values {port['low']} to {port['high']}).",
        f"- Element i of a beat is at bits `[{width}*i +: {width}]` of `{prefix}_tdata`.",
    ]
    if padding:
        what = "ignored" if prefix == "s_axis" else "0"
        place = f"`[{port['tdata_bits'] - 1}:{port['beat_bits']}]`"
        lines.append(f"- Bits {place} pad the beat to whole bytes; they are {what}.")
    return "\n".join(lines) + "\n\n" + _order(port)


def _order(port: dict[str, Any]) -> str:
    if port.get("is_index"):
        return "The one element is an index."
    shape = port.get("tensor_shape", port["model_shape"])
    axes = port["axes"]
    total = port["lanes"] * port["beats"]
    head = f"The model's tensor has the shape {tx.shape(shape)} (without batch dimension). "
    if axes is None:
        key = "output" if "is_index" in port else "input"
        rule = f"Element p of the stream is element `{key}.order[p]` of the flattened tensor."
        flat = np.array(port["order"][:FIRST])
    else:
        flat = np.arange(total).reshape(shape).transpose(axes).ravel()[:FIRST]
        names = ", ".join(map(str, axes))
        rule = f"The stream runs through its axes in the order {names}, the last one fastest"
        if axes == [1, 2, 0]:
            rule += " (row by row, channels last)"
        rule += "."
    rows = []
    for p, element in enumerate(flat):
        index = ", ".join(str(int(i)) for i in np.unravel_index(int(element), tuple(shape)))
        rows.append([str(p // port["lanes"]), str(p % port["lanes"]), f"[{index}]"])
    more = f"\n\n… and so on, {total:,} elements." if total > FIRST else ""
    return head + rule + "\n\n" + _table(["beat", "element", "of the tensor"], rows) + more


def _input_meaning(port: dict[str, Any]) -> str:
    q = port["quantizer"]
    lines = ["### Real meaning", ""]
    lines += _chain_lines(port, "input")
    if q["kind"] == "sign":
        lines.append("- The integer is 1 where the real number is at least 0, else 0.")
    elif q["kind"] == "steps":
        lines.append(
            f"- The integer is {q['low']} plus the number of thresholds that the real number "
            "reaches:"
        )
        lines += [f"  {_values_of(row)}" for row in q["thresholds"][:ROWS]]
    else:
        lines.append(
            f"- The integer is clip({_rounded(q)}, {q['low']}, {q['high']}); "
            f"rounding: {q['rounding'].replace('_', ' ')}."
        )
        lines.append(f"- Scale: {_values(q['scale'])}; zero point: {_values(q['zero_point'])}.")
        lines.append(_channel_table(port, {"scale": q["scale"], "zero point": q["zero_point"]}))
    return "\n".join(line for line in lines if line is not None).rstrip()


def _output_meaning(port: dict[str, Any]) -> str:
    lines = ["### Real meaning", ""]
    if port["is_index"]:
        return "\n".join([*lines, "- The index of the largest element, the first of equals."])
    lines += _chain_lines(port, "output") or ["- The integer is the model's number."]
    if port["softmax_axis"] is not None:
        lines.append(f"- The host then computes a softmax over axis {port['softmax_axis']}.")
    if port["argmax_axis"] is not None:
        lines.append(f"- The host then computes an argmax over axis {port['argmax_axis']}.")
    return "\n".join(lines).rstrip()


def _rounded(quantizer: dict[str, Any]) -> str:
    if quantizer["zero_after"]:
        return "round(x / scale) + zero point"
    return "round(x / scale + zero point)"


def _chain_lines(port: dict[str, Any], side: str) -> list[str]:
    lines = [line for step in port["chain"] for line in _step_lines(port, step)]
    if side == "output" and lines:
        lines.insert(0, "The model's number follows from the integer x:\n")
    return [line for line in lines if line]


def _step_lines(port: dict[str, Any], step: dict[str, Any]) -> list[str]:
    if step["kind"] == "affine":
        return [
            f"- Compute scale × x + offset: scale {_values(step['scale'])}; "
            f"offset {_values(step['offset'])}.",
            _channel_table(port, {"scale": step["scale"], "offset": step["offset"]}),
        ]
    if step["kind"] == "round":
        return [f"- Round to an integer, {step['rounding'].replace('_', ' ')}."]
    if step["left"] is not None:
        lines = [f"- Compute the {step['kind']} of two functions of x:"]
        for name in ("left", "right"):
            inner = [line for part in step[name] for line in _step_lines(port, part)]
            lines.append(f"  - {name}: {'x itself' if not inner else ''}".rstrip())
            lines += [f"    {line}" for line in inner if line]
        return lines
    parameter = f" with parameter {_values(step['parameter'])}" if step["parameter"] else ""
    return [f"- Apply {step['kind']}{parameter}."]


def _values_of(row: list[float]) -> str:
    return ", ".join(map(repr, row))


def _values(values: list[float]) -> str:
    return repr(values[0]) if len(values) == 1 else "one for each channel"


def _channel_table(port: dict[str, Any], columns: dict[str, list[float]]) -> str:
    """The constants of the first channels, if they differ."""
    wide = {name: values for name, values in columns.items() if len(values) > 1}
    if not wide:
        return ""
    count = port["channels"]
    rows = [
        [str(channel), *(repr(values[channel]) for values in wide.values())]
        for channel in range(min(count, ROWS))
    ]
    rule = (
        f"Element p of the stream has channel p mod {count}."
        if port["channel_of"] is None
        else "The channel of each element is in `channel_of`."
    )
    more = f" The other {count - ROWS} are in report.json." if count > ROWS else ""
    return f"\n{_table(['channel', *wide], rows)}\n\n{rule}{more}\n"


def _timing(report: dict[str, Any]) -> str:
    latency, is_simulated = tx.cycles(report, "latency_cycles")
    interval, _ = tx.cycles(report, "interval_cycles")
    basis = "simulated" if is_simulated else "predicted"
    return (
        f"## Timing ({basis})\n\n"
        "With an input that always comes and an output that is always taken:\n\n"
        f"- Latency: {latency:,} cycles ({tx.duration(report['latency_us'])}) from the cycle that "
        "takes the first input beat to the one that takes the last output beat.\n"
        f"- Interval: {interval:,} cycles between inferences that follow each other "
        f"({tx.number(round(report['inferences_per_second']))} inferences/s)."
    )
