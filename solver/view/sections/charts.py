"""Charts: the roofline, the memory, and what every pool would do at another load."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from solver.view import charts as draw
from solver.view.curves import Curve, curve
from solver.view.markup import Markup, tag
from solver.view.scene import Scene


def charts(scene: Scene) -> Markup:
    """Roofline and memory of all pools, then latency, cost and step of each against its load."""
    curves = [curve(scene, pool) for pool in scene.plan.pools]
    return tag(
        "section",
        tag("h2", "Why these operating points"),
        _figures((draw.roofline_chart(curves), draw.memory_chart(scene.plan)), "all"),
        (_figures((chart for _, chart in charts_of(each)), f"pool{number}-") for number, each in enumerate(curves)),
        id="charts",
    )


def charts_of(curve: Curve) -> Iterator[tuple[str, object]]:
    """The charts that say something about a role, and what each shows."""
    if curve.role != "decode":
        yield "ttft", draw.latency_chart(curve, "ttft")
    if curve.role != "prefill":
        yield "tpot", draw.latency_chart(curve, "tpot")
    yield "cost", draw.cost_chart(curve)
    if curve.role != "prefill":
        yield "step", draw.step_chart(curve)


def _figures(drawn: Iterable[object], name: str) -> Markup:
    """Charts side by side."""
    figures = (draw.to_svg(chart, f"{name}{number}-") for number, chart in enumerate(drawn))
    return tag("div", (tag("figure", Markup(svg)) for svg in figures), class_="charts")
