"""A rack as a small picture of its devices, for clusters too large to draw every device in full."""

from __future__ import annotations

from collections.abc import Sequence

from solver.view.cells import state
from solver.view.colouring import Colouring
from solver.view.drawn import Drawn
from solver.view.markup import join, tag
from solver.view.racks import Rack
from solver.view.scene import Scene
from solver.view.shelves import COLUMNS, Spot, frames, outline

#: Width and height of a device, with its hair of space.
DOT = (8, 6)


def draw_tile(scene: Scene, rack: Rack, colourings: Sequence[Colouring]) -> Drawn:
    """One path for all devices that look alike, one group of paths for each way to colour them, a line around replicas."""
    place = _places(rack)
    groups = [
        tag("g", (tag("path", class_=look, d=d) for look, d in _paths(place, way)), class_=f"way {way.way}")
        for way in colourings
    ]
    width = tile_width(rack)
    height = (1 + max(spot.row for spot in place)) * DOT[1] + 1
    frame = tag("rect", class_="frame", width=width, height=height, rx=1)
    around = tag("path", class_="around", d=outline(scene, place, (DOT[0] - 1, DOT[1] - 1), 1))
    return Drawn(width, height, join([frame, *groups, around]))


def tile_width(rack: Rack) -> int:
    """Width of a rack that is drawn small [px]."""
    return min(COLUMNS, max(len(tray.devices) for tray in rack.trays)) * DOT[0] + 1


def _places(rack: Rack) -> dict[Spot, tuple[str, float, float]]:
    """Each device and its corner, one domain below the other."""
    found: dict[Spot, tuple[str, float, float]] = {}
    top = 0
    for frame in frames(rack):
        for device, spot in frame.spots.items():
            here = spot.beside(top, 0)
            found[here] = device, here.column * DOT[0] + 1, here.row * DOT[1] + 1
        top += frame.rows
    return found


def _paths(place: dict[Spot, tuple[str, float, float]], colouring: Colouring) -> list[tuple[str, str]]:
    """CSS class and outline of all devices that look alike."""
    found: dict[str, list[str]] = {}
    across, down = DOT[0] - 1, DOT[1] - 1
    for device, x, y in place.values():
        box = f"M{x:g} {y:g}h{across}v{down}h-{across}z"
        found.setdefault(state(device, [colouring]), []).append(box)
    return [(look, "".join(boxes)) for look, boxes in found.items()]
