"""Why it costs what it costs: the floor, what stands above it, and what every step is made of."""

from __future__ import annotations

from solver.check.floor import WORDS
from solver.cost.pool.waterfall import CAUSES
from solver.view.amounts import percent, usd
from solver.view.markup import Markup, tag
from solver.view.scene import Scene
from solver.view.sections.chart_row import chart_row
from solver.view.sections.tables import table
from solver.view.waterfall_drawing import waterfall_chart
from topologies.units import show_seconds


def floor(scene: Scene) -> Markup:
    """The waterfall as a drawing and as a table, and the step of every pool by its parts."""
    found = scene.floor
    causes = (
        (name, usd(part), percent(part / found.cost), WORDS[name])
        for name, part in found.parts.items()
    )
    steps = (
        (name, *(show_seconds(max(parts[cause], 0.0)) for cause in CAUSES[:-1]), show_seconds(sum(parts.values())))
        for name, parts in found.steps.items()
    )
    return tag(
        "section",
        tag("h2", "Why it costs what it costs"),
        chart_row([waterfall_chart(found)], "floor-"),
        table(("cause", "per million output tokens", "share", "which is"), causes, "Cost by cause"),
        table(("pool", *CAUSES[:-1], "step"), steps, "One step of every pool by cause; the parts add up to the step"),
        id="floor",
    )
