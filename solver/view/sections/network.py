"""The fabrics: how full every one is, the busiest links, and the scale-out fabric as a drawing."""

from __future__ import annotations

from solver.view.amounts import percent
from solver.view.fabric import NAMES, FabricDiagram, busiest_links, fabric_of, loads_by_fabric
from solver.view.fabric_drawing import draw_fabric
from solver.view.markup import Markup, tag
from solver.view.scene import Scene
from solver.view.sections.tables import table
from topologies.units import show_bandwidth


def network(scene: Scene) -> Markup:
    """Fabrics, drawing, busiest links."""
    fabric = fabric_of(scene)
    fabrics = (
        (
            NAMES[load.fabric],
            f"{load.links:,}",
            f"{load.loaded:,}",
            show_bandwidth(load.bytes_per_s),
            percent(load.busiest.utilisation) if load.busiest else "idle",
        )
        for load in loads_by_fabric(scene)
    )
    busiest = (
        (
            f"{link.source} → {link.target}",
            NAMES.get(link.fabric, link.fabric),
            show_bandwidth(link.bytes_per_s),
            show_bandwidth(link.bandwidth_bytes_per_s),
            percent(link.utilisation),
        )
        for link in busiest_links(scene)
    )
    drawing = (
        tag("p", "The cluster has no scale-out fabric.")
        if fabric is None
        else tag("div", draw_fabric(fabric).svg(role="img", aria_label="scale-out fabric"), class_="scroll", tabindex=0)
    )
    return tag(
        "section",
        tag("h2", "What the links carry"),
        tag("p", _told(scene)),
        drawing,
        _tiers(fabric) if fabric else None,
        table(("fabric", "links", "loaded", "carried together", "fullest link"), fabrics, "Fabrics, each direction"),
        table(("link", "fabric", "carries", "of", "full"), busiest, "The fullest links") if scene.plan.links else None,
        id="network",
    )


def _tiers(fabric: FabricDiagram) -> Markup:
    """The share of the fabric's bandwidth that the plan uses, from tier to tier."""
    rows = (
        (f"{load.lower} to {load.upper}", f"{load.links:,}", percent(load.up), percent(load.down), percent(load.fullest))
        for load in fabric.tier_loads
    )
    heads = ("from tier to tier", "links", "share used up", "share used down", "fullest link")
    return table(heads, rows, "Scale-out fabric")


def _told(scene: Scene) -> str:
    busiest = busiest_links(scene, 1)
    if not busiest:
        return "The plan loads no link."
    link = busiest[0]
    fullest = (
        f"The fullest link runs from {link.source} to {link.target} in the {NAMES.get(link.fabric, link.fabric)} fabric: "
        f"{show_bandwidth(link.bytes_per_s)} of {show_bandwidth(link.bandwidth_bytes_per_s)}, {percent(link.utilisation)}."
    )
    crosses = any(other.fabric == "scale_out" for other in scene.plan.links)
    return fullest if crosses else f"{fullest} Nothing crosses the scale-out fabric."
