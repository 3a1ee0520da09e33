"""The page, parsed as a browser would."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest

from nn2rtl.report.element import Html, element, join
from nn2rtl.report.html import html_report

VOID = {"meta", "rect", "br"}


class Page(HTMLParser):
    """Tags, attributes and text; fails on tags that are not closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_element_escapes_text_and_attributes() -> None:
    made = element("p", "<i>", Html("<b>x</b>"), title='"', aria_label="&")
    assert made == '<p title="&quot;" aria-label="&amp;">&lt;i&gt;<b>x</b></p>'
    assert join("<", Html("<br>")) == "&lt;<br>"


@pytest.mark.parametrize("name", ["residual", "classifier", "image", "bare"])
def test_all_layers_are_there(reports: dict[str, dict[str, Any]], name: str) -> None:
    page = Page(html_report(reports[name]))
    for layer in reports[name]["layers"]:
        # In the table, the chart of cycles and at least one of resources.
        assert page.text.count(layer["name"]) >= 3


def test_hostile_names_stay_text(reports: dict[str, dict[str, Any]]) -> None:
    plain, hostile = (Page(html_report(reports[name])) for name in ("residual", "hostile"))
    assert hostile.tags == plain.tags
    assert "</script><b>$(rm -rf ~)`|" in hostile.text
    assert "\x1b" not in hostile.text


def test_nothing_is_loaded_or_run(reports: dict[str, dict[str, Any]]) -> None:
    page = Page(html_report(reports["hostile"]))
    assert not {"script", "link", "img", "iframe", "object", "a"} & set(page.tags)
    keys = {key for key, _ in page.attributes}
    assert not {"src", "href", "style"} & keys
    assert not any(key.startswith("on") for key in keys)
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in page.attributes


def test_failures_are_told(wrong: dict[str, Any], reports: dict[str, dict[str, Any]]) -> None:
    text = Page(html_report(wrong)).text
    assert "3 of 100 inferences differ from the model" in text
    assert "timing not met" in text
    assert "not simulated" in Page(html_report(reports["bare"])).text
    assert "100 of 100 inferences bit-exact" in Page(html_report(reports["residual"])).text
