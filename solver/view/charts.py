"""Charts for the page, for papers and for notebooks: what a pool would do at other loads, and why.

Each function returns an ``altair`` chart. Text and axes are drawn in ``currentColor``, so that a chart follows the theme of
the page around it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, Literal

from solver.plan import Plan
from solver.view.amounts import percent, usd
from solver.view.chart_parts import (
    ACCENT,
    INK,
    LINE,
    altair,
    data,
    finished,
    line,
    load_axis,
    log_axis,
    planned,
    planned_point,
    promise,
)
from solver.view.curves import Curve, OperatingPoint
from solver.view.markup import legible
from solver.view.palette import KINDS
from topologies.units import show_seconds

Measure = Literal["ttft", "tpot"]

NAMES = {"ttft": "time to first token", "tpot": "time per output token"}
PARTS = ("compute", "memory", "network", "overhead")
PART_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#8A939C")
PART_DASHES = ([1, 0], [6, 2], [2, 2], [8, 2, 2, 2])
#: The ledger of a rank, and its colours.
MEMORY = ("weights", "KV cache", "idle KV", "activations", "buffers", "reserve")
MEMORY_COLOURS = ("#0072B2", "#56B4E9", "#009E73", "#E69F00", "#CC79A7", "#8A939C")
#: The plan among its rivals.
OURS = "this plan"
#: Width and height of the charts that show all pools.
WIDE = (480, 240)
#: Labels beside points: how far from them, how wide a letter and how high a line is taken to be.
BESIDE, LETTER, LINE_HEIGHT = 10.0, 5.8, 12.0


def to_svg(chart: Any, prefix: str = "") -> str:
    """A chart as SVG on no ground, so that it suits a page of either theme; the same chart gives the same text.

    Parameters
    ----------
    prefix: what the names of its elements begin with, so that charts on one page do not meddle with each other.
    """
    import vl_convert

    numbers: dict[str, str] = {}
    svg = str(vl_convert.vegalite_to_svg(_legible(chart.to_dict(validate=False))))
    return _NAMES.sub(lambda name: name[1] + numbers.setdefault(name[2], f"{prefix}clip{len(numbers)}"), svg)


#: Where an SVG gives or uses the name of a clip path; the renderer counts them over all that it ever drew.
_NAMES = re.compile(r'(\bid="|url\(#)(clip\d+)')


def _legible(part: Any) -> Any:
    """A chart's description without characters that make the renderer end the process, such as control characters."""
    if isinstance(part, str):
        return legible(part)
    if isinstance(part, dict):
        return {key: _legible(value) for key, value in part.items()}
    return [_legible(value) for value in part] if isinstance(part, list) else part


def latency_chart(curve: Curve, measure: Measure) -> Any:
    """A latency of the class nearest to its promise, by the statistic that was promised, against the load, and the planned
    point."""
    alt = altair()
    nearest = curve.ttft if measure == "ttft" else curve.tpot
    limit, name = nearest.limit_s, nearest.request_class
    here = _latency(curve.chosen, measure)
    top = 1.3 * max(limit, here) if limit < 4 * here else 1.6 * here
    unit, factor = ("ms", 1e3) if top < 2 else ("s", 1.0)
    scale = alt.Scale(domain=[0, top * factor], nice=False)
    y = alt.Y("value:Q", title=f"{nearest.measure.statistic} {NAMES[measure]} [{unit}]", scale=scale)
    rows = [{"load": point.load, "value": _latency(point, measure) * factor} for point in curve.points]
    layers = [line(rows, curve, y), *planned_point(curve, here * factor, y)]
    if limit < top:
        layers.insert(0, promise(limit * factor, f"promised: {show_seconds(limit)}", y))
    return finished(layers, f"{curve.pool}: {NAMES[measure]} of {name!r}", planned(curve, show_seconds(here)))


def cost_chart(curve: Curve) -> Any:
    """The rent of the pool's devices per million tokens against the load."""
    alt = altair()
    here = curve.chosen.usd_per_million
    kind = "prompt" if curve.role == "prefill" else "output"
    rows = [{"load": point.load, "value": point.usd_per_million} for point in curve.points]
    scale = alt.Scale(domain=[0, 4 * here], nice=False)
    y = alt.Y("value:Q", title=f"USD per million {kind} tokens", scale=scale, axis=alt.Axis(tickCount=5))
    layers = [line(rows, curve, y), *planned_point(curve, here, y)]
    return finished(layers, f"{curve.pool}: cost of its devices", planned(curve, usd(here)))


