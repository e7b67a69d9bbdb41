"""Charts: the roofline, the memory, and what every pool would do at another load."""

from __future__ import annotations

from collections.abc import Iterator

from solver.view import charts as draw
from solver.view.curves import Curve, curve
from solver.view.markup import Markup, tag
from solver.view.scene import Scene
from solver.view.sections.chart_row import chart_row


def charts(scene: Scene) -> Markup:
    """Roofline and memory of all pools, then latency, cost and step of each against its load."""
    curves = [curve(scene, pool) for pool in scene.plan.pools]
    return tag(
        "section",
        tag("h2", "Why these operating points"),
        chart_row((draw.roofline_chart(curves), draw.memory_chart(scene.plan)), "all"),
        (chart_row([chart for _, chart in charts_of(each)], f"pool{number}-") for number, each in enumerate(curves)),
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
