"""The page of a sweep: its points, the cheapest first."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from solver.study.grid import Grid, Point
from solver.view.amounts import percent, usd
from solver.view.html import document
from solver.view.markup import Child, Markup, join, tag
from solver.view.sections.tables import table
from topologies.units import show_seconds

COST = "usd_per_million_output_tokens"
#: Width of the dearest point's bar [em].
BAR = 10


def page(grid: Grid, rows: Sequence[Point]) -> str:
    """A page that compares the points; a longer bar costs more. It needs nothing else."""
    ranked = sorted(rows, key=lambda row: row.get(COST, float("inf")))
    most = max((row[COST] for row in rows if COST in row), default=0.0)
    solved = sum(COST in row for row in rows)
    heading = f"{len(rows)} points over {' and '.join(grid.axes) or 'no axis'}"
    heads = (
        *map(_name, grid.axes),
        "USD per million output tokens",
        "gap",
        "TTFT p95",
        "TPOT p95",
        "devices",
        "layout or reason",
    )
    order = f" The cheapest comes first; bars start at $0, the longest is the dearest, {usd(most)}." if solved else ""
    told = f"{solved} of them have a plan.{order}"
    return document(
        heading,
        tag(
            "section",
            tag("h1", heading),
            tag("p", told, class_="verdict"),
            table(heads, (tuple(_cells(grid, row, most)) for row in ranked), "Points"),
        ),
    )


def _name(axis: str) -> Markup:
    """A path that may break between its parts."""
    return Markup(tag("wbr").join(join(part) for part in re.split(r"(?<=[._])", axis)))


def _cells(grid: Grid, row: Point, most: float) -> Iterator[Child]:
    yield from (str(row.get(axis, "")) for axis in grid.axes)
    if COST not in row:
        yield from ("no plan", "", "", "", "", str(row.get("reason", "")))
        return
    yield Markup(tag("span", usd(row[COST])) + _bar(row[COST] / most if most else 0.0))
    yield percent(row["gap"])
    yield show_seconds(row["ttft_p95_s"])
    yield show_seconds(row["tpot_p95_s"])
    yield str(row["devices"])
    yield str(row["layout"])


def _bar(share: float) -> Markup:
    return tag("span", "", style=f"display:block;height:4px;background:#0072B2;width:{BAR * share:.2f}em")
