"""HTML elements whose text is escaped unless it is HTML already."""

from __future__ import annotations

from html import escape


class Html(str):
    """Finished HTML; any other string that becomes a child or an attribute is escaped."""

    __slots__ = ()


_VOID = frozenset({"meta", "rect", "br"})


def element(name: str, /, *children: str, **attributes: str | float | None) -> Html:
    """An element.

    Parameters
    ----------
    name : str
        Tag name.
    *children : str
        Content; a plain string is text and gets escaped.
    **attributes : str or number
        A trailing underscore is dropped (``class_``), others become hyphens; None leaves the
        attribute out.
    """
    words = [name]
    for key, value in attributes.items():
        if value is not None:
            words.append(f'{key.rstrip("_").replace("_", "-")}="{escape(str(value))}"')
    opening = f"<{' '.join(words)}>"
    if name in _VOID:
        return Html(opening if name != "rect" else opening[:-1] + "/>")
    return Html(f"{opening}{join(*children)}</{name}>")


def join(*children: str) -> Html:
    """Children in a row."""
    return Html("".join(c if isinstance(c, Html) else escape(c) for c in children))