def step_chart(curve: Curve) -> Any:
    """One step against the load: what each of its parts would take alone, and all of them together."""
    alt = altair()
    names = ["step", *PARTS]
    rows = [
        {"load": point.load, "value": seconds * 1e3, "part": name}
        for point in curve.points
        for name, seconds in zip(names, (point.step_s, *point.parts_s), strict=True)
    ]
    here = curve.chosen.step_s
    y = alt.Y("value:Q", title="one step [ms]", scale=alt.Scale(domain=[0, 1.8e3 * here], nice=False))
    colours = alt.Scale(domain=names, range=[INK, *PART_COLOURS])
    dashes = alt.Scale(domain=names, range=[[1, 0], *PART_DASHES])
    lines = data(rows).mark_line(clip=True, strokeWidth=2).encode(
        x=load_axis(curve),
        y=y,
        color=alt.Color("part:N", title=None, scale=colours),
        strokeDash=alt.StrokeDash("part:N", title=None, scale=dashes),
    )  # fmt: skip
    layers = [lines, *planned_point(curve, here * 1e3, y)]
    return finished(layers, f"{curve.pool}: what a step consists of", planned(curve, show_seconds(here)))


def roofline_chart(curves: Sequence[Curve]) -> Any:
    """Every pool under the roofline: share of the FLOP/s that the kernels attain against compute time over memory time.

    Left of 1 a pool waits for memory, right of it for compute; the distance to the roof is network and overhead.
    """
    alt = altair()
    paths = [
        {"pool": curve.pool, "x": x, "y": y, "order": order}
        for curve in curves
        for order, (x, y) in enumerate(on_roofline(curve, point) for point in curve.points)
    ]
    dots = [(curve.pool, *on_roofline(curve, curve.chosen)) for curve in curves]
    low = min(0.05, *(x for _, x, _ in dots))
    high = max(20.0, *(2 * x for _, x, _ in dots))
    x = alt.X(
        "x:Q",
        title="compute time over memory time (arithmetic intensity over the ridge point)",
        scale=alt.Scale(type="log", domain=[low, high], nice=False),
        axis=log_axis(),
    )
    shares = alt.Axis(format="~%", values=[0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1])
    y = alt.Y("y:Q", title="share of attainable FLOP/s", scale=alt.Scale(type="log", domain=[0.01, 1.5]), axis=shares)
    names = [f"{name}: {percent(share)} of attainable FLOP/s" for name, _, share in dots]
    colour = dict(zip((name for name, _, _ in dots), names, strict=True))
    fills = alt.Scale(domain=names, range=[KINDS[index % len(KINDS)][0] for index in range(len(names))])
    pools = alt.Color("pool:N", scale=fills, title=None, legend=alt.Legend(columns=2))
    roof = [{"x": low, "y": low}, {"x": 1.0, "y": 1.0}, {"x": high, "y": 1.0}]
    lines = data([path | {"pool": colour[str(path["pool"])]} for path in paths])
    marks = data([{"pool": colour[name], "x": at, "y": share} for name, at, share in dots])
    layers = [
        data(roof).mark_line(color=INK, strokeWidth=1.5, clip=True).encode(x=x, y=y),
        lines.mark_line(clip=True, opacity=0.6).encode(x=x, y=y, color=pools, order="order:Q"),
        marks.mark_point(filled=True, size=110, opacity=1).encode(x=x, y=y, color=pools),
    ]
    return finished(layers, "Every pool under the roofline", "dots: the planned points; lines: other loads", WIDE)


def memory_chart(plan: Plan) -> Any:
    """The memory ledger of the fullest rank of every pool, against what the engine may fill."""
    alt = altair()
    rows, ends = [], []
    for row, pool in enumerate(plan.pools):
        m = pool.memory
        for order, (name, size) in enumerate(m.parts.items()):
            rows.append({"pool": pool.name, "part": name, "GB": size / 1e9, "order": order, "row": row})
        ends.append({"pool": pool.name, "GB": m.capacity_bytes / 1e9, "row": row})
    fills = alt.Scale(domain=list(MEMORY), range=list(MEMORY_COLOURS))
    words = "GB of HBM on the fullest rank; the mark is what the engine may fill"
    x = alt.X("GB:Q", title=words, axis=alt.Axis(tickCount=8))
    y = alt.Y("pool:N", title=None, sort=alt.EncodingSortField("row", op="min"))
    parts_of = alt.Color("part:N", title=None, scale=fills, legend=alt.Legend(symbolType="square"))
    bars = data(rows).mark_bar().encode(x=x, y=y, color=parts_of, order="order:Q")
    ticks = data(ends).mark_tick(color=INK, thickness=3, size=26).encode(x=x, y=y)
    return finished([bars, ticks], "Memory of the fullest rank", size=(WIDE[0], 34 * len(plan.pools)))


