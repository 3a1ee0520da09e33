"""The report as one HTML file without scripts, fonts or anything else from a network."""

from __future__ import annotations

from typing import Any

from nn2rtl.report import text as tx
from nn2rtl.report.element import Html, element, join
from nn2rtl.report.plots import Bar, Row, bar_chart, legend
from nn2rtl.report.style import CSS

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_STATUS_PILLS = {"done": "good", "skipped": "open", "failed": "bad"}
_LAYER_RESOURCES = ("lut", "ff", "bram36", "dsp")


def html_report(report: dict[str, Any]) -> str:
    """A self-contained page.

    Parameters
    ----------
    report : dict
        From `make_report`.

    Returns
    -------
    str
        HTML, to be written as UTF-8.
    """
    title = f"{tx.clean(report['model']['name'])} on {tx.clean(report['board']['title'])}"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("title", f"nn2rtl: {title}"),
        element("style", Html(CSS)),
    )
    body = element(
        "main",
        _header(report, title),
        _tiles(report),
        element("div", _utilisation(report), _cycles(report), class_="pair"),
        _layer_resources(report),
        _layer_table(report),
        element("div", _interface(report), _stages(report), class_="pair"),
        element("div", _files(report), _tools(report), class_="pair"),
        _notes(report),
        _footer(report),
    )
    return f"<!DOCTYPE html>\n{element('html', head, element('body', body), lang='en')}\n"


def _header(report: dict[str, Any], title: str) -> Html:
    phrase, good = tx.verdict(report)
    pills = [_pill(phrase, {True: "good", False: "bad", None: "open"}[good])]
    if not report["fits"]:
        pills.append(_pill("larger than the board", "bad"))
    fmax = report["fmax_mhz"]
    if fmax is not None:
        met = fmax >= report["clock_mhz"]
        pills.append(_pill("timing met" if met else "timing not met", "good" if met else "bad"))
    file = report["model"]["file"]
    line = f"{tx.clean(report['board']['part'])} at {tx.number(report['clock_mhz'])} MHz"
    if file:
        line = f"{tx.clean(file)} · {line}"
    return element("header", element("h1", title), element("p", line), *pills)


def _pill(text: str, style: str) -> Html:
    return element("span", text, class_=f"pill {style}")


def _tiles(report: dict[str, Any]) -> Html:
    latency, simulated = tx.cycles(report, "latency_cycles")
    interval, _ = tx.cycles(report, "interval_cycles")
    basis = "simulated" if simulated else "predicted"
    macs = sum(layer["macs"] for layer in report["layers"])
    weights = sum(layer["weights"] for layer in report["layers"])
    fmax = report["fmax_mhz"]
    tiles = [
        ("Latency", tx.duration(report["latency_us"]), f"{latency:,} cycles, {basis}"),
        ("Throughput", f"{tx.number(round(report['inferences_per_second']))}/s",
         f"one every {interval:,} cycles"),
        ("Clock", f"{tx.number(report['clock_mhz'])} MHz",
         "Fmax unknown: not routed" if fmax is None else f"Fmax {fmax:.1f} MHz"),
        ("Work", f"{macs:,}", "multiply-accumulates"),
        ("Weights", f"{weights:,}", "in the hardware"),
    ]
    return element(
        "div",
        *(
            element("div", element("span", name), element("b", value), element("small", note),
                    class_="tile")
            for name, value, note in tiles
        ),
        class_="tiles",
    )


def _section(title: str, *children: str) -> Html:
    return element("section", element("h2", title), *children)


def _utilisation(report: dict[str, Any]) -> Html:
    synthesized = report["resources"]
    rows = []
    for key, title in tx.RESOURCE_TITLES.items():
        board, predicted = report["board_resources"][key], report["predicted_resources"][key]
        amounts = [(predicted, "pale")]
        if synthesized is not None:
            amounts.append((synthesized[key], "main"))
        bars = [
            Bar(amount / board if board else float(amount > 0), "over" if amount > board else style)
            for amount, style in amounts
        ]
        needed = amounts[-1][0]
        value = f"{tx.number(needed)} of {tx.number(board)} · {tx.percent(needed, board)}"
        rows.append(Row(title, bars, value))
    known = [("pale", "predicted")] + ([("main", "synthesized")] if synthesized else [])
    return _section(
        "Use of the board", legend(*known), bar_chart("Use of the board's resources", rows)
    )


