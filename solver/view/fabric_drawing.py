"""The scale-out fabric drawn tier by tier, its nodes and links coloured by their load."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from solver.view.amounts import percent
from solver.view.cells import shortened
from solver.view.drawn import Drawn
from solver.view.fabric import DrawnLinks, FabricDiagram, TierLoad
from solver.view.markup import Markup, join, number, tag
from solver.view.palette import HEAT, HEAT_STEPS, heat_step
from topologies.units import show_bandwidth

WIDTH = 1120
LEFT = 70
#: From one tier to the next, of a node of a tier that stands in one row, and of one whose nodes fill several.
ROW, NODE, SMALL = 110, 30, 16
#: Most nodes of a row, and the room that each of several rows' nodes takes.
MOST_IN_A_ROW, STEP = 36, 42
LETTER = 5.8


def draw_fabric(fabric: FabricDiagram) -> Drawn:
    """Hosts or racks at the bottom, every tier above the one below it.

    Links are drawn one by one where every tier fits into a row; else each tier is a field of nodes in the colour of their
    fullest link.
    """
    in_rows = all(len(names) <= MOST_IN_A_ROW for names in fabric.tiers)
    if in_rows:
        place = _places(fabric)
        height = _height(fabric, 0) + NODE
        elements = [join(_edges(fabric, place)), join(_nodes(fabric, place))]
        elements += [
            tag("text", title, class_="tier", x=0, y=_height(fabric, row) + NODE / 2 + 4)
            for row, title in enumerate(fabric.titles)
        ]
    else:
        height, elements = _fields(fabric)
    scale = tag("g", _scale(fabric), transform=f"translate({LEFT},{number(height + 22)})")
    return Drawn(WIDTH, height + 42, join([*elements, scale]))


def told_tier(load: TierLoad) -> str:
    """All links between two tiers in words."""
    return (
        f"{load.lower} to {load.upper}, {load.links:,} links: {percent(load.up)} of their bandwidth up, "
        f"{percent(load.down)} down, the fullest {percent(load.fullest)}"
    )


def told(bundle: DrawnLinks) -> str:
    """A bundle in words."""
    return (
        f"{bundle.lower} to {bundle.upper}, {show_bandwidth(bundle.bandwidth_bytes_per_s)} each way: "
        f"{show_bandwidth(bundle.up_bytes_per_s)} up, {show_bandwidth(bundle.down_bytes_per_s)} down; "
        f"the busiest link is {percent(bundle.utilisation)} full"
    )


def _height(fabric: FabricDiagram, row: int) -> float:
    """Top of a tier that stands in one row."""
    return (len(fabric.tiers) - 1 - row) * ROW + 1


def _places(fabric: FabricDiagram) -> dict[str, tuple[float, float]]:
    """Upper middle of each node."""
    found = {}
    for row, names in enumerate(fabric.tiers):
        step = (WIDTH - LEFT) / max(len(names), 1)
        for index, name in enumerate(names):
            found[name] = (LEFT + (index + 0.5) * step, _height(fabric, row))
    return found


def _edges(fabric: FabricDiagram, place: Mapping[str, tuple[float, float]]) -> Iterator[Markup]:
    """Idle links below, the busiest on top."""
    idle = [bundle for bundle in fabric.bundles if bundle.utilisation == 0]
    loaded = sorted((b for b in fabric.bundles if b.utilisation > 0), key=lambda b: (b.utilisation, b.lower, b.upper))
    yield tag("path", class_="cold", d="".join(_line(place, bundle) for bundle in idle))
    for bundle in loaded:
        yield tag(
            "path", tag("title", told(bundle)), class_=f"edge h{heat_step(bundle.utilisation)}", d=_line(place, bundle),
            stroke_width=1.2 + 3 * min(bundle.utilisation, 1.0),
        )  # fmt: skip


def _line(place: Mapping[str, tuple[float, float]], bundle: DrawnLinks) -> str:
    (x, y), (to_x, to_y) = place[bundle.lower], place[bundle.upper]
    a, b, c, d, e = (number(v) for v in (x, y, (y + to_y + NODE) / 2, to_x, to_y + NODE))
    return f"M{a} {b}C{a} {c} {d} {c} {d} {e}"


def _nodes(fabric: FabricDiagram, place: Mapping[str, tuple[float, float]]) -> Iterator[Markup]:
    for names in fabric.tiers:
        width = min((WIDTH - LEFT) / max(len(names), 1) - 3, 78)
        for name, label in zip(names, _labels(names, width), strict=True):
            x, y = place[name]
            yield _node(fabric, name, (label, percent(fabric.heat.get(name, 0.0))), (x - width / 2, y), (width, NODE))


def _fields(fabric: FabricDiagram) -> tuple[float, list[Markup]]:
    """Every tier as rows of small nodes, the loads of the links between tiers in words below it; height and elements."""
    loads = {load.upper: load for load in fabric.tier_loads}
    across = int((WIDTH - LEFT) // STEP)
    y = 1.0
    found: list[Markup] = []
    for title, names in reversed(list(zip(fabric.titles, fabric.tiers, strict=True))):
        found.append(tag("text", title, class_="tier", x=0, y=y + 11.5))
        for index, (name, label) in enumerate(zip(names, _labels(names, STEP - 2), strict=True)):
            row, column = divmod(index, across)
            corner = LEFT + column * STEP, y + row * (SMALL + 2)
            found.append(_node(fabric, name, (label,), corner, (STEP - 2, SMALL)))
        y += -(-len(names) // across) * (SMALL + 2)
        if title in loads:
            found.append(tag("text", told_tier(loads[title]), x=LEFT, y=y + 16))
            y += 28
    return y, found


def _labels(names: Sequence[str], width: float) -> list[str]:
    """The names, or their numbers alone where one is too wide for its node [px]."""
    if max(map(len, names), default=0) <= width / LETTER:
        return list(names)
    return ["/".join(re.findall(r"\d+", name)) or name for name in names]


def _node(
    fabric: FabricDiagram, name: str, lines: Sequence[str], corner: tuple[float, float], size: tuple[float, float]
) -> Markup:
    """A node in the colour of its fullest link, with as much of each line as there is room for."""
    busy = fabric.heat.get(name, 0.0)
    (x, y), (width, height) = corner, size
    letters = int(width / LETTER)
    pitch = height / len(lines)
    texts = [
        tag("text", shortened(line, letters), x=x + width / 2, y=y + pitch * (index + 0.5) + 3.5)
        for index, line in enumerate(lines)
        if letters > 1
    ]
    title = f"{name}: its busiest link is {percent(busy)} full" if busy else f"{name}: idle"
    box = tag("rect", x=x, y=y, width=width, height=height, rx=min(3, width / 3))
    return tag("g", tag("title", title), box, texts, class_=f"node n{heat_step(busy)}")


def _scale(fabric: FabricDiagram) -> Markup:
    """What the colours mean, up to the fullest."""
    fullest = max((heat_step(bundle.utilisation) for bundle in fabric.bundles), default=0)
    words = ["idle", *(f"up to {percent(step)}" for step in HEAT_STEPS[1:]), f"over {percent(HEAT_STEPS[-1])}"]
    parts, x = [], 0.0
    for index in range(min(fullest + 1, len(HEAT))):
        box = tag("rect", x=x, y=1, width=22, height=12, rx=2)
        parts.append(tag("g", box, tag("text", words[index], class_="key", x=x + 27, y=11), class_=f"node n{index}"))
        x += 46 + LETTER * len(words[index])
    return join(parts)
