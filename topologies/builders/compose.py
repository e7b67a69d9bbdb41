"""Clusters made from clusters: joined by a shared spine, or with some parts out of service."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import networkx as nx

from topologies.builders.host import add_switch, connect
from topologies.errors import BadCluster, BadInput, nearest
from topologies.naming import in_order
from topologies.schema import MAX_DEVICES
from topologies.views import is_healthy_device, kinds, links

_NUMBERED = re.compile(r"(rack|leaf|pod)([0-9]{1,15})(?=/|$)")
_SPINE = re.compile(r"spine[0-9]+")


def join(*graphs: nx.Graph[str]) -> nx.Graph[str]:
    """Put clusters side by side on one spine, as in a fleet of two generations.

    Racks and leaves of later clusters are numbered on. Each leaf keeps the bandwidth of its uplinks, spread over the
    shared spines; a leaf without uplinks gets as much as it has downlinks.

    >>> from topologies import hgx
    >>> fleet = join(hgx(2, "h100"), hgx(1, "h200"))
    >>> fleet.nodes["rack1/host0/gpu0"]["device"], fleet.degree["spine0"]
    ('h200', 16)
    """
    if not graphs:
        raise BadInput("join needs at least one cluster")
    fleet: nx.Graph[str] = nx.Graph()
    taken: dict[str, int] = {}
    uplinks: dict[str, float] = {}
    meanings: dict[str, object] = {}
    spines = 1
    for index, graph in enumerate(graphs):
        renamed = _renumbered(graph, taken)
        clash = in_order(vertex for vertex in renamed if vertex in fleet and not _SPINE.fullmatch(vertex))
        if clash:
            raise BadInput(f"cluster {index} of join: vertex {clash[0]!r} is in an earlier cluster too; rename one")
        spines = max(spines, sum(bool(_SPINE.fullmatch(vertex)) for vertex in renamed))
        uplinks |= _uplinks(renamed, index)
        renamed.remove_nodes_from([vertex for vertex in renamed if _SPINE.fullmatch(vertex)])
        fleet.update(renamed)
        _agree(meanings, graph, index)
    _check_size(fleet)
    for number in range(spines):
        add_switch(fleet, f"spine{number}")
        for leaf, bytes_per_s in uplinks.items():
            connect(fleet, leaf, f"spine{number}", "scale_out", bytes_per_s / spines)
    own = {name: given for name, given in meanings.items() if given is not None}
    fleet.graph = {"devices": own} if own else {}
    return fleet


def mark_unhealthy(graph: nx.Graph[str], vertices: Iterable[str]) -> nx.Graph[str]:
    """A copy in which some devices are out of service.

    Parameters
    ----------
    graph: left as it is.
    vertices: devices, hosts, racks, scale-up domains (all their devices) or prefixes of names.

    >>> from topologies import nvl72, scale_up_domains
    >>> partly = mark_unhealthy(nvl72(racks=1), ["rack0/host3", "rack0/host4/gpu0"])
    >>> len(scale_up_domains(partly)[0].devices)
    67
    """
    if isinstance(vertices, str | Mapping) or not isinstance(vertices, Iterable):
        raise BadInput(f"the vertices to mark unhealthy are a list such as ['rack0/host0'], not {vertices!r:.60}")
    marked = graph.copy()
    for name in vertices:
        devices = [
            vertex
            for vertex, data in marked.nodes(data=True)
            if data["kind"] == "device"
            and (name in (vertex, data["host"], data.get("rack"), data.get("domain")) or vertex.startswith(f"{name}/"))
        ]
        if not devices:
            near = ", ".join(nearest(str(name)[:100], in_order(marked)[:20_000]))
            raise BadInput(f"no device is, or is in, {name!r}; nearest vertices: {near}")
        for vertex in devices:
            marked.nodes[vertex]["healthy"] = False
    if not any(is_healthy_device(data) for _, data in marked.nodes(data=True)):
        raise BadCluster(
            f"no healthy device is left without {', '.join(map(str, list(vertices)[:4]))}; one is the least"
        )
    return marked


def _renumbered(graph: nx.Graph[str], taken: dict[str, int]) -> nx.Graph[str]:
    """A copy whose racks, leaves and pods are numbered after those already taken, which it then counts."""
    offset, highest = dict(taken), dict[str, int]()

    def moved(text: str) -> str:
        found = _NUMBERED.match(text)
        if not found:
            return text
        word, number = found[1], int(found[2]) + offset.get(found[1], 0)
        highest[word] = max(highest.get(word, -1), number)
        return f"{word}{number}{text[found.end() :]}"

    renamed = nx.relabel_nodes(graph, {vertex: moved(vertex) for vertex in graph})
    for _, data in renamed.nodes(data=True):
        data.update({key: moved(data[key]) for key in ("host", "domain", "rack") if isinstance(data.get(key), str)})
    taken.update({word: number + 1 for word, number in highest.items()})
    return renamed


def _uplinks(graph: nx.Graph[str], index: int) -> dict[str, float]:
    """Bandwidth that each leaf has, or should get, towards spines [bytes/s]."""
    kind_of, below, above = kinds(graph), dict[str, float](), dict[str, float]()
    for a, b, fabric in links(graph):
        if fabric != "scale_out":
            continue
        bytes_per_s = graph.edges[a, b]["bandwidth_bytes_per_s"]
        for leaf, other in ((a, b), (b, a)):
            if kind_of[leaf] == "switch" and kind_of[other] != "switch":
                below[leaf] = below.get(leaf, 0.0) + bytes_per_s
            elif kind_of[leaf] == "switch" and _SPINE.fullmatch(other):
                above[leaf] = above.get(leaf, 0.0) + bytes_per_s
    if not below:
        raise BadInput(
            f"cluster {index} of join has no scale-out fabric to join by; torus(..., scale_out=True) has one"
        )
    return above or below


def _agree(meanings: dict[str, object], graph: nx.Graph[str], index: int) -> None:
    """Note what each device name means in the graph, None for the catalog's; the same in all clusters."""
    own = graph.graph.get("devices") or {}
    for name in sorted({data["device"] for _, data in graph.nodes(data=True) if data["kind"] == "device"}):
        if meanings.setdefault(name, own.get(name)) != own.get(name):
            raise BadInput(f"cluster {index} of join defines device {name!r} otherwise than an earlier one; rename it")


def _check_size(graph: nx.Graph[str]) -> None:
    count = sum(kind == "device" for kind in kinds(graph).values())
    if count > MAX_DEVICES:
        raise BadInput(f"the joined cluster would have {count:,} devices; {MAX_DEVICES:,} is the most")