def _cycles(report: dict[str, Any]) -> Html:
    layers = report["layers"]
    slowest = max((layer["cycles"] for layer in layers), default=0)
    interval, _ = tx.cycles(report, "interval_cycles")
    hot = "slowest: sets the interval" if interval == slowest else "slowest"
    rows = [
        Row(
            tx.clean(layer["name"]),
            [Bar(layer["cycles"] / slowest, "hot" if layer["cycles"] == slowest else "main")],
            tx.number(layer["cycles"]),
        )
        for layer in layers
    ]
    return _section(
        "Busy cycles of each layer",
        legend(("hot", hot), ("main", "others")),
        bar_chart("Busy cycles an inference", rows),
    )


def _layer_resources(report: dict[str, Any]) -> Html:
    layers = report["layers"]
    has_synthesis = any(layer["synthesized"] is not None for layer in layers)
    panels, unused = [], []
    for key in _LAYER_RESOURCES:
        title = tx.RESOURCE_TITLES[key]
        amounts = [
            [layer["predicted"][key]]
            + ([(layer["synthesized"] or {}).get(key)] if has_synthesis else [])
            for layer in layers
        ]
        most = max((a for row in amounts for a in row if a is not None), default=0)
        if not most:
            unused.append(title)
            continue
        rows = [
            Row(
                tx.clean(layer["name"]),
                [Bar((a or 0) / most, style) for a, style in zip(row, ("pale", "main"))],
                " → ".join(map(tx.number, row)),
            )
            for layer, row in zip(layers, amounts, strict=True)
        ]
        panels.append(element("div", element("h3", title), bar_chart(f"{title} by layer", rows)))
    known = [("pale", "predicted")] + ([("main", "synthesized")] if has_synthesis else [])
    note = f"Not used by any layer: {', '.join(unused)}." if unused else ""
    return _section(
        "Resources of each layer", legend(*known), element("div", *panels, class_="columns"),
        element("p", note, class_="after") if note else "",
    )


def _layer_table(report: dict[str, Any]) -> Html:
    layers = report["layers"]
    slowest = max((layer["cycles"] for layer in layers), default=0)
    heads = [
        ("Layer", ""), ("Kind", ""), ("PE×SIMD", "num"), ("Operand", ""), ("Result", ""),
        ("Weights", "num"), ("MACs", "num"), ("Requantizer", ""), ("Cycles", "num"),
        ("FIFO", "num"), ("LUT", "num"), ("FF", "num"), ("BRAM", "num"), ("DSP", "num"),
    ]
    rows = [
        element("tr", *_layer_cells(layer), class_="slow" if layer["cycles"] == slowest else None)
        for layer in layers
    ]
    table = element(
        "table",
        element("thead", element("tr", *(
            element("th", name, scope="col", class_=style or None) for name, style in heads
        ))),
        element("tbody", *rows),
    )
    source = "as synthesized" if _is_synthesized(layers) else "as predicted"
    return _section(
        "Layers",
        element("div", table, class_="scroll", role="region", tabindex="0", aria_label="Layers"),
        element("p", f"Resources {source}.", class_="after"),
    )


def _is_synthesized(layers: list[dict[str, Any]]) -> bool:
    return any(layer["synthesized"] is not None for layer in layers)


