"""Racks, trays and devices as SVG."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from solver.view.colouring import Colouring, Key
from solver.view.drawn import Drawn
from solver.view.markup import Markup, join, number, tag
from solver.view.racks import Rack, Tray
from solver.view.scene import Scene

CELL = (28, 16)
GAP = 2
LABEL = 42
#: Devices in one row of a tray.
COLUMNS = 8


def draw_rack(scene: Scene, rack: Rack, colourings: Sequence[Colouring], titles: bool = False) -> Drawn:
    """One rack; trays of one scale-up domain share a frame.

    Parameters
    ----------
    colourings: each gives every device a class; the first one writes its letters.
    titles: whether every device says what it runs; a page says it in another way.
    """
    elements: list[Markup] = []
    width = LABEL + min(COLUMNS, max(len(tray.devices) for tray in rack.trays)) * (CELL[0] + GAP) + 6
    y = 1.0
    for _, trays in itertools.groupby(rack.trays, key=lambda tray: tray.domain):
        top = y
        y += 4
        for tray in trays:
            elements += _tray(scene, rack, tray, y, colourings, titles)
            y += _rows(tray) * (CELL[1] + GAP) + GAP
        y += 2
        elements.append(tag("rect", class_="frame", x=1, y=top, width=width - 2, height=y - top, rx=4))
        y += 5
    return Drawn(width, y - 4, join(elements))


def _rows(tray: Tray) -> int:
    return -(-len(tray.devices) // COLUMNS)


def _tray(
    scene: Scene, rack: Rack, tray: Tray, y: float, colourings: Sequence[Colouring], titles: bool
) -> Iterator[Markup]:
    name = shortened(tray.host.removeprefix(f"{rack.name}/"), 7)
    yield tag("text", name, class_="host", x=LABEL - 4, y=y + 11.5)
    for index, device in enumerate(tray.devices):
        row, column = divmod(index, COLUMNS)
        x, down = LABEL + column * (CELL[0] + GAP), y + row * (CELL[1] + GAP)
        yield _device(scene, device, f"translate({number(x)},{number(down)})", colourings, titles)


def _device(scene: Scene, device: str, where: str, colourings: Sequence[Colouring], titles: bool) -> Markup:
    """A device: filled where it runs a rank, hollow where unused, crossed out where unhealthy."""
    return tag(
        "g",
        tag("title", told(scene, device)) if titles else None,
        _CELL,
        *_marks(scene, device, colourings[0]),
        class_=f"d {state(scene, device, colourings)}",
        data_i=scene.position[device],
        transform=where,
    )


def _marks(scene: Scene, device: str, lettering: Colouring) -> Iterator[Markup]:
    if not scene.is_healthy(device):
        yield _CROSS
    elif device in scene.placed:
        yield tag("text", lettering.letters(scene.placed[device]), x=CELL[0] // 2, y=11.5)


def state(scene: Scene, device: str, colourings: Sequence[Colouring]) -> str:
    """CSS classes of a device."""
    if not scene.is_healthy(device):
        return "x"
    rank = scene.placed.get(device)
    return "u" if rank is None else " ".join(colouring.swatch(rank) for colouring in colourings)


def told(scene: Scene, device: str) -> str:
    """A device in words."""
    rank = scene.placed.get(device)
    if rank is None:
        return f"{device}: {'not used' if scene.is_healthy(device) else 'not healthy'}"
    return f"{device}: {rank.pool}, replica {rank.replica}, stage {rank.stage}, rank {rank.rank}"


def swatch(key: Key) -> Drawn:
    """A device as a legend shows it."""
    letters = tag("text", key.letters, x=CELL[0] // 2, y=11.5)
    return Drawn(*CELL, tag("g", _CELL, _CROSS if key.swatch == "x" else None, letters, class_=f"d {key.swatch}"))


def shortened(name: str, most: int) -> str:
    """The end of a name, which tells more than its start."""
    return name if len(name) <= most else "…" + name[len(name) - most + 1 :]


_CELL = tag("rect", width=CELL[0], height=CELL[1], rx=2)
_CROSS = tag("path", d=f"M5 4L{CELL[0] - 5} {CELL[1] - 4}M{CELL[0] - 5} 4L5 {CELL[1] - 4}")
