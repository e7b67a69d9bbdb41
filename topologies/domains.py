"""Scale-up domains, and classes of domains that a planner need not tell apart."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import networkx as nx

from topologies.naming import in_order, natural
from topologies.profile import DomainProfile, Profiler
from topologies.routes.parts import Parts


@dataclass(frozen=True)
class Domain:
    """Healthy devices of one kind that reach each other over scale-up links.

    Attributes
    ----------
    name: its label where that is unique, else its first device.
    device: kind of all its devices.
    devices: in natural order, host by host.
    hosts: the same devices grouped by host; host_names: those hosts; racks: where they stand.
    leaves: switches by which its devices enter the scale-out fabric.
    """

    name: str
    device: str
    devices: tuple[str, ...]
    hosts: tuple[tuple[str, ...], ...]
    host_names: tuple[str, ...]
    racks: tuple[str, ...]
    leaves: tuple[str, ...]

    @property
    def size(self) -> int:
        """Number of devices."""
        return len(self.devices)


@dataclass(frozen=True)
class DomainClass:
    """Domains alike in everything but names and the leaves they hang on.

    Attributes
    ----------
    name: kind and size, numbered where several classes share both.
    profile: what they have in common.
    domains: in natural order.
    """

    name: str
    profile: DomainProfile
    domains: tuple[Domain, ...]

    @property
    def device(self) -> str:
        """Kind of all devices."""
        return self.profile.device

    @property
    def size(self) -> int:
        """Devices in each domain."""
        return self.profile.size

    @property
    def count(self) -> int:
        """Number of domains."""
        return len(self.domains)


def scale_up_domains(graph: nx.Graph[str]) -> tuple[Domain, ...]:
    """The domains of a cluster in natural order.

    A part of the scale-up fabric that joins devices of several kinds is one domain per kind, since a replica has one.

    >>> import topologies
    >>> [domain.name for domain in scale_up_domains(topologies.hgx(nodes=3))]
    ['rack0/host0', 'rack0/host1', 'rack0/host2']
    """
    return tuple(domain for domain, _ in _profiled(graph, Parts.of(graph)))


def domain_classes(graph: nx.Graph[str], parts: Parts | None = None) -> tuple[DomainClass, ...]:
    """The classes of identical domains: by kind of device, largest first.

    Parameters
    ----------
    parts: of the graph, where somebody has found them already.

    >>> import topologies
    >>> fleet = topologies.mark_unhealthy(topologies.hgx(nodes=4), ["rack0/host2/gpu5"])
    >>> [(group.name, group.count) for group in domain_classes(fleet)]
    [('h200-8', 3), ('h200-7', 1)]
    """
    alike: dict[DomainProfile, list[Domain]] = {}
    for domain, profile in _profiled(graph, parts or Parts.of(graph)):
        alike.setdefault(profile, []).append(domain)
    ordered = sorted(alike, key=lambda profile: profile.order)
    shared = Counter((profile.device, profile.size) for profile in ordered)
    met: Counter[tuple[str, int]] = Counter()
    classes = []
    for profile in ordered:
        what = profile.device, profile.size
        met[what] += 1
        suffix = f"-{chr(ord('a') + met[what] - 1) if met[what] <= 26 else met[what]}" if shared[what] > 1 else ""
        classes.append(DomainClass(f"{profile.device}-{profile.size}{suffix}", profile, tuple(alike[profile])))
    return tuple(classes)


def _profiled(graph: nx.Graph[str], parts: Parts) -> list[tuple[Domain, DomainProfile]]:
    profiler = Profiler(graph, parts.exits)
    groups: list[tuple[str, list[str]]] = []
    for component in parts.components:
        by_kind: dict[str, list[str]] = {}
        for device in component.devices:
            by_kind.setdefault(graph.nodes[device]["device"], []).append(device)
        groups += sorted(by_kind.items())
    labels = Counter(_label(graph, devices) for _, devices in groups)
    found = []
    for kind, devices in groups:
        label = _label(graph, devices)
        name = label if label and labels[label] == 1 else devices[0]
        domain = _domain(graph, name, kind, devices, profiler)
        found.append((domain, profiler.profile(kind, domain.hosts)))
    return sorted(found, key=lambda pair: natural(pair[0].name))


def _label(graph: nx.Graph[str], devices: list[str]) -> str:
    labels = {graph.nodes[device].get("domain") or "" for device in devices}
    return labels.pop() if len(labels) == 1 else ""


def _domain(graph: nx.Graph[str], name: str, kind: str, devices: list[str], profiler: Profiler) -> Domain:
    by_host: dict[str, list[str]] = {}
    for device in devices:
        by_host.setdefault(graph.nodes[device]["host"], []).append(device)
    hosts = in_order(by_host)
    racks = in_order({graph.nodes[device].get("rack") or "" for device in devices})
    leaves = in_order({leaf for device in devices for leaf in profiler.leaves(device)})
    grouped = tuple(tuple(by_host[host]) for host in hosts)
    flat = tuple(device for group in grouped for device in group)
    return Domain(name, kind, flat, grouped, tuple(hosts), tuple(racks), tuple(leaves))
