"""Cost against speed as a drawing: the best layout of every speed, what none can beat, and the pure rooflines beneath."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from solver.view.chart_parts import altair, log_axis

WIDTH, HEIGHT = 560, 340
#: Okabe and Ito's colours, and dashes, so that lines are told apart without either.
LINES = (
    ("usd", "best layout of each speed", "#0072B2", (1, 0)),
    ("bound", "no layout costs less", "#009E73", (6, 3)),
    ("roofline", "pure rooflines", "#D55E00", (2, 3)),
)


class Spot(NamedTuple):
    """One speed: USD per million output tokens of the best layout, of the bound and of the rooflines; None = nothing."""

    tokens_per_s: float
    usd: float | None
    bound: float | None
    roofline: float | None


def svg(spots: Sequence[Spot], title: str) -> str:
    """The chart as a file of its own."""
    import vl_convert

    return str(vl_convert.vegalite_to_svg(json.dumps(_chart(spots, title).to_dict())))


def _chart(spots: Sequence[Spot], title: str) -> Any:
    alt = altair()
    rows = [
        {"speed": spot.tokens_per_s, "cost": getattr(spot, field), "line": name}
        for field, name, _, _ in LINES
        for spot in spots
        if getattr(spot, field) is not None
    ]
    names, colours, dashes = ([line[i] for line in LINES] for i in (1, 2, 3))
    base = alt.Chart(alt.Data(values=rows), title=title, width=WIDTH, height=HEIGHT).encode(
        x=alt.X("speed:Q", title="output tokens/s of each user", scale=alt.Scale(type="log"), axis=log_axis()),
        y=alt.Y("cost:Q", title="USD per million output tokens", scale=alt.Scale(type="log"), axis=log_axis()),
        color=alt.Color("line:N", title=None, scale=alt.Scale(domain=names, range=colours), legend=_legend(alt)),
        strokeDash=alt.StrokeDash("line:N", title=None, scale=alt.Scale(domain=names, range=dashes)),
    )
    dots = base.transform_filter(alt.datum.line == names[0]).mark_point(filled=True, size=40)
    return base.mark_line(strokeWidth=2.2) + dots


def _legend(alt: Any) -> Any:
    return alt.Legend(orient="top-left", labelLimit=300)
