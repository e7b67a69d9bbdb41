"""Lines of one chart, as a picture of a few curves has them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from solver.view.chart_parts import altair, log_axis

WIDTH, HEIGHT = 560, 340
#: Okabe and Ito's colours, and dashes, so that lines are told apart without either.
COLOURS = ("#0072B2", "#009E73", "#D55E00", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ((1, 0), (6, 3), (2, 3), (8, 2, 2, 2), (4, 4), (1, 3), (10, 4))
#: Points that are labelled where they lie.
FEW = 6

Series = Mapping[str, Sequence[tuple[float, float | None]]]


def lines(series: Series, title: str, x: str, y: str, logarithmic: bool = True) -> Any:
    """Curves by name as an ``altair`` chart; a notebook shows it as it is.

    Parameters
    ----------
    series: points (x, y) of every curve; those without y are left out.
    x, y: titles of the axes, with units.
    logarithmic: both axes.
    """
    alt = altair()
    rows = [
        {"x": place, "y": value, "line": name, "order": order}
        for name, points in series.items()
        for order, (place, value) in enumerate(points)
        if value is not None
    ]
    # Room around the lines, so that none lies on an axis.
    kind = alt.Scale(type="log", nice=False, padding=14) if logarithmic else alt.Scale(zero=False, padding=14)
    axis = log_axis() if logarithmic else alt.Axis(format=",~r", tickCount=7)
    places = {place for points in series.values() for place, value in points if value is not None}
    across = log_axis(places) if logarithmic and len(places) <= FEW else axis
    names, count = list(series), len(series)
    legend = alt.Legend(orient="bottom", columns=2, labelLimit=320, symbolType="stroke", symbolSize=500)
    return (
        alt.Chart(alt.Data(values=rows), title=title, width=WIDTH, height=HEIGHT)
        .mark_line(strokeWidth=2.2, point=alt.OverlayMarkDef(size=24))
        .encode(
            x=alt.X("x:Q", title=x, scale=kind, axis=across),
            y=alt.Y("y:Q", title=y, scale=kind, axis=axis),
            order="order:Q",
            color=alt.Color("line:N", title=None, scale=_scale(names, COLOURS[:count]), legend=legend),
            strokeDash=alt.StrokeDash("line:N", title=None, scale=_scale(names, DASHES[:count])),
        )
    )


def svg(chart: Any) -> str:
    """A chart as a file of its own."""
    import vl_convert

    return str(vl_convert.vegalite_to_svg(json.dumps(chart.to_dict())))


def _scale(names: Sequence[str], values: Sequence[Any]) -> Any:
    return altair().Scale(domain=list(names), range=[list(v) if isinstance(v, tuple) else v for v in values])
