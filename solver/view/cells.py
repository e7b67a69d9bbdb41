"""Racks, trays and devices as SVG."""

from __future__ import annotations

from collections.abc import Sequence

from solver.view.colouring import Colouring, Key
from solver.view.drawn import Drawn
from solver.view.markup import Markup, join, number, tag
from solver.view.racks import Rack, Tray
from solver.view.scene import Scene
from solver.view.shelves import EDGE, GAP, HEIGHT, LABEL, Fit, Frame, Spot, frames, outline, width_of

#: Width and height of a device in a legend.
SWATCH = (34, HEIGHT)
#: What a device says that runs no rank.
USES = {"idle": "billed, runs nothing", "free": "not used", "broken": "not healthy"}


def draw_rack(scene: Scene, rack: Rack, colourings: Sequence[Colouring], fit: Fit, titles: bool = False) -> Drawn:
    """One rack; trays of one scale-up domain share a frame, and a line runs around each replica.

    Parameters
    ----------
    colourings: each gives every device a class; the first one writes its letters.
    titles: whether every device says what it runs; a page says it in another way.
    """
    shelves = list(frames(rack, fit.abreast))
    # Domains of several trays have these side by side, single trays stand beside each other.
    blocks = max(frame.blocks for frame in shelves)
    across = min(max(fit.abreast // blocks, 1), len(shelves))
    block = width_of(rack, fit)
    width, y = blocks * block + EDGE, 1.0
    elements: list[Markup] = []
    for start in range(0, len(shelves), across):
        line = shelves[start : start + across]
        for index, frame in enumerate(line):
            drawn = _frame(scene, rack, frame, colourings, fit, titles)
            elements.append(tag("g", drawn.elements, transform=f"translate({index * (width + GAP)},{number(y)})"))
        y += max(frame.rows for frame in line) * (HEIGHT + GAP) + EDGE + 4
    return Drawn(across * (width + GAP) - GAP, y - 3, join(elements))


def _frame(
    scene: Scene, rack: Rack, frame: Frame, colourings: Sequence[Colouring], fit: Fit, titles: bool
) -> Drawn:
    """The devices of one domain, a frame around all, and a line around each replica."""
    block = width_of(rack, fit)
    width, height = frame.blocks * block + EDGE, frame.rows * (HEIGHT + GAP) + EDGE

    def corner(spot: Spot) -> tuple[float, float]:
        return LABEL + spot.block * block + spot.column * (fit.cell + GAP), 4 + spot.row * (HEIGHT + GAP)

    places = {spot: (device, *corner(spot)) for device, spot in frame.spots.items()}
    return Drawn(
        width,
        height,
        join(
            [
                tag("rect", class_="frame", x=1, width=width - 2, height=height, rx=4),
                *(_name(rack, tray, *corner(spot)) for tray, spot in frame.trays),
                *(_device(scene, device, x, y, colourings, fit.cell, titles) for device, x, y in places.values()),
                tag("path", class_="around", d=outline(scene, places, (fit.cell, HEIGHT), GAP)),
            ]
        ),
    )


def _name(rack: Rack, tray: Tray, x: float, y: float) -> Markup:
    name = shortened(tray.host.removeprefix(f"{rack.name}/"), 7)
    return tag("text", name, class_="host", x=x - 4, y=y + 11.5)


def _device(
    scene: Scene, device: str, x: float, y: float, colourings: Sequence[Colouring], width: int, titles: bool
) -> Markup:
    """A device: filled where it runs a rank, grey where billed for nothing, hollow where free, crossed out where broken."""
    return tag(
        "g",
        tag("title", told(scene, device)) if titles else None,
        tag("rect", width=width, height=HEIGHT, rx=2),
        _mark(colourings[0].letters(device), scene.use(device) == "broken", width),
        class_=f"d {state(device, colourings)}",
        data_i=scene.position[device],
        transform=f"translate({number(x)},{number(y)})",
    )


def _mark(letters: str, broken: bool, width: int) -> Markup | None:
    if broken:
        return tag("path", d=f"M8 4L{width - 8} {HEIGHT - 4}M{width - 8} 4L8 {HEIGHT - 4}")
    return tag("text", letters, x=width / 2, y=11.5) if letters else None


def state(device: str, colourings: Sequence[Colouring]) -> str:
    """CSS classes of a device."""
    return " ".join(dict.fromkeys(colouring.swatch(device) for colouring in colourings))


def told(scene: Scene, device: str) -> str:
    """A device in words."""
    rank = scene.placed.get(device)
    if rank is None:
        return f"{device}: {USES[scene.use(device)]}"
    return f"{device}: {rank.pool}, replica {rank.replica}, stage {rank.stage}, rank {rank.rank}"


def swatch(key: Key) -> Drawn:
    """A device as a legend shows it."""
    box = tag("rect", width=SWATCH[0], height=HEIGHT, rx=2)
    return Drawn(*SWATCH, tag("g", box, _mark(key.letters, key.swatch == "x", SWATCH[0]), class_=f"d {key.swatch}"))


def shortened(name: str, most: int) -> str:
    """The end of a name, which tells more than its start."""
    return name if len(name) <= most else "…" + name[len(name) - most + 1 :]
