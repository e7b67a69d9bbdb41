"""Traffic between scale-up domains: over NICs, leaves and spines, on a quotient of the cluster.

Vertices that leave the same way are one layout (the devices of one leaf, the hosts of one row). Paths are searched
between switches only, once per layout, and loads are pushed per pair of layouts: so 10,008 devices cost as much as the
few hundred switches between them.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import networkx as nx
import numpy as np

from topologies.errors import BadInput
from topologies.naming import in_order
from topologies.routes.ecmp import EqualCost, Floats, Toward
from topologies.routes.exits import Exit, Exits
from topologies.views import kinds, links

ArcOf = Callable[[str, str], int]
Ports = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Bundle:
    """Vertices of one layout that send, or receive, the same.

    Attributes
    ----------
    vertices: who.
    layout: of all of them.
    rates: bytes/s of each vertex to (from) each layout.
    """

    vertices: Sequence[str]
    layout: int
    rates: Floats


class ScaleOutRoutes:
    """Routes over the scale-out fabric; loads are arrays over all directed links of the cluster."""

    def __init__(self, graph: nx.Graph[str], exits: Exits, arc: ArcOf) -> None:
        self._arc = arc
        self._exits = exits
        self.switches = in_order(vertex for vertex, kind in kinds(graph).items() if kind == "switch")
        index = {switch: number for number, switch in enumerate(self.switches)}
        ends = [(a, b) for a, b, fabric in links(graph) if fabric == "scale_out" and a in index and b in index]
        ends += [(b, a) for a, b in ends]
        self._arcs = np.array([arc(a, b) for a, b in ends], dtype=np.int64)
        self._core = EqualCost(len(index), [index[a] for a, _ in ends], [index[b] for _, b in ends])
        self._index = index
        self._ways: dict[str, tuple[Exit, int]] = {}
        self._layouts: dict[Ports, int] = {}
        self._ports: list[Ports] = []
        self._entries: dict[tuple[int, int], tuple[tuple[Floats, ...], Toward]] = {}

    def layouts_of(self, vertices: Iterable[str]) -> dict[str, int]:
        """The layout of each vertex, numbering those not met before."""
        return {vertex: self._way(vertex)[1] for vertex in vertices}

    def add(self, loads: Floats, between: Floats, demand: Mapping[tuple[str, str], float]) -> Floats:
        """Add flows [bytes/s] between vertices of different domains and hosts; as :meth:`add_bundles`."""
        layout = self.layouts_of(vertex for pair in demand for vertex in pair)
        sent: dict[str, Floats] = {}
        received: dict[str, Floats] = {}
        for (source, sink), rate in demand.items():
            sent.setdefault(source, np.zeros(len(self._ports)))[layout[sink]] += rate
            received.setdefault(sink, np.zeros(len(self._ports)))[layout[source]] += rate
        return self.add_bundles(
            loads,
            between,
            (Bundle([vertex], layout[vertex], rates) for vertex, rates in sent.items()),
            (Bundle([vertex], layout[vertex], rates) for vertex, rates in received.items()),
        )

    def add_bundles(
        self, loads: Floats, between: Floats, senders: Iterable[Bundle], receivers: Iterable[Bundle]
    ) -> Floats:
        """Add what the senders send to the loads of the links by which it enters and leaves the fabric, and to what goes
        between each two layouts (from, to) [bytes/s], which is returned; the receivers say the same traffic by who receives it.
        """
        if len(between) < len(self._ports):
            between = np.pad(between, (0, len(self._ports) - len(between)))
        for bundle in senders:
            between[bundle.layout, : len(bundle.rates)] += bundle.rates * len(bundle.vertices)
            self._add_exits(loads, bundle)
        for bundle in receivers:
            self._add_entrances(loads, bundle)
        return between

    def push(self, loads: Floats, between: Floats) -> None:
        """Add the loads of what goes between layouts to the links between switches."""
        through = np.zeros(len(self._arcs))
        for sink in np.flatnonzero(between.any(axis=0)).tolist():
            inject = np.zeros(len(self.switches))
            for source in np.flatnonzero(between[:, sink]).tolist():
                for switches, shares in zip(self._ports[source], self._entry(source, sink)[0], strict=True):
                    inject[list(switches)] += shares * between[source, sink]
            self._toward(sink).push(inject, through)
        np.add.at(loads, self._arcs, through)

    def path(self, source: str, sink: str) -> list[str]:
        """One shortest path: the first of the equal ones in natural order."""
        (leaving, here), (arriving, there) = self._way(source), self._way(sink)
        shares, toward = self._entry(here, there)
        door = next(number for number, part in enumerate(shares) if part.any())
        at = self._ports[here][door][int(np.flatnonzero(shares[door])[0])]
        between = [self.switches[at]]
        while toward.distance[at]:
            at = int(toward.heads[np.flatnonzero(toward.tails == at)[0]])
            between.append(self.switches[at])
        last = next(number for number, ports in enumerate(self._ports[there]) if at in ports)
        return [*leaving.walk(door), *between, *reversed(arriving.walk(last))]

    def _way(self, vertex: str) -> tuple[Exit, int]:
        if vertex not in self._ways:
            way = self._exits.of(vertex)
            if way is None:
                raise BadInput(f"{vertex!r} has no way onto the scale-out fabric: neither it nor its host has a NIC")
            ports = tuple(tuple(self._index[switch] for switch in door) for door in way.ports)
            if ports not in self._layouts:
                self._layouts[ports] = len(self._ports)
                self._ports.append(ports)
            self._ways[vertex] = way, self._layouts[ports]
        return self._ways[vertex]

    def _toward(self, layout: int) -> Toward:
        return self._core.toward(tuple(sorted({switch for door in self._ports[layout] for switch in door})))

    def _entry(self, source: int, sink: int) -> tuple[tuple[Floats, ...], Toward]:
        """Part of the traffic that takes each port of each door, from one layout to another."""
        key = source, sink
        if key not in self._entries:
            toward = self._toward(sink)
            far = [toward.distance[list(door)] for door in self._ports[source]]
            reachable = [distance[distance >= 0].min(initial=np.iinfo(np.int64).max) for distance in far]
            best = min(reachable)
            if best == np.iinfo(np.int64).max:
                raise BadInput(f"no scale-out path from {self._someone(source)!r} to {self._someone(sink)!r}")
            chosen = [distance == best for distance in far]
            doors = sum(bool(ports.any()) for ports in chosen)
            self._entries[key] = tuple(ports / max(1, ports.sum()) / doors for ports in chosen), toward
        return self._entries[key]

    def _someone(self, layout: int) -> str:
        return min(vertex for vertex, (_, number) in self._ways.items() if number == layout)

    def _add_exits(self, loads: Floats, bundle: Bundle) -> None:
        ports = [np.zeros(len(door)) for door in self._ports[bundle.layout]]
        if sum(map(len, ports)) == 1:  # all of it takes the only way there is
            next(total for total in ports if len(total))[0] = bundle.rates.sum()
        else:
            for sink in np.flatnonzero(bundle.rates).tolist():
                for total, shares in zip(ports, self._entry(bundle.layout, sink)[0], strict=True):
                    total += shares * bundle.rates[sink]
        for vertex in bundle.vertices:
            way = self._way(vertex)[0]
            for door, (name, rates) in enumerate(zip(way.doors, ports, strict=True)):
                for switch, rate in zip(way.ports[door], rates, strict=True):
                    loads[self._arc(name, switch)] += rate
                if name != way.chain[-1]:
                    loads[self._arc(way.chain[-1], name)] += rates.sum()
            for a, b in itertools.pairwise(way.chain):
                loads[self._arc(a, b)] += bundle.rates.sum()

    def _add_entrances(self, loads: Floats, bundle: Bundle) -> None:
        doors = self._ports[bundle.layout]
        behind = Counter(switch for door in doors for switch in door)
        arriving = self._arriving(bundle)
        for vertex in bundle.vertices:
            way = self._way(vertex)[0]
            for number, name in enumerate(way.doors):
                rates = [arriving[switch] / behind[switch] for switch in doors[number]]
                for switch, rate in zip(way.ports[number], rates, strict=True):
                    loads[self._arc(switch, name)] += rate
                if name != way.chain[-1]:
                    loads[self._arc(name, way.chain[-1])] += sum(rates)
            for a, b in itertools.pairwise(way.chain):
                loads[self._arc(b, a)] += bundle.rates.sum()

    def _arriving(self, bundle: Bundle) -> dict[int, float]:
        """Bytes/s that one vertex of the bundle receives from each switch it hangs on."""
        toward = self._toward(bundle.layout)
        targets = [int(switch) for switch in toward.targets]
        if len(targets) == 1:
            return {targets[0]: float(bundle.rates.sum())}
        part, total = toward.arrivals(), np.zeros(len(targets))
        for source in np.flatnonzero(bundle.rates).tolist():
            for switches, shares in zip(self._ports[source], self._entry(source, bundle.layout)[0], strict=True):
                total += bundle.rates[source] * (shares @ part[list(switches)])
        return dict(zip(targets, total.tolist(), strict=True))
