"""Predicted against measured, log-log, one panel for TPOT, one for TTFT, one for throughput."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from solver.errors import BadFile
from solver.study.fidelity.report import QUANTITIES, FidelityReport, measured_by_quantity

_TITLES = {"tpot": "TPOT [ms]", "ttft": "TTFT [ms]", "throughput": "output tokens/s per device"}


def save(found: FidelityReport, path: str) -> None:
    """Write the chart as .svg, .png, .html or .json.

    Raises
    ------
    BadFile: another suffix, or a place that cannot be written.
    """
    if Path(path).suffix not in (".svg", ".png", ".html", ".json"):
        raise BadFile(f"{path}: a chart is written as .svg, .png, .html or .json")
    try:
        chart(found).save(path)
    except OSError as error:
        raise BadFile(f"{path}: cannot be written: {error.strerror}") from None


def chart(found: FidelityReport) -> Any:
    """The chart, for notebooks (an ``altair.HConcatChart``)."""
    import altair as alt

    panels = [_panel(alt, found, quantity) for quantity in QUANTITIES if found.overall[quantity].runs]
    return alt.hconcat(*panels).resolve_scale(color="shared").configure_view(stroke=None)


def _panel(alt: Any, found: FidelityReport, quantity: str) -> Any:
    known = measured_by_quantity(found.runs)[quantity]
    predicted = found.predicted[quantity]
    there = np.flatnonzero(np.isfinite(known) & np.isfinite(predicted))
    rows = [
        {
            "measured": float(known[i]),
            "predicted": float(predicted[i]),
            "LLM": found.runs.runs[i].llm,
            "run": found.runs.runs[i].id,
        }
        for i in there
    ]
    ends = [
        float(min(known[there].min(), predicted[there].min())),
        float(max(known[there].max(), predicted[there].max())),
    ]
    scale = alt.Scale(type="log", domain=ends, nice=False)
    title = _TITLES[quantity]
    dots = (
        alt.Chart(alt.Data(values=rows))
        .mark_circle(size=18, opacity=0.45)
        .encode(
            x=alt.X("measured:Q", scale=scale, title=f"measured {title}"),
            y=alt.Y("predicted:Q", scale=scale, title=f"predicted {title}"),
            color=alt.Color("LLM:N", scale=alt.Scale(scheme="tableau10")),
            tooltip=["run:N", "LLM:N", "measured:Q", "predicted:Q"],
        )
    )
    line = (
        alt.Chart(alt.Data(values=[{"x": end, "y": end} for end in ends]))
        .mark_line(color="gray", strokeDash=[4, 3])
        .encode(x=alt.X("x:Q", scale=scale), y=alt.Y("y:Q", scale=scale))
    )
    error = found.overall[quantity]
    return (line + dots).properties(
        width=300, height=300, title=f"{title}: MAPE {error.mape:.1%}, median {error.median:.1%}"
    )
