"""A replay as charts on one page that needs nothing else: latencies, queues, batches and caches."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

from solver.simulate.report import ReplayReport
from topologies.writing import write_file

#: Okabe and Ito's hues without yellow, told apart by all common kinds of colour vision (jfly, 2008).
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
DASHES = ([1, 0], [6, 3], [2, 2], [8, 2, 2, 2])
FEW_TICKS = {"tickCount": 12}
_SIZE = {"width": 620, "height": 200}
#: Charts keep their size, so that they can be read, and scroll where the window is narrower, which is said beneath them.
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Replay of a plan</title>
<style>body{{font:15px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}}
pre{{overflow-x:auto;background:#f3f5f7;padding:1rem}}figure{{margin:1rem 0;overflow-x:auto}}svg{{display:block;max-width:none}}
@media (max-width:52rem){{figure::after{{content:"scrolls sideways \\2192";position:sticky;left:0}}}}
@media print{{figure{{overflow:visible;break-inside:avoid}}figure::after{{content:none}}}}
@media print{{svg{{max-width:100%;height:auto}}}}</style></head>
<body><h1>Replay of a plan</h1><pre>{text}</pre>{figures}</body></html>
"""


def save(report: ReplayReport, path: Path) -> None:
    """Write the page.

    Raises
    ------
    BadInput: it cannot be written.
    """
    import vl_convert

    figures = "".join(f'<figure tabindex="0">{vl_convert.vegalite_to_svg(chart)}</figure>' for chart in charts(report))
    write_file(path, _PAGE.format(text=html.escape(str(report)), figures=figures))


def charts(report: ReplayReport) -> list[dict[str, Any]]:
    """Vega-Lite charts of a replay."""
    samples = report.samples
    series: dict[str, tuple[Any, str]] = {
        "Requests that wait, by pool": (samples.waiting, "requests"),
        "Requests in service, by pool": (samples.running, "requests"),
        "KV cache in use, by pool": (samples.stored, "share"),
    }
    found = [_latency(report, figure, name) for figure, name in (("ttft", "first token"), ("tpot", "output token"))]
    found += [_over_time(title, samples.time_s, values, unit) for title, (values, unit) in series.items()]
    return [*found, _batches(report)]


def _spec(title: str, rows: list[dict[str, Any]], **parts: Any) -> dict[str, Any]:
    return {
        "title": title,
        **_SIZE,
        "data": {"values": rows},
        "config": {"range": {"category": list(COLOURS)}, "axis": {"labelFlush": False, "labelOverlap": True}},
        **parts,
    }


def _latency(report: ReplayReport, figure: str, name: str) -> dict[str, Any]:
    """Share of the requests within a time; a dot marks the 95th percentile that the plan predicts."""
    word, unit, factor = ("per", "ms", 1e3) if figure == "tpot" else ("to", "s", 1.0)
    rows: list[dict[str, Any]] = [
        {"class": of, "time": seconds * factor, "share": place / (len(values[figure]) - 1)}
        for of, values in report.distributions.items()
        for place, seconds in enumerate(values[figure])
    ]
    marks = [
        {"class": of, "time": report.predicted[of][f"{figure}_p95_s"] * factor, "share": 0.95}
        for of in report.distributions
    ]
    x = {"field": "time", "type": "quantitative", "title": f"time {word} {name} [{unit}]", "axis": FEW_TICKS}
    y = {"field": "share", "type": "quantitative", "title": "share of requests", "axis": {"format": "%"}}
    colour = {"field": "class", "type": "nominal"}
    dash = {"field": "class", "type": "nominal", "scale": {"range": list(DASHES)}}
    return _spec(
        f"Requests whose {name} is within a time; dots: the predicted 95th percentile",
        [row for row in rows if row["time"] > 0],
        layer=[
            {"mark": "line", "encoding": {"x": x, "y": y, "color": colour, "strokeDash": dash}},
            {
                "data": {"values": marks},
                "mark": {"type": "point", "filled": True, "size": 70},
                "encoding": {"x": x, "y": y, "color": colour, "strokeDash": dash},
            },
        ],
    )


def _over_time(title: str, times: list[float], by_pool: Any, unit: str) -> dict[str, Any]:
    rows = [
        {"pool": pool, "seconds": time, "value": value}
        for pool, values in by_pool.items()
        for time, value in zip(times, values, strict=True)
    ]
    axis = {"axis": {"format": "%"}} if unit == "share" else {}
    encoding = {
        "x": {"field": "seconds", "type": "quantitative", "title": "time [s]", "axis": FEW_TICKS},
        "y": {"field": "value", "type": "quantitative", "title": unit, **axis},
        "color": {"field": "pool", "type": "nominal"},
        "strokeDash": {"field": "pool", "type": "nominal", "scale": {"range": list(DASHES)}},
    }
    return _spec(title, rows, mark="line", encoding=encoding)


def _batches(report: ReplayReport) -> dict[str, Any]:
    rows = [
        {"pool": pool.name, "sequences": size, "share": share}
        for pool in report.pools
        if pool.role != "prefill"
        for size, share in pool.batches.items()
    ]
    encoding = {
        "x": {
            "field": "sequences",
            "type": "quantitative",
            "title": "running sequences of a rank",
            "bin": {"maxbins": 60},
        },
        "y": {
            "field": "share",
            "aggregate": "sum",
            "type": "quantitative",
            "title": "share of the busy time",
            "stack": None,
            "axis": {"format": "%"},
        },
        "color": {"field": "pool", "type": "nominal"},
    }
    return _spec("Batches, by share of the busy time", rows, mark={"type": "bar", "opacity": 0.7}, encoding=encoding)
