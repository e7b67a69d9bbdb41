"""What a planner can know of a scale-up domain without knowing any name."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import networkx as nx

from topologies.components import Component
from topologies.routes.exits import Exits
from topologies.routes.torus import torus_shape
from topologies.schema import FABRICS
from topologies.switch_tiers import switch_ports
from topologies.views import is_healthy_device, links
from topologies.wiring import fingerprint

Shape = Literal["single", "switch", "mesh", "torus", "other"]


class Rates(NamedTuple):
    """Bandwidths of one device [bytes/s, one direction].

    Attributes
    ----------
    scale_up: all its scale-up links together.
    scale_out: its NICs; without any, its share of those of its host, or of the devices beside it.
    host_link: to the host.
    """

    scale_up: float
    scale_out: float
    host_link: float


@dataclass(frozen=True)
class HostProfile:
    """One host of a domain.

    Attributes
    ----------
    devices: how many of its devices are in the domain; neighbours: its healthy devices in all; rented: all its devices,
        which are paid for together, healthy or not.
    dram_bytes, flash_bytes: of the whole host [bytes]; flash_bytes_per_s: to its local stores [bytes/s].
    rates: bandwidths of each of its devices in the domain, largest first.
    host_link: how those devices reach the host: pcie or c2c.
    """

    devices: int
    neighbours: int
    rented: int
    dram_bytes: float
    flash_bytes: float
    flash_bytes_per_s: float
    rates: tuple[Rates, ...]
    host_link: str

    @property
    def order(self) -> tuple[Any, ...]:
        """Sort key: larger hosts first."""
        sizes = self.devices, self.neighbours, self.rented, self.dram_bytes, self.flash_bytes, self.flash_bytes_per_s
        return tuple(-size for size in (*sizes, *itertools.chain(*self.rates))), self.host_link


@dataclass(frozen=True)
class DomainProfile:
    """Everything but names and leaves; two domains of equal profile are interchangeable.

    Attributes
    ----------
    device: kind of all devices; size: how many.
    shape: single (one device), switch, mesh, torus or other; sides: of the torus.
    hosts: larger first.
    leaves: for each leaf, how many devices hang on it and its oversubscription (0 = nothing above it).
    wiring: open sides of a torus, or a fingerprint of links that are none of the regular shapes; else empty.
    """

    device: str
    size: int
    shape: Shape
    sides: tuple[int, ...]
    hosts: tuple[HostProfile, ...]
    leaves: tuple[tuple[int, float], ...]
    wiring: str = ""

    @property
    def devices_per_host(self) -> tuple[int, ...]:
        """Devices on each host, largest first."""
        return tuple(host.devices for host in self.hosts)

    @property
    def rates(self) -> tuple[Rates, ...]:
        """Bandwidths of every device, host by host."""
        return tuple(itertools.chain.from_iterable(host.rates for host in self.hosts))

    @property
    def least(self) -> Rates:
        """The least that any device has of each bandwidth: what a plan may count on everywhere in the domain."""
        return Rates(*map(min, zip(*self.rates, strict=True)))

    @property
    def total(self) -> Rates:
        """Each bandwidth of all devices together: what no mapping can exceed."""
        return Rates(*map(sum, zip(*self.rates, strict=True)))

    @property
    def dram_bytes(self) -> float:
        """Host memory [bytes]; of a host shared with other domains, the part of this domain's devices."""
        return sum(host.dram_bytes * host.devices / host.neighbours for host in self.hosts)

    @property
    def flash_bytes(self) -> float:
        """Local flash [bytes], shared hosts as for memory."""
        return sum(host.flash_bytes * host.devices / host.neighbours for host in self.hosts)

    @property
    def flash_bytes_per_s(self) -> float:
        """Bandwidth to local flash [bytes/s], shared hosts as for memory."""
        return sum(host.flash_bytes_per_s * host.devices / host.neighbours for host in self.hosts)

    @property
    def order(self) -> tuple[Any, ...]:
        """Sort key: by kind, then larger domains first."""
        hosts = tuple(host.order for host in self.hosts)
        return self.device, -self.size, self.shape, self.sides, hosts, self.leaves, self.wiring


