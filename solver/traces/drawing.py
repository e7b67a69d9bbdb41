"""A summary as charts, for HTML."""

from __future__ import annotations

from typing import Any

from solver.traces.groups import Kind
from solver.traces.summary import TraceSummary, TrafficClass

#: Okabe and Ito's colours without yellow, told apart by all common kinds of colour vision (jfly, 2008).
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000", "#999999")
#: Bars of the length charts in each factor of ten.
PER_DECADE = 10
_WIDTH, _HEIGHT = 640, 180


def charts(summary: TraceSummary, count: int | str = "auto") -> Any:
    """Arrival rate over time, lengths on log axes, and survival of idle KV, as one ``altair.VConcatChart``.

    The survival chart is left out where the trace tells of no reuse; lines differ in dash as well as in colour.
    """
    import altair as alt

    found = summary.classes(count)
    rows = [_rate_chart(alt, summary, found), _length_chart(alt, found)]
    if summary.tells_reuse:
        rows.append(_survival_chart(alt, summary))
    title = f"{summary.source}: {summary.requests:,} requests"
    return alt.vconcat(*rows, title=title).resolve_scale(color="independent", strokeDash="independent")


def _rate_chart(alt: Any, summary: TraceSummary, found: tuple[TrafficClass, ...]) -> Any:
    width_s = (summary.timing.span_s or 1.0) / len(summary.whole.timeline)
    rows = [
        {"time_s": place * width_s, "rate": int(arrivals) / width_s, "class": one.name}
        for one in found
        for place, arrivals in enumerate(one.group.timeline)
    ]
    return (
        alt.Chart(alt.Data(values=rows), title="Arrivals", width=_WIDTH, height=_HEIGHT)
        .mark_area(interpolate="step-after")
        .encode(
            x=alt.X("time_s:Q", title="time [s]", scale=alt.Scale(nice=False)),
            y=alt.Y("rate:Q", title="requests/s", stack="zero"),
            color=_colour(alt, [one.name for one in found]),
            tooltip=["class:N", alt.Tooltip("time_s:Q", format=",.0f"), alt.Tooltip("rate:Q", format=".3g")],
        )
    )


def _length_chart(alt: Any, found: tuple[TrafficClass, ...]) -> Any:
    both = [_one_length_chart(alt, found, which) for which in ("prompt", "output")]
    return alt.hconcat(*both)


def _one_length_chart(alt: Any, found: tuple[TrafficClass, ...], which: str) -> Any:
    rows = _length_bars(found, which)
    return (
        alt.Chart(alt.Data(values=rows), title=f"{which.capitalize()} length", width=_WIDTH // 2 - 30, height=_HEIGHT)
        .mark_rect()
        .encode(
            x=_log_axis(alt, "low", "tokens"),
            x2="high:Q",
            y=alt.Y("bottom:Q", title="share of requests", axis=alt.Axis(format="%")),
            y2="top:Q",
            color=_colour(alt, [one.name for one in found]),
            tooltip=["class:N", alt.Tooltip("low:Q", format=",.0f"), alt.Tooltip("share:Q", format=".2%")],
        )
    )


def _length_bars(found: tuple[TrafficClass, ...], which: str) -> list[dict[str, Any]]:
    """Bars of a stacked histogram over log bins, the classes on top of one another."""
    total = max(1, sum(one.group.requests for one in found))
    top: dict[float, float] = {}
    rows = []
    for one in found:
        for low, high, part in getattr(one.group.content, which).histogram.grouped(PER_DECADE):
            share, bottom = part * one.group.requests / total, top.get(low, 0.0)
            top[low] = bottom + share
            rows.append(
                {"low": low, "high": high, "bottom": bottom, "top": top[low], "share": share, "class": one.name}
            )
    return rows


def _log_axis(alt: Any, field: str, title: str) -> Any:
    """A log axis without rounding, labelled at powers of ten."""
    axis = alt.Axis(values=[10**power for power in range(-1, 10)], format=",~g", grid=True)
    return alt.X(f"{field}:Q", scale=alt.Scale(type="log", nice=False), title=title, axis=axis)


def _survival_chart(alt: Any, summary: TraceSummary) -> Any:
    kinds: tuple[Kind, ...] = ("all", "private", "shared")
    rows = [
        {"age_s": age, "share": share, "tokens": kind}
        for kind in kinds
        if (survival := summary.whole.survival(kind))
        for age, share in survival.to_plain()
    ]
    return (
        alt.Chart(alt.Data(values=rows), title="KV not used again", width=_WIDTH, height=_HEIGHT)
        .mark_line(point=True)
        .encode(
            x=_log_axis(alt, "age_s", "idle for [s]"),
            y=alt.Y("share:Q", title="share of tokens", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%")),
            color=_colour(alt, kinds, "tokens"),
            strokeDash=alt.StrokeDash("tokens:N", title="tokens", scale=alt.Scale(domain=list(kinds))),
            tooltip=["tokens:N", alt.Tooltip("age_s:Q", format=",.3g"), alt.Tooltip("share:Q", format=".1%")],
        )
    )


def _colour(alt: Any, names: tuple[str, ...] | list[str], field: str = "class") -> Any:
    return alt.Color(f"{field}:N", title=field, scale=alt.Scale(domain=list(names), range=list(COLOURS)))
