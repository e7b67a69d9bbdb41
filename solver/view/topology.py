"""The cluster as racks, trays and devices, each device in the colour of what it runs."""

from __future__ import annotations

from solver.plan import Plan
from solver.view.amounts import plural
from solver.view.cells import SWATCH, draw_rack, shortened, swatch
from solver.view.colouring import Colouring, colouring
from solver.view.drawn import Drawn, to_png
from solver.view.markup import Markup, join, number, tag
from solver.view.scene import Scene
from solver.view.shelves import Fit
from solver.view.tiles import draw_tile

#: Width of a drawing of all racks.
WIDTH = 1120


def svg(plan: Plan, by: str = "pool") -> str:
    """The whole cluster as a standalone SVG.

    Parameters
    ----------
    by: what the colours tell: ``pool``, ``replica``, ``stage``, ``rank``, or ``load`` for the fullest link.

    Raises
    ------
    BadInput: there is no such colouring.
    """
    scene = Scene.of(plan)
    return cluster_svg(scene, colouring(scene, by))


def png(plan: Plan, by: str = "pool", scale: float = 2.0) -> bytes:
    """As :func:`svg`, as PNG; ``scale`` is its resolution over 96 dpi."""
    return to_png(svg(plan, by), scale)


def cluster_svg(scene: Scene, way: Colouring) -> str:
    """As :func:`svg`, for a scene."""
    return draw_cluster(scene, way).standalone(way.way)


def draw_cluster(scene: Scene, way: Colouring) -> Drawn:
    """The whole cluster, for a page or a file."""
    keys = legend(way)
    x, y, row, widest = 0.0, 50.0 + keys.height, 0.0, keys.width
    parts = [tag("text", _title(scene), x=0, y=14, class_="title")]
    parts.append(tag("g", keys.elements, transform="translate(0,28)"))
    fit = Fit.of(scene.racks, WIDTH, way.longest)
    for rack in scene.racks:
        drawn = draw_tile(scene, rack, [way]) if scene.is_large else draw_rack(scene, rack, [way], fit, titles=True)
        width = max(drawn.width, 40.0)
        if x and x + width > WIDTH:
            x, y, row = 0.0, y + row + 22, 0.0
        parts.append(tag("text", shortened(rack.name, max(4, round(width / 6))), x=x, y=y - 4))
        parts.append(tag("g", drawn.elements, transform=f"translate({number(x)},{number(y)})"))
        x, row, widest = x + width + 10, max(row, drawn.height), max(widest, x + width)
    return Drawn(widest, y + row, tag("g", parts, data_by=way.way))


def legend(way: Colouring) -> Drawn:
    """The meaning of every colour, in rows."""
    x, y, widest = 0.0, 0.0, 0.0
    parts: list[Markup] = []
    for key in way.legend():
        width = SWATCH[0] + 20 + 5.9 * len(key.meaning)
        if x and x + width > WIDTH:
            x, y = 0.0, y + SWATCH[1] + 6
        text = tag("text", key.meaning, x=SWATCH[0] + 5, y=11.5)
        parts.append(tag("g", swatch(key).elements, text, transform=f"translate({number(x)},{number(y)})"))
        x, widest = x + width, max(widest, x + width)
    return Drawn(widest, y + SWATCH[1], join(parts))


def _title(scene: Scene) -> str:
    used = f"{len(scene.placed):,} of {plural(scene.healthy, 'healthy device')}"
    return f"{scene.instance.llm.name} on {used}"
