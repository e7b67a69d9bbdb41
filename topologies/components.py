"""The connected parts of the scale-up fabric."""

from __future__ import annotations

from dataclasses import dataclass

import networkx as nx

from topologies.naming import in_order
from topologies.views import links


@dataclass(frozen=True, slots=True)
class Component:
    """Healthy devices that reach each other over scale-up links, and the switches that join them."""

    devices: tuple[str, ...]
    switches: tuple[str, ...]


def scale_up_components(graph: nx.Graph[str], healthy_only: bool = True) -> list[Component]:
    """Connected parts of the scale-up subgraph, each in natural order; a device without such links is a part of one.

    Parameters
    ----------
    graph: a cluster; unhealthy devices neither belong to a part nor join two.
    healthy_only: False takes all devices as healthy.
    """
    part = scale_up_graph(graph, healthy_only)
    found = []
    for members in nx.connected_components(part):
        devices = in_order(v for v in members if graph.nodes[v]["kind"] == "device")
        if devices:
            found.append(Component(tuple(devices), tuple(in_order(members.difference(devices)))))
    return found


def scale_up_graph(graph: nx.Graph[str], healthy_only: bool = True) -> nx.Graph[str]:
    """The scale-up subgraph: healthy devices in natural order, and the switches and links between them."""
    alive = in_order(
        v
        for v, data in graph.nodes(data=True)
        if data["kind"] == "device" and (data.get("healthy", True) or not healthy_only)
    )
    part: nx.Graph[str] = nx.Graph()
    part.add_nodes_from(alive)
    for a, b, fabric in links(graph):
        if fabric == "scale_up" and all(v in part or graph.nodes[v]["kind"] == "switch" for v in (a, b)):
            part.add_edge(a, b)
    return part
