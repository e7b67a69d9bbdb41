"""Link loads as they are drawn: bundled by host or rack, nothing lost on the way."""

from __future__ import annotations

import math

import pytest
from packaged_plans import solved
from reading import read

from solver.plan import LinkLoad, Plan
from solver.view.amounts import percent
from solver.view.fabric import busiest_links, fabric_of, loads_by_fabric
from solver.view.fabric_drawing import draw_fabric
from solver.view.palette import heat_step
from solver.view.scene import Scene
from solver.view.sections.network import network


def test_bundles_carry_what_the_scale_out_links_carry() -> None:
    plan = solved("deepseek-v3-32xh200")
    scene = Scene.of(plan)
    fabric = fabric_of(scene)
    assert fabric is not None
    assert fabric.titles[0] == "hosts"
    carried = math.fsum(bundle.up_bytes_per_s + bundle.down_bytes_per_s for bundle in fabric.bundles)
    links = math.fsum(link.bytes_per_s for link in plan.links if link.fabric in ("scale_out", "storage"))
    assert carried == pytest.approx(links)
    assert carried > 0
    places = {name for tier in fabric.tiers for name in tier}
    assert all({bundle.lower, bundle.upper} <= places for bundle in fabric.bundles)


def test_tiers_share_what_their_links_carry() -> None:
    plan = solved("deepseek-v3-32xh200")
    fabric = fabric_of(Scene.of(plan))
    assert fabric is not None
    by_tier = {(load.lower, load.upper): load for load in fabric.tier_loads}
    assert by_tier.keys() == {("hosts", "leaf"), ("leaf", "spine")}
    for low, high, load in (("rack", "leaf", by_tier["hosts", "leaf"]), ("leaf", "spine", by_tier["leaf", "spine"])):
        up = [link for link in plan.links if link.source.startswith(low) and link.target.startswith(high)]
        each = up[0].bandwidth_bytes_per_s
        assert load.links == 32
        assert load.up == pytest.approx(math.fsum(link.utilisation for link in up) / load.links)
        assert all(link.bandwidth_bytes_per_s == each for link in up)
        assert load.fullest >= max(link.utilisation for link in up) >= load.up
    text = network(Scene.of(plan))
    assert f"<td>{percent(by_tier['hosts', 'leaf'].up)}</td>" in text


def test_a_fabric_of_many_nodes_names_and_colours_each(large: Plan) -> None:
    full = LinkLoad(
        source="rack7/host0/gpu0", target="leaf0", fabric="scale_out", bytes_per_s=3e10, bandwidth_bytes_per_s=5e10,
        utilisation=0.6,
    )  # fmt: skip
    fabric = fabric_of(Scene.of(large.model_copy(update={"links": (full,)})))
    assert fabric is not None
    drawn = read(draw_fabric(fabric).standalone())
    nodes = {e.one("title").text.split(":")[0]: e for e in drawn.find("g") if "node" in e.classes and list(e.find("title"))}
    assert nodes.keys() == {name for tier in fabric.tiers for name in tier}
    hot = {name for name, e in nodes.items() if f"n{heat_step(0.6)}" in e.classes}
    assert hot == {"rack7", "leaf0"}
    assert not any("…" in e.one("text").text for e in nodes.values())
    assert "racks to leaf, 10,008 links: 0.006% of their bandwidth up, 0% down, the fullest 60%" in draw_fabric(fabric).elements


def test_a_large_fabric_is_drawn_by_rack(large: Plan) -> None:
    fabric = fabric_of(Scene.of(large))
    assert fabric is not None
    assert fabric.titles[0] == "racks"
    assert len(fabric.tiers[0]) == 139


def test_the_fullest_link_is_named(nvl72: Plan) -> None:
    source = next(rank.device for rank in nvl72.placement)
    full = LinkLoad(
        source=source,
        target="leaf0",
        fabric="scale_out",
        bytes_per_s=4.5e10,
        bandwidth_bytes_per_s=5e10,
        utilisation=0.9,
    )
    scene = Scene.of(nvl72.model_copy(update={"links": (*nvl72.links, full)}))
    assert busiest_links(scene, 1) == [full]
    assert f"The fullest link runs from {source} to leaf0 in the scale-out fabric: 45 GB/s of 50 GB/s, 90%." in network(
        scene
    )
    by_name = {load.fabric: load for load in loads_by_fabric(scene)}
    assert by_name["scale_out"].busiest == full
    assert by_name["scale_out"].loaded == 1 + sum(link.fabric == "scale_out" for link in nvl72.links)
