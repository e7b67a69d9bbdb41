"""What is broken in a cluster, as far as the graph itself shows it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import networkx as nx

from topologies.naming import in_order
from topologies.switch_tiers import switch_ports
from topologies.views import is_healthy_device, links

LESS = 0.999
"""A bandwidth below this part of what is usual is less than usual."""


@dataclass(frozen=True)
class Fault:
    """Vertices of one kind that share a fault, and what is the matter with them."""

    kind: str
    what: str
    vertices: tuple[str, ...]


def find_faults(graph: nx.Graph[str]) -> tuple[Fault, ...]:
    """The faults of a checked cluster, each with its vertices in natural order.

    >>> import topologies
    >>> hurt = topologies.mark_unhealthy(topologies.hgx(2), ["rack0/host1/gpu3"])
    >>> [(fault.kind, fault.what, fault.vertices) for fault in find_faults(hurt)]
    [('device', 'not healthy', ('rack0/host1/gpu3',))]
    """
    rates = _rates(graph)
    no_nic = _lacking(graph, rates["scale_out"])
    told = {graph.nodes[device]["host"] for device in no_nic}
    slow = [host for host in _less_scale_out(graph, rates["scale_out"]) if host not in told]
    found = [
        ("device", "not healthy", _unhealthy(graph)),
        ("device", "off the scale-up fabric that others of its host are on", _lacking(graph, rates["scale_up"])),
        ("device", "with less scale-up bandwidth than most of its kind", _less_scale_up(graph, rates["scale_up"])),
        ("device", "without a NIC though others of its host have one", no_nic),
        ("host", "with less bandwidth to the fabric than most of its kind", slow),
        ("switch", "without a link to the tier above", _without_uplinks(graph)),
    ]
    return tuple(Fault(kind, what, tuple(in_order(vertices))) for kind, what, vertices in found if vertices)


def crippled(graph: nx.Graph[str]) -> tuple[str, ...]:
    """Healthy devices that lack the scale-up or scale-out link that most devices of their host have, in natural order.

    >>> import topologies
    >>> graph = topologies.hgx(2)
    >>> graph.remove_edge("rack0/host1/gpu3", "leaf3")
    >>> crippled(graph)
    ('rack0/host1/gpu3',)
    """
    by_host = _devices_by_host(graph)
    found = []
    for rate in _rates(graph).values():
        lacking = _lacking(graph, rate)
        few = Counter(graph.nodes[device]["host"] for device in lacking)
        found += [v for v in lacking if 2 * few[graph.nodes[v]["host"]] < len(by_host[graph.nodes[v]["host"]])]
    return tuple(in_order(set(found)))


def _rates(graph: nx.Graph[str]) -> dict[str, Counter[str]]:
    """Bandwidth of each vertex on each of both fabrics [bytes/s]."""
    rates: dict[str, Counter[str]] = {"scale_up": Counter(), "scale_out": Counter()}
    for a, b, fabric in links(graph):
        if fabric in rates:
            for vertex in (a, b):
                rates[fabric][vertex] += graph.edges[a, b]["bandwidth_bytes_per_s"]
    return rates


def _unhealthy(graph: nx.Graph[str]) -> list[str]:
    return [v for v, data in graph.nodes(data=True) if data["kind"] == "device" and not is_healthy_device(data)]


def _lacking(graph: nx.Graph[str], rate: Counter[str]) -> list[str]:
    """Healthy devices without a link where another device of their host has one."""
    by_host = _devices_by_host(graph)
    return [
        device
        for devices in by_host.values()
        if any(rate[device] for device in devices)
        for device in devices
        if not rate[device] and graph.nodes[device].get("healthy", True)
    ]


def _less_scale_up(graph: nx.Graph[str], rate: Counter[str]) -> list[str]:
    """Healthy devices with links, but less bandwidth than most of their kind (where links are to switches)."""
    switched = [
        vertex
        for vertex, data in graph.nodes(data=True)
        if is_healthy_device(data)
        and any(graph.nodes[o]["kind"] == "switch" for o in graph[vertex] if _is(graph, vertex, o, "scale_up"))
    ]
    return _below_usual(((graph.nodes[vertex]["device"], vertex) for vertex in switched), rate)


def _less_scale_out(graph: nx.Graph[str], rate: Counter[str]) -> list[str]:
    """Hosts whose NICs, with those of their devices, carry less than those of most hosts that hold the same."""
    kinds, total = dict[str, str](), Counter[str]()
    for host, devices in _devices_by_host(graph).items():
        kinds[host] = " ".join(sorted(graph.nodes[device]["device"] for device in devices))
        total[host] = rate[host] + sum(rate[device] for device in devices)
    return _below_usual(((kind, host) for host, kind in kinds.items()), total)


def _below_usual(of_kind: Iterable[tuple[str, str]], rate: Counter[str]) -> list[str]:
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for kind, vertex in of_kind:
        groups[kind].append(vertex)
    found = []
    for vertices in groups.values():
        count = Counter(float(f"{rate[vertex]:.6g}") for vertex in vertices)
        usual = max(count, key=lambda value: (count[value], value))
        found += [vertex for vertex in vertices if rate[vertex] < usual * LESS]
    return found


def _without_uplinks(graph: nx.Graph[str]) -> list[str]:
    ports = switch_ports(graph)
    top = max((one.tier for one in ports.values()), default=0)
    return [name for name, one in ports.items() if one.tier < top and not one.up_bytes_per_s]


def _devices_by_host(graph: nx.Graph[str]) -> dict[str, list[str]]:
    by_host: dict[str, list[str]] = {}
    for vertex, data in graph.nodes(data=True):
        if data["kind"] == "device":
            by_host.setdefault(data["host"], []).append(vertex)
    return by_host


def _is(graph: nx.Graph[str], a: str, b: str, fabric: str) -> bool:
    return bool(graph.edges[a, b]["fabric"] == fabric)
