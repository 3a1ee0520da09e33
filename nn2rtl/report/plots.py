"""Bar charts in inline SVG.

Labels are HTML next to the bars, so that text keeps its size on narrow screens; the bars' extents
are percentages of whatever width is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nn2rtl.report.element import Html, element, join


@dataclass(frozen=True)
class Bar:
    """One bar: its length from 0 to 1, and its CSS class."""

    share: float
    style: str


@dataclass(frozen=True)
class Row:
    """Bars under a label, with their values as text."""

    label: str
    bars: Sequence[Bar]
    value: str
    note: str = ""


BAR_HEIGHT, GAP = 9, 3


def bar_chart(title: str, rows: Sequence[Row]) -> Html:
    """Rows of a label, horizontal bars and a value, as a list."""
    items = [
        element(
            "li",
            element(
                "span", row.label, element("small", row.note) if row.note else "", class_="label"
            ),
            _bars(row),
            element("span", row.value, class_="value"),
        )
        for row in rows
    ]
    return element("ul", *items, class_="bars", aria_label=title)


def _bars(row: Row) -> Html:
    height = len(row.bars) * (BAR_HEIGHT + GAP) - GAP
    parts = []
    for index, bar in enumerate(row.bars):
        y = index * (BAR_HEIGHT + GAP)
        share = min(max(bar.share, 0.0), 1.0)
        # A bar of something that is there stays visible.
        width = f"{max(100 * share, 0.4):.2f}%" if share else "0"
        parts.append(
            element("rect", x="0", y=y, width="100%", height=BAR_HEIGHT, rx=2, class_="track")
        )
        parts.append(
            element("rect", x="0", y=y, width=width, height=BAR_HEIGHT, rx=2, class_=bar.style)
        )
    return element(
        "svg", join(*parts), role="img", aria_label=f"{row.label}: {row.value}",
        width="100%", height=height,
    )


def legend(*entries: tuple[str, str]) -> Html:
    """Names of CSS classes of bars."""
    return element(
        "p",
        *(
            element(
                "span",
                element("svg", element("rect", width=10, height=10, rx=2, class_=style),
                        width=10, height=10, aria_hidden="true"),
                name,
            )
            for style, name in entries
        ),
        class_="legend",
    )
