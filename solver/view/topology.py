"""The cluster as racks, trays and devices, each device with the pool whose rank it runs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from solver.plan import Plan
from solver.view.amounts import plural
from solver.view.drawn import Drawn
from solver.view.markup import Markup, join, number, tag
from solver.view.palette import kind
from solver.view.racks import Rack, Tray
from solver.view.scene import Scene

CELL = (28, 16)
GAP = 2
LABEL = 42
#: Devices in one row of a tray.
COLUMNS = 8
#: Size of a device in an overview of a large cluster.
SMALL = 0.25
#: Width of a drawing of all racks.
WIDTH = 1120


def topology_svg(plan: Plan) -> str:
    """The whole cluster as a standalone SVG, devices coloured by pool."""
    return cluster_svg(Scene.of(plan))


def cluster_svg(scene: Scene) -> str:
    """As :func:`topology_svg`, for a scene."""
    scale = SMALL if scene.is_large else 1.0
    entries = legend(scene)
    x, y, row, widest = 0.0, 64.0, 0.0, entries.width
    parts = [tag("text", _title(scene), x=0, y=14, class_="title")]
    parts.append(tag("g", entries.elements, transform="translate(0,28)"))
    for rack in scene.racks:
        drawn = draw_rack(scene, rack, labels=not scene.is_large)
        width, height = drawn.width * scale, drawn.height * scale
        if x and x + width > WIDTH:
            x, y, row = 0.0, y + row + 20, 0.0
        name = tag("text", shortened(rack.name, max(4, round(width / 6))), x=x, y=y - 4)
        body = tag("g", drawn.elements, transform=f"translate({number(x)},{number(y)}) scale({scale})")
        parts += [name, body]
        x, row, widest = x + width + 10, max(row, height), max(widest, x + width)
    return Drawn(widest, y + row, tag("g", parts, class_="small" if scene.is_large else None)).standalone()


def draw_rack(scene: Scene, rack: Rack, labels: bool = True) -> Drawn:
    """One rack; trays of one scale-up domain share a frame.

    Parameters
    ----------
    labels: whether hosts carry their names and devices the letters of their pools.
    """
    elements: list[Markup] = []
    width = LABEL + min(COLUMNS, max(len(tray.devices) for tray in rack.trays)) * (CELL[0] + GAP) + 6
    y = 1.0
    for _, trays in itertools.groupby(rack.trays, key=lambda tray: tray.domain):
        top = y
        y += 4
        for tray in trays:
            elements += _tray(scene, rack, tray, y, labels)
            y += _rows(tray) * (CELL[1] + GAP) + GAP
        y += 2
        elements.append(tag("rect", class_="frame", x=1, y=top, width=width - 2, height=y - top, rx=4))
        y += 5
    return Drawn(width, y - 4, join(elements))


def _rows(tray: Tray) -> int:
    return -(-len(tray.devices) // COLUMNS)


def _tray(scene: Scene, rack: Rack, tray: Tray, y: float, labels: bool) -> Iterator[Markup]:
    name = shortened(tray.host.removeprefix(f"{rack.name}/"), 6)
    if labels:
        yield tag("text", name, class_="host", x=LABEL - 4, y=y + 11.5)
    for index, device in enumerate(tray.devices):
        row, column = divmod(index, COLUMNS)
        yield _device(scene, device, LABEL + column * (CELL[0] + GAP), y + row * (CELL[1] + GAP), labels)


def _device(scene: Scene, device: str, x: float, y: float, labels: bool) -> Markup:
    """A device: filled where it runs a rank, hollow where unused, crossed out where unhealthy."""
    where = f"translate({number(x)},{number(y)})"
    rank = scene.placed.get(device)
    parts = [_CELL]
    if not scene.is_healthy(device):
        state = "x"
        parts.append(_CROSS)
    elif rank is None:
        state = "u"
    else:
        state = kind(scene.numbers[rank.pool])
    if labels:
        parts.append(tag("text", scene.tags[rank.pool] if rank and state != "x" else "", x=CELL[0] // 2, y=11.5))
    return tag("g", parts, class_=f"d {state}", transform=where)


_CELL = tag("rect", width=CELL[0], height=CELL[1], rx=2)
_CROSS = tag("path", d=f"M5 4L{CELL[0] - 5} {CELL[1] - 4}M{CELL[0] - 5} 4L5 {CELL[1] - 4}")


def legend(scene: Scene) -> Drawn:
    """Pools, unused and unhealthy devices as a row of swatches."""
    x = 0.0
    parts = []
    for state, letter, text in legend_entries(scene):
        cross = _CROSS if state == "x" else None
        swatch = tag("g", _CELL, cross, tag("text", letter, x=CELL[0] // 2, y=11.5), class_=f"d {state}")
        parts.append(tag("g", swatch, tag("text", text, x=CELL[0] + 5, y=11.5), transform=f"translate({number(x)},0)"))
        x += CELL[0] + 20 + 5.9 * len(text)
    return Drawn(x, CELL[1], join(parts))


def legend_entries(scene: Scene) -> Iterator[tuple[str, str, str]]:
    """CSS class, letter and meaning of each way in which a device is drawn."""
    for pool in scene.plan.pools:
        shape = plural(pool.devices, "device")
        yield kind(scene.numbers[pool.name]), scene.tags[pool.name], f"{pool.name}, {shape}"
    unused = scene.healthy - sum(scene.is_healthy(device) for device in scene.placed)
    if unused:
        yield "u", "", f"not used, {plural(unused, 'device')}"
    if scene.healthy < len(scene.devices):
        yield "x", "", f"not healthy, {plural(len(scene.devices) - scene.healthy, 'device')}"


def shortened(name: str, most: int) -> str:
    """The end of a name, which tells more than its start."""
    return name if len(name) <= most else "…" + name[len(name) - most + 1 :]


def _title(scene: Scene) -> str:
    used = f"{len(scene.placed):,} of {plural(scene.healthy, 'healthy device')}"
    return f"{scene.instance.llm.name} on {used}"
