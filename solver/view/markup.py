"""HTML and SVG as text; whatever is not markup already is escaped on its way in."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

#: Elements that never have content; in SVG, those that have none here.
EMPTY = frozenset({"meta", "link", "br", "wbr", "input", "rect", "path", "line", "circle", "use"})
#: Characters that no XML file may hold.
_FORBIDDEN = re.compile("[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\ud800-\\udfff\\ufffe\\uffff]")


class Markup(str):
    """Text that is markup already, and is taken as it is."""

    __slots__ = ()


Child = str | int | None | Iterable["Child"]
Attribute = str | int | float | bool | None


def tag(name: str, /, *children: Child, **attributes: Attribute) -> Markup:
    """An element.

    Parameters
    ----------
    children: markup as it is, other text escaped, None left out, iterables in order.
    attributes: ``class_`` becomes ``class`` and ``data_rank`` becomes ``data-rank``; None and False are left out, True
        stands for an attribute without a value.

    >>> tag("p", "a < b", class_="note", hidden=True)
    '<p class="note" hidden>a &lt; b</p>'
    """
    head = name + "".join(_attribute(key, value) for key, value in attributes.items())
    if not children and name in EMPTY:
        return Markup(f"<{head}/>")
    return Markup(f"<{head}>{join(children)}</{name}>")


def join(children: Child) -> Markup:
    """Children one after the other."""
    if children is None:
        return Markup("")
    if isinstance(children, Markup):
        return children
    if isinstance(children, str | int):
        return Markup(_safe(str(children), quote=False))
    return Markup("".join(join(child) for child in children))


def number(value: float) -> str:
    """A coordinate: two decimals at most.

    >>> number(3.0), number(2.345)
    ('3', '2.35')
    """
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _attribute(key: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    if value is True:
        return f" {name}"
    text = number(value) if isinstance(value, float) else str(value)
    return f' {name}="{_safe(text)}"'


def legible(text: str) -> str:
    """The text with a replacement for every character that no XML file may hold.

    >>> legible("decode\\x01")
    'decode\ufffd'
    """
    return _FORBIDDEN.sub("\ufffd", text)


def _safe(text: str, quote: bool = True) -> str:
    return escape(legible(text), quote)
