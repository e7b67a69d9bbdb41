"""The scale-out fabric drawn tier by tier, its links coloured and thickened by their load."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from solver.view.amounts import percent
from solver.view.cells import shortened
from solver.view.drawn import Drawn
from solver.view.fabric import DrawnLinks, FabricDiagram
from solver.view.markup import Markup, join, number, tag
from solver.view.palette import HEAT, HEAT_STEPS, heat_step
from topologies.units import show_bandwidth

WIDTH = 1120
LEFT = 70
ROW = 96
NODE = 20
#: With more links than this, idle ones are left out.
MOST_IDLE = 1500


def draw_fabric(fabric: FabricDiagram) -> Drawn:
    """Hosts or racks at the bottom, every tier above the one below it."""
    place = _places(fabric)
    rows = len(fabric.tiers)
    elements = [join(_edges(fabric, place)), join(_nodes(fabric, place))]
    for row, title in enumerate(fabric.titles):
        elements.append(tag("text", title, class_="tier", x=0, y=_height(rows, row) + 4))
    scale = tag("g", _scale(), transform=f"translate({LEFT},{_height(rows, 0) + 44})")
    return Drawn(WIDTH, _height(rows, 0) + 74, join([*elements, scale]))


def _height(rows: int, row: int) -> float:
    return (rows - 1 - row) * ROW + NODE


def _places(fabric: FabricDiagram) -> dict[str, tuple[float, float]]:
    found = {}
    for row, names in enumerate(fabric.tiers):
        step = (WIDTH - LEFT) / max(len(names), 1)
        for index, name in enumerate(names):
            found[name] = (LEFT + (index + 0.5) * step, _height(len(fabric.tiers), row))
    return found


def _edges(fabric: FabricDiagram, place: Mapping[str, tuple[float, float]]) -> Iterator[Markup]:
    """Idle links below, the busiest on top."""
    idle = [bundle for bundle in fabric.bundles if bundle.utilisation == 0]
    loaded = sorted((b for b in fabric.bundles if b.utilisation > 0), key=lambda b: (b.utilisation, b.lower, b.upper))
    if len(fabric.bundles) <= MOST_IDLE:
        yield tag("path", class_="cold", d="".join(_line(place, bundle) for bundle in idle))
    for bundle in loaded:
        yield tag(
            "path", tag("title", told(bundle)), class_=f"edge h{heat_step(bundle.utilisation)}", d=_line(place, bundle),
            stroke_width=1.2 + 3 * min(bundle.utilisation, 1.0),
        )  # fmt: skip


def _line(place: Mapping[str, tuple[float, float]], bundle: DrawnLinks) -> str:
    (x, y), (to_x, to_y) = place[bundle.lower], place[bundle.upper]
    a, b, c, d, e = (number(v) for v in (x, y - NODE / 2, (y + to_y) / 2, to_x, to_y + NODE / 2))
    return f"M{a} {b}C{a} {c} {d} {c} {d} {e}"


def told(bundle: DrawnLinks) -> str:
    """A bundle in words."""
    return (
        f"{bundle.lower} to {bundle.upper}: {show_bandwidth(bundle.up_bytes_per_s)} up, "
        f"{show_bandwidth(bundle.down_bytes_per_s)} down; the busiest link is {percent(bundle.utilisation)} full"
    )


def _nodes(fabric: FabricDiagram, place: Mapping[str, tuple[float, float]]) -> Iterator[Markup]:
    for names in fabric.tiers:
        room = (WIDTH - LEFT) / max(len(names), 1)
        width = min(max(room - 4, 3), 64)
        for name in names:
            x, y = place[name]
            label = tag("text", shortened(name, round(width / 6.2)), x=x, y=y + 3.5) if width >= 36 else None
            box = tag("rect", x=x - width / 2, y=y - NODE / 2, width=width, height=NODE, rx=min(3, width / 3))
            busy = fabric.heat.get(name, 0.0)
            title = f"{name}: its busiest link is {percent(busy)} full" if busy else f"{name}: idle"
            yield tag("g", tag("title", title), box, label, class_="node")


def _scale() -> Markup:
    """What the colours mean."""
    words = ["idle", *(f"over {percent(step)}" for step in HEAT_STEPS)]
    parts = []
    for index in range(len(HEAT)):
        x = index * 84
        line = tag("path", class_=f"edge h{index}" if index else "cold", d=f"M{x} 8h22", stroke_width=3)
        parts.append(join([line, tag("text", words[index], x=x + 27, y=11.5)]))
    return join(parts)
