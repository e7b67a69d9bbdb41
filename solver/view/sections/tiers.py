"""KV tiers: where an idle session's cache is at which age."""

from __future__ import annotations

from solver.view.amounts import percent
from solver.view.markup import Markup, tag
from solver.view.scene import Scene
from solver.view.sections.tables import table
from solver.view.tiers_drawing import draw_tiers
from topologies.units import show_bytes, show_seconds


def tiers(scene: Scene) -> Markup | None:
    """Ages, hit rates and sizes of the tiers; None for a plan without."""
    plan = scene.plan
    if not plan.kv_tiers:
        return None
    rows = (
        (
            tier.request_class,
            show_seconds(tier.hbm_until_s),
            show_seconds(tier.dram_until_s),
            show_seconds(tier.flash_until_s),
            percent(tier.hit_rate),
            ", ".join(f"{show_bytes(size)} {name}" for name, size in tier.bytes.items()) or "none",
        )
        for tier in plan.kv_tiers
    )
    return tag(
        "section",
        tag("h2", "Where idle KV caches wait"),
        tag("div", draw_tiers(plan.kv_tiers).svg(role="img", aria_label="tiers by age"), class_="scroll", tabindex=0),
        table(("class", "HBM until", "DRAM until", "flash until", "hits", "holds"), rows, "Tiers by age"),
        id="tiers",
    )
