"""Experts: the load that the expert maps give to every rank, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator

from solver.view.amounts import plural
from solver.view.experts import PoolExperts, experts_of
from solver.view.experts_drawing import draw_experts, draw_scale
from solver.view.markup import Markup, tag
from solver.view.scene import Scene


def experts(scene: Scene) -> Markup | None:
    """A heat map for every pool with experts; None for a plan without."""
    found = experts_of(scene.plan)
    if not found:
        return None
    return tag(
        "section",
        tag("h2", "Experts and ranks"),
        tag(
            "p",
            "Load of every expert-parallel rank over the mean of its layer, where all experts are equally busy and the "
            "copies of an expert share its tokens evenly.",
        ),
        tag("div", draw_scale().svg(role="img", aria_label="scale"), class_="scroll", tabindex=0),
        (_pool(pool) for pool in found),
        id="experts",
    )


def _pool(pool: PoolExperts) -> Iterator[Markup]:
    slots, experts = len(pool.maps[0]), len(set(pool.maps[0]))
    spare = f" and {plural(slots - experts, 'redundant copy', 'redundant copies')}" if slots > experts else ""
    kinds = "the same map in all layers" if len(pool.maps) == 1 else plural(len(pool.maps), "distinct map")
    yield tag("h3", pool.pool)
    yield tag(
        "p",
        f"{plural(experts, 'expert')}{spare} on {plural(pool.ranks, 'rank')}, {kinds}; the busiest rank carries "
        f"{pool.hottest:.3g} times the mean.",
    )
    yield tag("div", draw_experts(pool).svg(role="img", aria_label=pool.pool), class_="scroll", tabindex=0)
