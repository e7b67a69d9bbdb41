"""Where every rank runs: racks of small dots, coloured by stage, data, expert, context or tensor group."""

from __future__ import annotations

from collections import defaultdict

from solver.view.colouring import step
from solver.view.drawn import Drawn
from solver.view.markup import Markup, join, number, tag
from solver.view.palette import ORDER
from solver.view.racks import Rack, Tray
from solver.view.training.stage_set import RankPlace, StageSet

#: Pixels of a device, in a small cluster and in a large one.
DOTS = (9, 4)
#: Racks of more devices than this in all are drawn small and without their names.
MOST_NAMED = 1024
COLUMNS = 8


def placement(scene: StageSet) -> Markup:
    """Switch between colourings, legends, and the racks."""
    ways = list(scene.ways)
    return tag(
        "section",
        tag("h2", "Where every rank runs"),
        tag(
            "p",
            f"{len(scene.plan.placement):,} ranks; a row of dots is a host, which says what it runs.",
            class_="hint",
        ),
        tag("fieldset", tag("legend", "Colour by"), (_choice(way, way == "stage") for way, _ in ways), class_="ways"),
        (_legend(way, count) for way, count in ways),
        tag("div", (_rack(scene, rack, ways) for rack in scene.racks), class_=f"tiles dot{_dot(scene)}"),
        id="where",
    )


def placement_rules(scene: StageSet) -> str:
    """CSS: the chosen way colours the dots and shows its legend, without any script."""
    rules = [f"#where .way{{display:none}}.dots path{{stroke:none}}.tiles.dot{min(DOTS)}{{gap:5px}}"]
    for way, _ in scene.ways:
        chosen = f"#where:has(input[value={way}]:checked)"
        rules.append(f"{chosen} .way.{way}{{display:revert}}")
        rules += [f"{chosen} .{way[0]}{index}{{fill:{fill}}}" for index, (fill, _) in enumerate(ORDER)]
    return "".join(rules)


def _choice(way: str, chosen: bool) -> Markup:
    return tag("label", tag("input", type="radio", name="by", value=way, checked=chosen), f" {way} ")


def _legend(way: str, count: int) -> Markup:
    members: dict[int, list[int]] = defaultdict(list)
    for group in range(count):
        members[step(group, count)].append(group)
    keys = []
    for which, groups in members.items():
        name = f"{way} {groups[0]}" + (f"–{groups[-1]}" if len(groups) > 1 else "")
        dot = Drawn(12, 12, tag("path", d="M1 1h10v10h-10z", class_=f"{way[0]}{which}"))
        keys.append(tag("li", dot.svg(aria_hidden="true", class_="dots"), tag("span", name)))
    return tag("ul", keys, class_=f"legend way {way}")


def _dot(scene: StageSet) -> int:
    """Pixels of a device."""
    return DOTS[sum(len(tray.devices) for rack in scene.racks for tray in rack.trays) > MOST_NAMED]


def _rack(scene: StageSet, rack: Rack, ways: list[tuple[str, int]]) -> Markup:
    """One rack: a row (or several) of dots for each host, dots of one look in one path."""
    elements, y = [], 0
    dot = _dot(scene)
    small = dot == min(DOTS)
    for tray in rack.trays:
        rows = -(-len(tray.devices) // COLUMNS)
        elements.append(tag("g", tag("title", _told(scene, tray)), _dots(scene, tray, y, ways, dot)))
        y += rows * dot + (1 if small else 2)
    drawn = Drawn(COLUMNS * dot, y, join(elements))
    name = None if small else tag("figcaption", rack.name)
    return tag("figure", name, drawn.svg(role="img", aria_label=rack.name, class_="dots"), class_="rack")


def _dots(scene: StageSet, tray: Tray, top: int, ways: list[tuple[str, int]], dot: int) -> list[Markup]:
    looks: dict[str, list[str]] = defaultdict(list)
    for index, device in enumerate(tray.devices):
        row, column = divmod(index, COLUMNS)
        side = dot - 1
        box = f"M{number(column * dot)} {number(top + row * dot)}h{side}v{side}h-{side}z"
        looks[_look(scene, device, ways)].append(box)
    return [tag("path", d="".join(boxes), class_=look) for look, boxes in looks.items()]


def _look(scene: StageSet, device: str, ways: list[tuple[str, int]]) -> str:
    place = scene.places.get(device)
    if place is None:
        return "u" if scene.healthy(device) else "x"
    return " ".join(f"{way[0]}{step(getattr(place, way), count)}" for way, count in ways)


def _told(scene: StageSet, tray: Tray) -> str:
    """A host in words: which groups its ranks belong to."""
    places = [scene.places[device] for device in tray.devices if device in scene.places]
    if not places:
        return f"{tray.host}: not used"
    words = [f"{way} {_span([getattr(place, way) for place in places])}" for way in RankPlace._fields]
    return f"{tray.host}: {', '.join(words)}"


def _span(numbers: list[int]) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low}–{high}"
