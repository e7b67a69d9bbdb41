"""Dimension-ordered routes on a grid of devices that may wrap around.

Traffic corrects one coordinate after the other, each the short way round; halfway round it takes both ways in equal
parts. For all devices sending evenly to all others this loads the links of one dimension equally.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import networkx as nx
import numpy as np

from topologies.components import Component
from topologies.routes.ecmp import Floats, Ints

Place = tuple[int, ...]
_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Rings:
    """What a box of a torus offers to rings in all its dimensions at once.

    Attributes
    ----------
    bytes_per_s: of one device over all dimensions: both ways where a ring closes, one way along an open line.
    steps: hops until every device has met every other, dimension by dimension.
    neighbours: two devices one hop apart.
    """

    bytes_per_s: float
    steps: int
    neighbours: tuple[str, str]


@dataclass(frozen=True)
class TorusShape:
    """Sides of a grid, and which dimensions close to a ring."""

    sides: Place
    wraps: tuple[bool, ...]
    at: Mapping[Place, str]

    @property
    def closed(self) -> bool:
        """Whether every dimension is a ring."""
        return all(side == 1 or wraps for side, wraps in zip(self.sides, self.wraps, strict=True))

    @property
    def open_sides(self) -> str:
        """The sides that do not close, empty where all do."""
        sides = sorted(side for side, wraps in zip(self.sides, self.wraps, strict=True) if side > 1 and not wraps)
        return f"open {' '.join(map(str, sides))}" if sides else ""

    @property
    def ordered_sides(self) -> Place:
        """Sides from long to short, without those of one."""
        return tuple(sorted((side for side in self.sides if side > 1), reverse=True))


def torus_shape(graph: nx.Graph[str], component: Component) -> TorusShape | None:
    """The shape of a component whose coordinates fill a box and whose links are exactly those of the grid."""
    raw = [graph.nodes[device].get("coordinates") for device in component.devices]
    if component.switches or any(not place for place in raw) or len({len(place) for place in raw if place}) != 1:
        return None
    places = np.array(raw, dtype=np.int64)
    places -= places.min(axis=0)
    sides = tuple(int(side) + 1 for side in places.max(axis=0))
    at = {tuple(map(int, place)): device for place, device in zip(places, component.devices, strict=True)}
    if len(at) != len(component.devices) or math.prod(sides) != len(at):
        return None
    wraps = tuple(_closes(graph, at, axis, side) for axis, side in enumerate(sides))
    expected = {frozenset(pair) for pair in _grid_links(at, sides, wraps)}
    found = {
        frozenset((a, b))
        for a in component.devices
        for b, data in graph[a].items()
        if data["fabric"] == "scale_up" and _healthy(graph, b)
    }
    return TorusShape(sides, wraps, at) if expected == found else None


def _healthy(graph: nx.Graph[str], vertex: str) -> bool:
    return bool(graph.nodes[vertex].get("healthy", True))


def _closes(graph: nx.Graph[str], at: Mapping[Place, str], axis: int, side: int) -> bool:
    origin = (0,) * len(next(iter(at)))
    last = (*origin[:axis], side - 1, *origin[axis + 1 :])
    return side == 2 or (side > 2 and graph.has_edge(at[origin], at[last]))


def _grid_links(at: Mapping[Place, str], sides: Place, wraps: tuple[bool, ...]) -> set[tuple[str, str]]:
    found = set()
    for place, name in at.items():
        for axis, side in enumerate(sides):
            if side > 1 and (place[axis] < side - 1 or wraps[axis]):
                found.add((name, at[_stepped(place, axis, side, 1)]))
    return found


def _stepped(place: Place, axis: int, side: int, step: int) -> Place:
    return (*place[:axis], (place[axis] + step) % side, *place[axis + 1 :])


class TorusRoutes:
    """Routes of one grid; loads are arrays over all directed links of the cluster."""

    def __init__(
        self, graph: nx.Graph[str], component: Component, shape: TorusShape, arc: Callable[[str, str], int]
    ) -> None:
        self.shape = shape
        self.place = {name: place for place, name in shape.at.items()}
        self.weights = np.array(
            [math.prod(shape.sides[axis + 1 :]) for axis in range(len(shape.sides))], dtype=np.int64
        )
        size = len(shape.at)
        self.arcs = np.full((len(shape.sides), 2, size), -1, dtype=np.int64)
        self.link_bytes_per_s = [math.inf] * len(shape.sides)
        for place, name in shape.at.items():
            for axis, way in itertools.product(range(len(shape.sides)), (0, 1)):
                other = shape.at[_stepped(place, axis, shape.sides[axis], 1 - 2 * way)]
                if other != name and graph.has_edge(name, other):
                    self.arcs[axis, way, self._flat(np.array(place))] = arc(name, other)
                    slowest = min(self.link_bytes_per_s[axis], graph.edges[name, other]["bandwidth_bytes_per_s"])
                    self.link_bytes_per_s[axis] = slowest

    def add(self, loads: Floats, demand: Mapping[tuple[str, str], float]) -> None:
        starts = np.array([self.place[source] for source, _ in demand], dtype=np.int64)
        ends = np.array([self.place[sink] for _, sink in demand], dtype=np.int64)
        self._route(loads, starts, ends, np.array(list(demand.values())))

    def add_uniform(self, loads: Floats, sources: Sequence[str], sinks: Sequence[str], rate: float) -> None:
        if set(sources) == set(sinks) == set(self.place) and self.shape.closed:
            self._add_full(loads, rate)
            return
        ends = np.array([self.place[sink] for sink in sinks], dtype=np.int64)
        step = max(1, _AT_ONCE // len(sinks))
        for first in range(0, len(sources), step):
            starts = np.array([self.place[source] for source in sources[first : first + step]], dtype=np.int64)
            pairs = np.repeat(starts, len(ends), axis=0), np.tile(ends, (len(starts), 1))
            self._route(loads, *pairs, np.full(len(pairs[0]), rate))

    def path(self, source: str, sink: str) -> list[str]:
        here, end, path = self.place[source], self.place[sink], [source]
        for axis, side in enumerate(self.shape.sides):
            while here[axis] != end[axis]:
                forward = (end[axis] - here[axis]) % side
                short = forward * 2 <= side if self.shape.wraps[axis] else end[axis] > here[axis]
                here = _stepped(here, axis, side, 1 if short else -1)
                path.append(self.shape.at[here])
        return path

    def rings(self, devices: Sequence[str]) -> Rings | None:
        """Rings over devices that fill a box, or None where they do not."""
        places = np.array([self.place[device] for device in devices], dtype=np.int64)
        low, high = places.min(axis=0), places.max(axis=0)
        extent = (high - low + 1).tolist()
        if math.prod(extent) != len(devices) or len(devices) < 2:
            return None
        rate = 0.0
        for axis, (length, side) in enumerate(zip(extent, self.shape.sides, strict=True)):
            if length > 1:
                closed = length == side > 2 and self.shape.wraps[axis]
                rate += self.link_bytes_per_s[axis] * (2 if closed else 1)
        corner = tuple(map(int, low))
        axis = next(axis for axis, length in enumerate(extent) if length > 1)
        other = _stepped(corner, axis, self.shape.sides[axis], 1)
        return Rings(rate, sum(extent) - len(extent), (self.shape.at[corner], self.shape.at[other]))

    def _add_full(self, loads: Floats, rate: float) -> None:
        """All to all on a closed torus: each way of a ring of L carries n/L times its L offsets' hops that way."""
        for axis, side in enumerate(self.shape.sides):
            hops = sum(min(offset, side - offset) for offset in range(side)) / 2
            if side > 1:
                for way in (0, 1):
                    np.add.at(loads, self.arcs[axis, way], rate * hops * len(self.shape.at) / side)

    def _route(self, loads: Floats, starts: Ints, ends: Ints, rates: Floats) -> None:
        here = starts.copy()
        for axis, side in enumerate(self.shape.sides):
            ahead = ends[:, axis] - here[:, axis]
            forward, backward = np.maximum(ahead, 0), np.maximum(-ahead, 0)
            part = np.ones(len(ahead))
            if self.shape.wraps[axis]:
                ahead %= side
                part = np.where(2 * ahead == side, 0.5, 1.0)
                forward = np.where(2 * ahead <= side, ahead, 0)
                backward = np.where(2 * ahead >= side, (side - ahead) % side, 0)
            for way, steps in ((0, forward), (1, backward)):
                self._walk(loads, here, axis, way, steps, rates * part)
            here[:, axis] = ends[:, axis]

    def _walk(self, loads: Floats, starts: Ints, axis: int, way: int, steps: Ints, rates: Floats) -> None:
        here = starts.copy()
        for taken in range(int(steps.max(initial=0))):
            going = steps > taken
            np.add.at(loads, self.arcs[axis, way, self._flat(here[going])], rates[going])
            here[:, axis] = (here[:, axis] + 1 - 2 * way) % self.shape.sides[axis]

    def _flat(self, places: Ints) -> Ints:
        flat: Ints = places @ self.weights
        return flat
