"""Charts side by side on a page, at a size that stays readable."""

from __future__ import annotations

import re
from collections.abc import Sequence

from solver.view.charts import to_svg
from solver.view.markup import Markup, tag

#: A chart is not shown smaller than this part of its own size; a narrower page scrolls it.
SMALLEST = 0.9
#: What a telephone has room for [px]: wider charts scroll there, and can be reached by keyboard to do so.
TELEPHONE = 340
#: From here on a chart is too wide for three in a row [px].
WIDE = 380


def chart_row(charts: Sequence[object], name: str) -> Markup:
    """Charts in rows of two or three, so that none is left over.

    Parameters
    ----------
    name: what the names inside the charts begin with; each row on a page has its own.
    """
    drawn = [to_svg(chart, f"{name}{number}-") for number, chart in enumerate(charts)]
    least = [round(SMALLEST * _width(svg)) for svg in drawn]
    # Three small charts fill a row; four, and wide ones, stand two by two.
    across = 1 if len(drawn) == 1 else 3 if max(least) < WIDE and len(drawn) != 4 else 2
    return tag("div", map(_figure, drawn, least), class_=f"charts across{across}")


def _width(svg: str) -> float:
    """Width that a chart was drawn with [px]."""
    found = re.search(r'<svg[^>]* width="([\d.]+)"', svg)
    return float(found[1]) if found else 0.0


def _figure(svg: str, least: int) -> Markup:
    scrolls = least > TELEPHONE
    return tag("figure", Markup(svg), class_="scroll", tabindex=0 if scrolls else None, style=f"--least:{least}px")
