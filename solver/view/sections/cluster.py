"""The cluster: every device and what it runs, in five colourings, with a panel that tells more."""

from __future__ import annotations

from collections.abc import Iterable

from solver.view.amounts import plural
from solver.view.cells import USES, draw_rack, swatch
from solver.view.colouring import NAMES, WAYS, Colouring
from solver.view.markup import Markup, tag
from solver.view.racks import Rack
from solver.view.scene import Scene
from solver.view.shelves import EDGE, Fit, width_of
from solver.view.tiles import draw_tile, tile_width

#: Width of all racks on a page, beside which the panel stands, and of the name of one [px].
ROOM, NAME = 824, 46
READ = (
    "A device says its pool, stage (where there are several) and rank; a line runs around each replica. Point at one, or use "
    "Tab and the arrow keys, for its layers, experts and memory; a click or Enter pins it, and what is pinned is printed."
)


def cluster(scene: Scene) -> Markup:
    """Switch between colourings, legends, racks, and the panel of the device under the pointer."""
    ways = [Colouring(scene, way) for way in WAYS]
    return tag(
        "section",
        tag("h2", "Where every rank runs"),
        tag("p", _size(scene), READ, class_="hint"),
        tag("fieldset", tag("legend", "Colour by"), (_choice(way) for way in ways), class_="ways"),
        (_legend(way) for way in ways),
        tag("div", _racks(scene, ways), _panel(), class_="stand"),
        id="cluster",
        data_by=ways[0].way,
    )


def _size(scene: Scene) -> str:
    if not scene.is_large:
        return ""
    racks = plural(len(scene.racks), "rack")
    return f"{plural(len(scene.devices), 'device')} in {racks}, a dot for each; open a rack to see its devices. "


def _racks(scene: Scene, ways: list[Colouring]) -> Markup:
    """All racks, as wide as there is room for and scrolling where there is not."""
    if scene.is_large:
        busy = [rack for rack in scene.racks if not _is_free(scene, rack)]
        free = [rack for rack in scene.racks if _is_free(scene, rack)]
        return tag("div", _tiles(scene, busy, ways), _folded(scene, free, ways), id="racks")
    fit = Fit.of(scene.racks, ROOM, _letters(ways))
    least = max(width_of(rack, fit) for rack in scene.racks) * fit.abreast + EDGE
    wall = _columns((_rack(scene, rack, ways, fit) for rack in scene.racks), "wall", least)
    return tag("div", wall, id="racks", class_="scroll")


def _letters(ways: list[Colouring]) -> int:
    """Most letters on a device."""
    return max(way.longest for way in ways)


def _tiles(scene: Scene, racks: list[Rack], ways: list[Colouring]) -> Markup:
    least = max((tile_width(rack) for rack in racks), default=0)
    return _columns((_tile(scene, rack, ways) for rack in racks), "tiles", max(least, NAME))


def _columns(drawn: Iterable[Markup], kind: str, least: int) -> Markup:
    """Racks side by side, each at least so wide [px]."""
    return tag("div", drawn, class_=f"{kind} columns", style=f"--least:{least}px")


def _is_free(scene: Scene, rack: Rack) -> bool:
    return all(scene.use(device) == "free" for device in rack.devices)


def _folded(scene: Scene, racks: list[Rack], ways: list[Colouring]) -> Markup | None:
    """Racks on which nothing runs and nothing is billed, as one line that opens."""
    if not racks:
        return None
    devices = sum(1 for rack in racks for _ in rack.devices)
    words = f"{plural(len(racks), 'rack')} on which nothing runs or is billed: {plural(devices, 'device')}"
    return tag("details", tag("summary", words), tag("template", _tiles(scene, racks, ways)), class_="free")


def _panel() -> Markup:
    """What the script fills."""
    nothing = tag("p", "No device has been pointed at.", class_="hint")
    return tag("aside", nothing, id="detail", tabindex=0, aria_label="the device pointed at", aria_live="polite")


def _choice(way: Colouring) -> Markup:
    chosen = way.way == WAYS[0]
    return tag("label", tag("input", type="radio", name="by", value=way.way, checked=chosen), f" {NAMES[way.way]} ")


def _legend(way: Colouring) -> Markup:
    keys = (tag("li", swatch(key).svg(aria_hidden="true"), tag("span", key.meaning)) for key in way.legend())
    return tag("ul", keys, class_=f"legend way {way.way}")


def _rack(scene: Scene, rack: Rack, ways: list[Colouring], fit: Fit) -> Markup:
    return tag("figure", tag("figcaption", rack.name), _full(scene, rack, ways, fit), class_="rack")


def _tile(scene: Scene, rack: Rack, ways: list[Colouring]) -> Markup:
    """A rack that opens: its dots in view, its devices in a template that costs nothing until then."""
    name = tag("span", rack.name, class_="name")
    dots = draw_tile(scene, rack, ways).svg(aria_hidden="true")
    summary = tag("summary", name, dots, title=_counts(scene, rack))
    opened = _full(scene, rack, ways, Fit.of([rack], ROOM, _letters(ways)))
    return tag("details", summary, tag("template", opened), class_="rack")


def _full(scene: Scene, rack: Rack, ways: list[Colouring], fit: Fit) -> Markup:
    drawn = draw_rack(scene, rack, ways, fit)
    return drawn.svg(role="group", aria_label=f"{rack.name}: {_counts(scene, rack)}")


def _counts(scene: Scene, rack: Rack) -> str:
    """How many devices of each pool a rack holds."""
    count: dict[str, int] = {}
    for device in rack.devices:
        rank = scene.placed.get(device)
        use = rank.pool if rank else USES[scene.use(device)]
        count[use] = count.get(use, 0) + 1
    return ", ".join(f"{number:,} {use}" for use, number in count.items())
