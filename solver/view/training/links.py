"""How loaded the links are: each kind of traffic by tier of the fabric, when all ranks send at once."""

from __future__ import annotations

from collections import defaultdict

from solver.training.fabric import LinkLoads
from solver.view.amounts import percent
from solver.view.drawn import Drawn
from solver.view.markup import Markup, tag
from solver.view.palette import heat_step
from solver.view.sections.tables import table
from solver.view.training.stage_set import StageSet

WORDS = {
    "context": "keys and values around context ranks",
    "data": "gradients and weights around copies",
    "expert_data": "gradients and weights of experts",
    "hop": "activations to the next stage",
    "experts": "tokens to experts and back",
}


def links(scene: StageSet) -> Markup:
    """A row for each kind of traffic and tier of links that it crosses."""
    rows = []
    for traffic in scene.plan.traffic:
        for tier, (most, mean, count) in tiers(scene, traffic.pattern).items():
            busiest = " → ".join(traffic.busiest) if traffic.busiest else ""
            rows.append([WORDS[traffic.pattern], tier, f"{count:,}", _bar(most), _bar(mean), busiest])
    said = "Loads while every rank sends as fast as it may; kinds of traffic take turns."
    return tag(
        "section",
        tag("h2", "What the links carry"),
        tag("p", said if rows else "Nothing leaves a scale-up domain.", class_="hint"),
        table(("traffic", "links", "how many", "fullest", "mean", "the fullest one"), rows) if rows else None,
        id="links",
    )


def tiers(scene: StageSet, pattern: str) -> dict[str, tuple[float, float, int]]:
    """Fullest and mean utilisation of the scale-out links that a pattern loads, by what they join, and how many they are."""
    loads: LinkLoads = scene.instance.fabric.loads(
        scene.evidence.layout, scene.evidence.sure_ground.machine, scene.plan.placement, pattern
    )
    cluster, by_tier = scene.instance.cluster, defaultdict(list)
    rates = {traffic.pattern: traffic.slowdown for traffic in scene.plan.traffic}
    nic = scene.evidence.sure_ground.machine.device.scale_out_bytes_per_s * rates[pattern]  # type: ignore[index]
    for (a, b), load in loads.items():
        edge = cluster.edges[a, b]
        if edge["fabric"] == "scale_out":
            ends = " – ".join(sorted({cluster.nodes[a]["kind"], cluster.nodes[b]["kind"]}))
            by_tier[ends].append(load * nic / edge["bandwidth_bytes_per_s"])
    return {tier: (max(shares), sum(shares) / len(shares), len(shares)) for tier, shares in sorted(by_tier.items())}


def _bar(share: float) -> Markup:
    """A bar whose length and heat tell how full a link is."""
    heat = f"var(--h{heat_step(share)})"
    bar = tag("rect", width=max(1.0, 70 * min(share, 1.0)), height=10, y=1, fill=heat)
    frame = tag("rect", width=70, height=10, y=1, fill="none", stroke="var(--rule)")
    return Markup(Drawn(72, 12, Markup(frame + bar)).svg(aria_hidden="true") + f" {percent(share)}")
