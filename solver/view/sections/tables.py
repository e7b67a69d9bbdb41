"""Tables of a page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from solver.view.markup import Child, Markup, tag

#: Characters from which on a cell may wrap.
LONG = 36


def table(heads: Sequence[str], rows: Iterable[Sequence[Child]], caption: str = "") -> Markup:
    """A table in a box that scrolls where the page is narrow; the first cell of a row is its heading."""
    head = tag("thead", tag("tr", (tag("th", name, scope="col") for name in heads)))
    body = tag("tbody", (_row(row) for row in rows))
    label = caption or heads[0]
    titled = tag("caption", caption) if caption else None
    return tag("div", tag("table", titled, head, body), class_="scroll", tabindex=0, role="region", aria_label=label)


def _row(cells: Sequence[Child]) -> Markup:
    return tag("tr", tag("th", cells[0], scope="row"), (tag("td", cell, class_=_width(cell)) for cell in cells[1:]))


def _width(cell: Child) -> str | None:
    """Long text wraps; everything else stays on one line."""
    return "long" if isinstance(cell, str) and not isinstance(cell, Markup) and len(cell) > LONG else None
