"""The cluster: every device and what it runs, in four colourings, with a panel that tells more."""

from __future__ import annotations

from solver.view.amounts import plural
from solver.view.cells import draw_rack, swatch
from solver.view.colouring import WAYS, Colouring
from solver.view.drawn import Drawn
from solver.view.markup import Markup, tag
from solver.view.racks import Rack
from solver.view.scene import Scene
from solver.view.tiles import draw_tile

HINT = "Point at a device for its rank, layers, experts and memory, or move with the arrow keys; Enter keeps it."


def cluster(scene: Scene) -> Markup:
    """Switch between colourings, legends, racks, and the panel of the device under the pointer."""
    ways = [Colouring(scene, way) for way in WAYS]
    draw = _tile if scene.is_large else _rack
    return tag(
        "section",
        tag("h2", "Where every rank runs"),
        tag("p", _size(scene), class_="hint") if scene.is_large else None,
        tag("fieldset", tag("legend", "Colour by"), (_choice(way) for way in ways), class_="ways"),
        (_legend(way) for way in ways),
        tag(
            "div",
            tag("div", (draw(scene, rack, ways) for rack in scene.racks), id="racks", class_=_room(scene)),
            tag("aside", tag("p", HINT, class_="hint"), id="detail", aria_label="the device"),
            class_="beside",
        ),
        id="cluster",
        data_by=ways[0].way,
    )


def _size(scene: Scene) -> str:
    racks = plural(len(scene.racks), "rack")
    return f"{plural(len(scene.devices), 'device')} in {racks}, a dot for each; open a rack to see its devices."


def _room(scene: Scene) -> str:
    return "tiles" if scene.is_large else "racks"


def _choice(way: Colouring) -> Markup:
    chosen = way.way == WAYS[0]
    return tag("label", tag("input", type="radio", name="by", value=way.way, checked=chosen), f" {way.way} ")


def _legend(way: Colouring) -> Markup:
    keys = (tag("li", swatch(key).svg(aria_hidden="true"), tag("span", key.meaning)) for key in way.legend())
    return tag("ul", keys, class_=f"legend way {way.way}")


def _rack(scene: Scene, rack: Rack, ways: list[Colouring]) -> Markup:
    return tag("figure", tag("figcaption", rack.name), _full(scene, rack, ways), class_="rack")


def _tile(scene: Scene, rack: Rack, ways: list[Colouring]) -> Markup:
    """A rack that opens: its dots in view, its devices in a template that costs nothing until then."""
    name = tag("span", rack.name, class_="name")
    dots = draw_tile(scene, rack, ways).svg(aria_hidden="true")
    summary = tag("summary", name, dots, title=_counts(scene, rack))
    return tag("details", summary, tag("template", _full(scene, rack, ways)), class_="rack")


def _full(scene: Scene, rack: Rack, ways: list[Colouring]) -> Markup:
    drawn: Drawn = draw_rack(scene, rack, ways)
    return drawn.svg(role="group", aria_label=f"{rack.name}: {_counts(scene, rack)}")


def _counts(scene: Scene, rack: Rack) -> str:
    """How many devices of each pool a rack holds."""
    count: dict[str, int] = {}
    for device in rack.devices:
        rank = scene.placed.get(device)
        use = rank.pool if rank else "not used" if scene.is_healthy(device) else "not healthy"
        count[use] = count.get(use, 0) + 1
    return ", ".join(f"{number:,} {use}" for use, number in count.items())
