"""Whether the devices of a cluster can exchange data at all."""

from __future__ import annotations

import itertools

import networkx as nx

from topologies.components import scale_up_components
from topologies.errors import BadCluster
from topologies.naming import in_order
from topologies.routes.exits import Exits, scale_out_parts


def check_reach(graph: nx.Graph[str]) -> None:
    """Raise unless every two healthy devices share a scale-up domain, a host or a part of the scale-out fabric."""
    components = scale_up_components(graph)
    if len(components) == 1:
        return
    exits, parts = Exits(graph), scale_out_parts(graph)
    place = {device: index for index, component in enumerate(components) for device in component.devices}
    groups: dict[frozenset[int], list[str]] = {}
    for vertex in in_order(place):
        way = exits.of(vertex)
        reached = frozenset(parts[switch] for ports in way.ports for switch in ports) if way else frozenset()
        groups.setdefault(reached, []).append(vertex)
    for (here, ours), (there, theirs) in itertools.combinations_with_replacement(groups.items(), 2):
        if here & there:
            continue
        pair = _strangers(ours, theirs, place, exits.host)
        if pair is not None:
            raise BadCluster(_complaint(pair, ours, theirs, bool(here and there)))


def _strangers(
    ours: list[str], theirs: list[str], place: dict[str, int], host: dict[str, str]
) -> tuple[str, str] | None:
    """A device of each side that share neither domain nor host."""
    pairs = itertools.product(ours, theirs)
    return next(((a, b) for a, b in pairs if place[a] != place[b] and host[a] != host[b]), None)


def _complaint(pair: tuple[str, str], ours: list[str], theirs: list[str], switched: bool) -> str:
    a, b = pair
    reason = "their switches are not joined" if switched else "one of them has no NIC, nor has its host"
    sizes = f"{len(ours)} and {len(theirs)} devices" if ours is not theirs else f"{len(ours)} devices"
    return (
        f"{a!r} and {b!r} cannot reach each other over scale_out: {reason} (parts of {sizes}); "
        "add scale_out links, or plan each part as its own cluster"
    )