class Profiler:
    """Profiles of the domains of one cluster."""

    def __init__(self, graph: nx.Graph[str], exits: Exits) -> None:
        self._graph = graph
        self._exits = exits
        self._leaves: dict[str, tuple[str, ...]] = {}
        self._ports = switch_ports(graph)
        self._neighbours = Counter(d["host"] for _, d in graph.nodes(data=True) if is_healthy_device(d))
        self._rates: dict[str, dict[str, float]] = {vertex: dict.fromkeys(FABRICS, 0.0) for vertex in graph}
        for a, b, fabric in links(graph):
            bytes_per_s = graph.edges[a, b]["bandwidth_bytes_per_s"]
            for here, there in ((a, b), (b, a)):
                if fabric != "scale_up" or self._alive(there):
                    self._rates[here][fabric] += bytes_per_s
        alive = [(device, data["host"]) for device, data in graph.nodes(data=True) if is_healthy_device(data)]
        self._sharing = Counter(host for device, host in alive if not self._rates[device]["scale_out"])
        self._rented = Counter(d["host"] for _, d in graph.nodes(data=True) if d["kind"] == "device")
        self._beside = dict.fromkeys(self._neighbours, 0.0)
        for device, host in alive:
            self._beside[host] += self._rates[device]["scale_out"]

    def leaves(self, device: str) -> tuple[str, ...]:
        """Switches behind the NICs of a device or of its host."""
        if device not in self._leaves:
            way = self._exits.of(device)
            self._leaves[device] = tuple(switch for ports in way.ports for switch in ports) if way else ()
        return self._leaves[device]

    def profile(self, kind: str, hosts: tuple[tuple[str, ...], ...]) -> DomainProfile:
        """The profile of devices of one kind, given by host."""
        devices = [device for group in hosts for device in group]
        shape, sides, wiring = self._shape(devices)
        on_leaf = Counter(leaf for device in devices for leaf in self.leaves(device))
        leaves = sorted((count, self._oversubscription(leaf)) for leaf, count in on_leaf.items())
        found = sorted((self._host(group) for group in hosts), key=lambda host: host.order)
        return DomainProfile(kind, len(devices), shape, sides, tuple(found), tuple(leaves), wiring)

    def _host(self, devices: tuple[str, ...]) -> HostProfile:
        host = self._graph.nodes[devices[0]]["host"]
        stores = [v for v in self._graph[host] if self._graph.nodes[v]["kind"] == "storage"]
        return HostProfile(
            devices=len(devices),
            neighbours=self._neighbours[host],
            rented=self._rented[host],
            dram_bytes=_rounded(self._graph.nodes[host]["dram_bytes"]),
            flash_bytes=_rounded(sum(self._graph.nodes[store]["capacity_bytes"] for store in stores)),
            flash_bytes_per_s=_rounded(self._rates[host]["storage"]) if stores else 0.0,
            rates=tuple(sorted((self._device_rates(device, host) for device in devices), reverse=True)),
            host_link="+".join(sorted({self._graph.edges[device, host]["fabric"] for device in devices})),
        )

    def _device_rates(self, device: str, host: str) -> Rates:
        mine = self._rates[device]
        nics = mine["scale_out"]
        if not nics:
            nics = self._rates[host]["scale_out"] / self._sharing[host] or self._beside[host] / self._neighbours[host]
        return Rates(_rounded(mine["scale_up"]), _rounded(nics), _rounded(mine["pcie"] + mine["c2c"]))

    def _oversubscription(self, leaf: str) -> float:
        ports = self._ports.get(leaf)
        return _rounded(ports.oversubscription or 0.0) if ports else 0.0

    def _alive(self, vertex: str) -> bool:
        data = self._graph.nodes[vertex]
        return data["kind"] == "switch" or is_healthy_device(data)

    def _shape(self, devices: list[str]) -> tuple[Shape, tuple[int, ...], str]:
        """Shape of the scale-up links, sides of a torus, and a fingerprint of what is not regular."""
        if len(devices) == 1:
            return "single", (), ""
        near = {device: self._scale_up(device) for device in devices}
        if all(len(set(links.values())) == 1 for links in near.values()):
            others = {vertex for links in near.values() for vertex in links}
            if others.isdisjoint(devices) and all(links.keys() == others for links in near.values()):
                return "switch", (), ""
            if all(links.keys() == set(devices) - {device} for device, links in near.items()):
                return "mesh", (), ""
            grid = torus_shape(self._graph, Component(tuple(devices), ()))
            if grid is not None and len({rate for links in near.values() for rate in links.values()}) == 1:
                return "torus", grid.ordered_sides, grid.open_sides
        return "other", (), self._fingerprint(near)

    def _fingerprint(self, near: dict[str, dict[str, float]]) -> str:
        """Of the whole part of the scale-up fabric that the devices belong to."""
        found, fresh = dict(near), list(near)
        while fresh:
            beyond = {other for vertex in fresh for other in found[vertex]} - found.keys()
            found |= {vertex: self._scale_up(vertex) for vertex in beyond}
            fresh = list(beyond)
        return fingerprint(found, {v: self._graph.nodes[v].get("device", "switch") for v in found})

    def _scale_up(self, vertex: str) -> dict[str, float]:
        return {
            other: _rounded(data["bandwidth_bytes_per_s"])
            for other, data in self._graph[vertex].items()
            if data["fabric"] == "scale_up" and self._alive(other)
        }


def _rounded(value: float) -> float:
    """Nine significant digits, so that sums in another order are the same number."""
    return float(f"{value:.9g}")
