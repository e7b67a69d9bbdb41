"""KV tiers: where an idle session's cache is at which age."""

from __future__ import annotations

from solver.view.amounts import percent
from solver.view.idle_kv_drawing import draw_idle_kv
from solver.view.markup import Markup, tag
from solver.view.scene import Scene
from solver.view.sections.tables import table
from solver.workload.kv_tiers import TIERS, tier_of
from topologies.units import show_bytes, show_seconds


def idle_kv(scene: Scene) -> Markup | None:
    """Ages, hit rates and sizes of the tiers; None for a plan without."""
    plan = scene.plan
    if not plan.kv_tiers:
        return None
    used = [tier for tier in TIERS if any(record.bytes.get(tier.name) for record in plan.kv_tiers)]
    rows = (
        (
            tier.request_class,
            *(show_seconds(tier.until_s[place.name]) for place in used),
            percent(tier.hit_rate),
            ", ".join(f"{show_bytes(size)} {tier_of(name).title}" for name, size in tier.bytes.items()) or "none",
        )
        for tier in plan.kv_tiers
    )
    return tag(
        "section",
        tag("h2", "Where idle KV caches wait"),
        tag("div", draw_idle_kv(plan.kv_tiers).svg(role="img", aria_label="tiers by age"), class_="scroll", tabindex=0),
        table(("class", *(f"{place.title} until" for place in used), "hits", "holds"), rows, "Tiers by age"),
        id="tiers",
    )