def choice_chart(plan: Plan) -> Any:
    """Cost against speed: the plan and its rivals."""
    alt = altair()
    points = [(r.structure, r.usd_per_million_output_tokens, r.tpot_p95_s) for r in plan.rivals]
    points.insert(0, (OURS, plan.objective.usd_per_million_output_tokens, plan.prediction.tpot_p95_s))
    places: dict[tuple[float, float], list[str]] = {}
    for name, cost, tpot in points:
        if cost is not None and tpot:
            places.setdefault((float(f"{cost:.3g}"), float(f"{1 / tpot:.3g}")), []).append(name)
    # Structures with one and the same plan are one point, named after the first.
    rows: list[dict[str, Any]] = [
        {"name": alike[0] + (f" and {len(alike) - 1} more" if alike[1:] else ""), "usd": cost, "speed": speed}
        | {"ours": OURS in alike}
        for (cost, speed), alike in places.items()
    ]
    across, up = (_around([place[side] for place in places]) for side in (1, 0))
    for row, usd_at in zip(rows, _apart(rows, across, up), strict=True):
        # The label stands right of its point, beside a line from there where it had to give way to others.
        row |= {"label_usd": usd_at, "label_speed": row["speed"] + BESIDE / WIDE[0] * (across[1] - across[0])}
    x, label_x = (
        alt.X(f"{field}:Q", title="output tokens/s of a request (1 / TPOT p95)", scale=alt.Scale(domain=across, nice=False))
        for field in ("speed", "label_speed")
    )
    y, label_y = (
        alt.Y(f"{field}:Q", title="USD per million output tokens", scale=alt.Scale(domain=up, nice=False))
        for field in ("usd", "label_usd")
    )
    ours = alt.condition(alt.datum.ours, alt.value(ACCENT), alt.value(LINE))
    marks = data(rows).mark_point(filled=True, size=90, opacity=1).encode(x=x, y=y, color=ours)
    moved = [row for row in rows if not math.isclose(row["label_usd"], row["usd"])]
    lines = data(moved).mark_rule(color=INK, opacity=0.5, aria=False).encode(x=x, y=y, x2="label_speed:Q", y2="label_usd:Q")
    labels = data(rows).mark_text(align="left", dx=2, color=INK).encode(x=label_x, y=label_y, text="name:N")
    return finished([lines, marks, labels], "Cost against speed", "each the best plan of its structure", WIDE)


def _around(values: Sequence[float]) -> tuple[float, float]:
    """A domain with room about values, a fifth of the largest at least, so that no axis is one point wide."""
    low, high = min(values), max(values)
    room = max(0.25 * (high - low), 0.1 * high)
    return max(low - room, 0.0), high + 2 * room


def _apart(rows: Sequence[dict[str, Any]], across: tuple[float, float], up: tuple[float, float]) -> list[float]:
    """Heights of labels, in the order of their rows, at which none lies on another: as near to their points as that allows.

    Parameters
    ----------
    across, up: domains of both axes.
    """
    pixel = (up[1] - up[0]) / WIDE[1]
    left = [(row["speed"] - across[0]) / (across[1] - across[0]) * WIDE[0] for row in rows]
    right = [start + BESIDE + LETTER * len(row["name"]) for start, row in zip(left, rows, strict=True)]
    heights: list[float] = []
    for n, row in enumerate(rows):
        wanted = (row["usd"] - up[0]) / pixel
        others = [heights[m] for m in range(n) if left[n] < right[m] and left[m] < right[n]]
        steps = sorted(range(-len(rows), len(rows) + 1), key=abs)
        heights.append(
            next(
                height
                for height in (wanted + step * LINE_HEIGHT for step in steps)
                if all(abs(height - other) >= LINE_HEIGHT for other in others)
            )
        )
    return [up[0] + height * pixel for height in heights]


def _latency(point: OperatingPoint, measure: Measure) -> float:
    return point.ttft_s if measure == "ttft" else point.tpot_s


def on_roofline(curve: Curve, point: OperatingPoint) -> tuple[float, float]:
    """Compute time over memory time, and share of the step that computes.

    A decode pipeline keeps a micro-batch in every stage, so its parts fill the whole step; a prefill step is one stage's.
    """
    compute, memory = point.parts_s[:2]
    spread = curve.stages if curve.role == "prefill" else 1
    return compute / max(memory, 1e-12), compute / spread / point.step_s
