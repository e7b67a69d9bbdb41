"""A rack as a small picture of its devices, for clusters too large to draw every device in full."""

from __future__ import annotations

from collections.abc import Sequence

from solver.view.cells import COLUMNS, state
from solver.view.colouring import Colouring
from solver.view.drawn import Drawn
from solver.view.markup import join, tag
from solver.view.racks import Rack
from solver.view.scene import Scene

#: Width and height of a device, with its hair of space.
DOT = (7, 5)


def draw_tile(scene: Scene, rack: Rack, colourings: Sequence[Colouring]) -> Drawn:
    """One path for all devices that look alike, and one group of paths for each way to colour them."""
    place = _places(rack)
    groups = [
        tag("g", (tag("path", class_=look, d=d) for look, d in _paths(scene, place, way)), class_=f"way {way.way}")
        for way in colourings
    ]
    width = (1 + max(column for column, _ in place.values())) * DOT[0] + 1
    height = (1 + max(row for _, row in place.values())) * DOT[1] + 1
    frame = tag("rect", class_="frame", width=width, height=height, rx=1)
    return Drawn(width, height, join([*groups, frame]))


def _places(rack: Rack) -> dict[str, tuple[int, int]]:
    """Column and row of each device."""
    found = {}
    top = 0
    for tray in rack.trays:
        for index, device in enumerate(tray.devices):
            row, column = divmod(index, COLUMNS)
            found[device] = column, top + row
        top += -(-len(tray.devices) // COLUMNS)
    return found


def _paths(scene: Scene, place: dict[str, tuple[int, int]], colouring: Colouring) -> list[tuple[str, str]]:
    """CSS class and outline of all devices that look alike."""
    found: dict[str, list[str]] = {}
    across, down = DOT[0] - 1, DOT[1] - 1
    for device, (column, row) in place.items():
        box = f"M{column * DOT[0] + 1} {row * DOT[1] + 1}h{across}v{down}h-{across}z"
        found.setdefault(state(scene, device, [colouring]), []).append(box)
    return [(look, "".join(boxes)) for look, boxes in found.items()]