def _layer_cells(layer: dict[str, Any]) -> list[Html]:
    def num(value: str) -> Html:
        return element("td", value, class_="num")

    kind = layer["kind"] if layer["kind"] == "dense" else " ".join(
        filter(None, (layer["kind"], layer["window"]))
    )
    used = layer["synthesized"] or layer["predicted"]
    operand, result = layer["operands"][0], layer["result"]
    weights = f"{layer['weights']:,} × {layer['weight_bits']} bit" if layer["weights"] else "–"
    depth = layer["fifo_depth"]
    if layer["branches"]:
        depth_text = ", ".join(str(branch["fifo_depth"]) for branch in layer["branches"])
    else:
        depth_text = tx.number(depth)
    folding = tx.UNKNOWN if layer["pe"] is None else f"{layer['pe']}×{layer['simd']}"
    return [
        element("td", tx.clean(layer["name"]), element("small", tx.clean(layer["source"]))),
        element("td", kind),
        num(folding),
        *(element("td", f"{tx.shape(s['shape'])} {s['type']}",
                  element("small", f"{s['beats']:,} beats of {s['lanes']}"))
          for s in (operand, result)),
        num(weights),
        num(tx.number(layer["macs"]) if layer["macs"] else tx.UNKNOWN),
        element("td", tx.requantizer(layer["requantizer"]), class_="wrap"),
        num(tx.number(layer["cycles"])),
        num(depth_text),
        *(num(tx.number(used[key])) for key in _LAYER_RESOURCES),
    ]


def _interface(report: dict[str, Any]) -> Html:
    items: list[Html] = []
    for title, prefix, port in (
        ("Input", "s_axis", report["input"]), ("Output", "m_axis", report["output"]),
    ):
        items += [
            element("dt", title),
            element(
                "dd", element("code", tx.clean(port["name"])),
                f" {tx.shape(port['model_shape'])}, {port['type']}; {port['beats']:,} beats of "
                f"{port['lanes']} × {port['width']} bit on ",
                element("code", f"{prefix}_tdata[{port['tdata_bits'] - 1}:0]"),
            ),
        ]
    items += [
        element("dt", "Clock"), element("dd", element("code", "clk"), ", rising edge"),
        element("dt", "Reset"), element("dd", element("code", "rst"), ", synchronous, active high"),
    ]
    return _section("Interface", element("dl", *items))


def _stages(report: dict[str, Any]) -> Html:
    rows = [
        element(
            "tr",
            element("td", stage["name"]),
            element("td", _pill(stage["status"], _STATUS_PILLS[stage["status"]])),
            element("td", tx.UNKNOWN if stage["seconds"] is None else f"{stage['seconds']:.1f} s",
                    class_="num"),
            element("td", tx.clean(stage["detail"]), class_="wrap"),
        )
        for stage in report["stages"]
    ]
    if not rows:
        return _section("Stages", element("p", f"Reached: {report['stage']}."))
    head = element("thead", element("tr", *(
        element("th", name, scope="col", class_=style)
        for name, style in (("Stage", None), ("Status", None), ("Time", "num"), ("", None))
    )))
    table = element("table", head, element("tbody", *rows))
    return _section("Stages", element("div", table, class_="scroll"))


def _files(report: dict[str, Any]) -> Html:
    return _list("Files", [element("code", tx.clean(name)) for name in report["files"]])


def _tools(report: dict[str, Any]) -> Html:
    return _list(
        "Tools", [join(f"{tx.clean(n)} {tx.clean(v)}") for n, v in report["tools"].items()]
    )


def _notes(report: dict[str, Any]) -> Html:
    notes = [join(tx.clean(note)) for note in report["notes"]]
    if report["uncounted_cells"]:
        cells = ", ".join(f"{n} {tx.clean(k)}" for k, n in report["uncounted_cells"].items())
        notes.append(join(f"Cells that no resource figure counts: {cells}."))
    return _list("Notes", notes) if notes else Html("")


def _list(title: str, items: list[Html]) -> Html:
    if not items:
        return _section(title, element("p", "None.", class_="legend"))
    return _section(title, element("ul", *(element("li", i) for i in items), class_="plain"))


def _footer(report: dict[str, Any]) -> Html:
    digest = report["model"]["sha256"]
    line = f"nn2rtl {report['nn2rtl'] or '(version unknown)'}"
    if digest:
        line += f" · model SHA-256 {tx.clean(digest)}"
    return element("footer", element("code", line))
