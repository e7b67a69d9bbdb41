"""Traffic inside one scale-up domain: a switch star, a torus or any other graph of devices and switches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import networkx as nx
import numpy as np

from topologies.components import Component
from topologies.routes.ecmp import EqualCost, Floats
from topologies.routes.torus import Rings, TorusRoutes, torus_shape

Demand = Mapping[tuple[str, str], float]
ArcOf = Callable[[str, str], int]


class ScaleUp(Protocol):
    """Routes of one component; loads are arrays over all directed links of the cluster."""

    def add(self, loads: Floats, demand: Demand) -> None:
        """Add the loads of flows [bytes/s] between devices of the component."""

    def add_uniform(self, loads: Floats, sources: Sequence[str], sinks: Sequence[str], rate: float) -> None:
        """Add the loads of every source sending ``rate`` [bytes/s] to every sink but itself."""

    def path(self, source: str, sink: str) -> list[str]:
        """One shortest path."""

    def rings(self, devices: Sequence[str]) -> Rings | None:
        """Rings over a box of a torus, or None where there is none."""


def scale_up_routes(graph: nx.Graph[str], component: Component, arc: ArcOf) -> ScaleUp:
    """The routes of a component: closed forms for a star and a torus, equal-cost splitting for the rest."""
    if _is_star(graph, component):
        return StarRoutes(component, arc)
    shape = torus_shape(graph, component)
    return TorusRoutes(graph, component, shape, arc) if shape else GraphRoutes(graph, component, arc)


class StarRoutes:
    """Every device on the same switches: up to each and down again, in equal parts."""

    def __init__(self, component: Component, arc: ArcOf) -> None:
        self.switches = component.switches
        self.up = {v: [arc(v, switch) for switch in self.switches] for v in component.devices}
        self.down = {v: [arc(switch, v) for switch in self.switches] for v in component.devices}

    def add(self, loads: Floats, demand: Demand) -> None:
        for (source, sink), rate in demand.items():
            loads[self.up[source]] += rate / len(self.switches)
            loads[self.down[sink]] += rate / len(self.switches)

    def add_uniform(self, loads: Floats, sources: Sequence[str], sinks: Sequence[str], rate: float) -> None:
        each = rate / len(self.switches)
        to, out = set(sinks), set(sources)
        for source in sources:
            loads[self.up[source]] += each * (len(to) - (source in to))
        for sink in sinks:
            loads[self.down[sink]] += each * (len(out) - (sink in out))

    def path(self, source: str, sink: str) -> list[str]:
        return [source, self.switches[0], sink]

    def rings(self, devices: Sequence[str]) -> Rings | None:
        return None


class GraphRoutes:
    """Any component: equal-cost shortest paths, through other devices where the links lead there."""

    def __init__(self, graph: nx.Graph[str], component: Component, arc: ArcOf) -> None:
        self.names = (*component.devices, *component.switches)
        self.index = {name: number for number, name in enumerate(self.names)}
        ends = [
            (a, b)
            for a in self.names
            for b in graph[a]
            if b in self.index and graph.edges[a, b]["fabric"] == "scale_up"
        ]
        self.arcs = np.array([arc(a, b) for a, b in ends], dtype=np.int64)
        self.core = EqualCost(len(self.names), [self.index[a] for a, _ in ends], [self.index[b] for _, b in ends])

    def add(self, loads: Floats, demand: Demand) -> None:
        inject: dict[str, Floats] = {}
        for (source, sink), rate in demand.items():
            inject.setdefault(sink, np.zeros(len(self.names)))[self.index[source]] += rate
        for sink, sent in inject.items():
            self._push(loads, sink, sent)

    def add_uniform(self, loads: Floats, sources: Sequence[str], sinks: Sequence[str], rate: float) -> None:
        sent = np.zeros(len(self.names))
        sent[[self.index[source] for source in sources]] = rate
        for sink in sinks:
            but_itself = sent.copy()
            but_itself[self.index[sink]] = 0.0
            self._push(loads, sink, but_itself)

    def _push(self, loads: Floats, sink: str, sent: Floats) -> None:
        mine = np.zeros(len(self.arcs))
        self.core.toward((self.index[sink],)).push(sent, mine)
        loads[self.arcs] += mine

    def path(self, source: str, sink: str) -> list[str]:
        toward = self.core.toward((self.index[sink],))
        here, path = self.index[source], [source]
        while here != self.index[sink]:
            here = int(toward.heads[np.flatnonzero(toward.tails == here)[0]])
            path.append(self.names[here])
        return path

    def rings(self, devices: Sequence[str]) -> Rings | None:
        return None


def _is_star(graph: nx.Graph[str], component: Component) -> bool:
    """Whether each device has links to the same switches and to nothing else."""
    if not component.switches:
        return False
    switches = set(component.switches)
    return all(
        {other for other, data in graph[device].items() if data["fabric"] == "scale_up"} == switches
        for device in component.devices
    )
