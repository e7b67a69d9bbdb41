"""The loads of a plan's links: by fabric, the busiest ones, and along the tiers of the scale-out fabric."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import topologies
from solver.plan import LinkLoad
from solver.view.scene import Scene

#: What a reader calls each fabric.
NAMES = {
    "scale_up": "scale-up",
    "c2c": "device to host (C2C)",
    "pcie": "device to host (PCIe)",
    "scale_out": "scale-out",
    "storage": "storage",
}
BUSIEST = 8
#: Up to so many hosts are drawn one by one; more are drawn as racks.
MOST_HOSTS = 40


@dataclass(frozen=True)
class FabricLoad:
    """One fabric of the cluster; each direction of a link counts.

    Attributes
    ----------
    links, loaded: how many directions there are, and how many carry any traffic of the plan.
    bytes_per_s: what they carry together.
    busiest: the fullest of them.
    """

    fabric: str
    links: int
    loaded: int
    bytes_per_s: float
    busiest: LinkLoad | None


@dataclass(frozen=True)
class DrawnLinks:
    """All links between two nodes of the drawing.

    Attributes
    ----------
    lower, upper: the node nearer to the devices and the one above it.
    links: how many there are; bandwidth_bytes_per_s: of all of them in one direction.
    up_bytes_per_s, down_bytes_per_s: what they carry in each direction.
    utilisation: of the busiest of them.
    """

    lower: str
    upper: str
    links: int
    bandwidth_bytes_per_s: float
    up_bytes_per_s: float
    down_bytes_per_s: float
    utilisation: float


@dataclass(frozen=True)
class TierLoad:
    """All links between a row of the drawing and those above it, each direction by itself.

    Attributes
    ----------
    lower, upper: the rows. links: how many there are.
    up, down: share of all their bandwidth that is carried; fullest: of the fullest link.
    """

    lower: str
    upper: str
    links: int
    up: float
    down: float
    fullest: float


@dataclass(frozen=True)
class FabricDiagram:
    """The scale-out fabric, with everything below a leaf drawn as hosts or racks.

    Attributes
    ----------
    tiers: names of the nodes of each row, from the hosts up; titles: what each row is.
    """

    tiers: tuple[tuple[str, ...], ...]
    titles: tuple[str, ...]
    bundles: tuple[DrawnLinks, ...]

    @cached_property
    def tier_loads(self) -> tuple[TierLoad, ...]:
        """The links from each row to every row above it, where there are any."""
        title = {name: number for number, names in enumerate(self.tiers) for name in names}
        found: dict[tuple[int, int], list[DrawnLinks]] = {}
        for bundle in self.bundles:
            found.setdefault((title[bundle.lower], title[bundle.upper]), []).append(bundle)
        return tuple(
            TierLoad(
                lower=self.titles[low],
                upper=self.titles[high],
                links=sum(bundle.links for bundle in bundles),
                up=math.fsum(bundle.up_bytes_per_s for bundle in bundles) / whole,
                down=math.fsum(bundle.down_bytes_per_s for bundle in bundles) / whole,
                fullest=max(bundle.utilisation for bundle in bundles),
            )
            for (low, high), bundles in sorted(found.items())
            for whole in [math.fsum(bundle.bandwidth_bytes_per_s for bundle in bundles)]
        )

    @cached_property
    def heat(self) -> Mapping[str, float]:
        """Utilisation of the busiest link at each node."""
        found: dict[str, float] = {}
        for bundle in self.bundles:
            for node in (bundle.lower, bundle.upper):
                found[node] = max(found.get(node, 0.0), bundle.utilisation)
        return found


def busiest_links(scene: Scene, most: int = BUSIEST) -> list[LinkLoad]:
    """The fullest links of the plan."""
    return sorted(scene.plan.links, key=lambda link: (-link.utilisation, link.source, link.target))[:most]


def loads_by_fabric(scene: Scene) -> list[FabricLoad]:
    """Every fabric that the cluster has, from the devices outwards."""
    count = Counter(data["fabric"] for _, _, data in scene.instance.cluster.edges(data=True))
    found = []
    for fabric in NAMES:
        loaded = [link for link in scene.plan.links if link.fabric == fabric]
        if count[fabric]:
            carried = math.fsum(link.bytes_per_s for link in loaded)
            busiest = max(loaded, key=lambda link: link.utilisation, default=None)
            found.append(FabricLoad(fabric, 2 * count[fabric], len(loaded), carried, busiest))
    return found


def fabric_of(scene: Scene) -> FabricDiagram | None:
    """The scale-out fabric as rows of nodes; None where the cluster has none."""
    tiers = topologies.fabric_tiers(scene.instance.cluster)
    if not tiers:
        return None
    switches = tuple(tuple(ports.name for ports in tier.switches) for tier in tiers)
    level = {name: number for number, row in enumerate(switches, start=1) for name in row}
    place = _places(scene)
    node = _nodes(scene, level, place)
    bundles = tuple(_bundles(scene, node, level))
    below = {bundle.lower for bundle in bundles} - level.keys()
    ends = tuple(name for name in dict.fromkeys((*place.values(), *sorted(below))) if name in below)
    title = "hosts" if _shows_hosts(scene) else "racks"
    return FabricDiagram((ends, *switches), (title, *(tier.name for tier in tiers)), bundles)


def _shows_hosts(scene: Scene) -> bool:
    return sum(len(rack.trays) for rack in scene.racks) <= MOST_HOSTS


def _places(scene: Scene) -> dict[str, str]:
    """The host or rack that stands for each host and device, in the order of the drawing."""
    hosts = _shows_hosts(scene)
    found = {}
    for rack in scene.racks:
        for tray in rack.trays:
            for vertex in (tray.host, *tray.devices):
                found[vertex] = tray.host if hosts else rack.name
    return found


def _nodes(scene: Scene, level: Mapping[str, int], place: Mapping[str, str]) -> dict[str, str]:
    """The node that stands for each vertex on the fabric: a switch for itself, the rest for its host or rack."""
    found = {}
    for a, b, data in scene.instance.cluster.edges(data=True):
        if data["fabric"] in ("scale_out", "storage") and (a in level or b in level):
            for vertex in (a, b):
                found[vertex] = vertex if vertex in level else place.get(vertex, vertex)
    return found


def _bundles(scene: Scene, node: Mapping[str, str], level: Mapping[str, int]) -> Iterator[DrawnLinks]:
    loads = {(link.source, link.target): link for link in scene.plan.links}
    edges = scene.instance.cluster.edges
    links: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for edge in edges:
        if all(vertex in node for vertex in edge):
            lower, upper = sorted(edge, key=lambda vertex: (level.get(vertex, 0), vertex))
            links.setdefault((node[lower], node[upper]), []).append((lower, upper))
    for (low, high), pairs in links.items():
        up = [loads[pair] for pair in pairs if pair in loads]
        down = [loads[pair[::-1]] for pair in pairs if pair[::-1] in loads]
        yield DrawnLinks(
            lower=low,
            upper=high,
            links=len(pairs),
            bandwidth_bytes_per_s=math.fsum(edges[pair]["bandwidth_bytes_per_s"] for pair in pairs),
            up_bytes_per_s=math.fsum(link.bytes_per_s for link in up),
            down_bytes_per_s=math.fsum(link.bytes_per_s for link in down),
            utilisation=max((link.utilisation for link in (*up, *down)), default=0.0),
        )
