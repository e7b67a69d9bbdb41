"""One host with its devices, memory and flash, and the names of vertices.

Names: ``rack0/host1`` (host), ``rack0/host1/gpu2`` (device), ``rack0/host1/flash`` (storage).
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import networkx as nx

from topologies.builders.arguments import HostShape
from topologies.schema import LATENCY_S, Fabric


def cluster_of(shape: HostShape) -> nx.Graph[str]:
    """An empty cluster that knows the device of the shape."""
    graph: nx.Graph[str] = nx.Graph()
    if shape.own:
        graph.graph["devices"] = {shape.device.name: shape.device.plain()}
    return graph


def connect(graph: nx.Graph[str], a: str, b: str, fabric: Fabric, bytes_per_s: float) -> None:
    """Add one link with the usual latency of its fabric."""
    graph.add_edge(a, b, fabric=fabric, bandwidth_bytes_per_s=bytes_per_s, latency_s=LATENCY_S[fabric])


def add_switch(graph: nx.Graph[str], name: str, rack: str = "") -> str:
    """Add a switch and return its name."""
    graph.add_node(name, kind="switch", rack=rack)
    return name


def add_host(graph: nx.Graph[str], name: str, shape: HostShape, domain: str, **extra: list[Any]) -> list[str]:
    """Add a host with its devices and flash; return the names of the devices.

    Parameters
    ----------
    domain: label of the scale-up domain of its devices.
    extra: further attributes, one value per device.
    """
    rack = name.split("/")[0]
    graph.add_node(name, kind="host", rack=rack, dram_bytes=shape.dram_bytes)
    names = [f"{name}/gpu{index}" for index in range(shape.devices)]
    for index, vertex in enumerate(names):
        labels = {"device": shape.device.name, "host": name, "domain": domain, "rack": rack}
        own = {key: values[index] for key, values in extra.items()}
        graph.add_node(vertex, kind="device", healthy=True, **labels, **own)
        connect(graph, vertex, name, shape.device.host_link, shape.device.host_link_bytes_per_s)
    if shape.flash_bytes:
        graph.add_node(f"{name}/flash", kind="storage", rack=rack, capacity_bytes=shape.flash_bytes)
        connect(graph, name, f"{name}/flash", "storage", shape.flash_bytes_per_s)
    return names


def add_host_domain(graph: nx.Graph[str], host: str, shape: HostShape, names: list[str]) -> None:
    """Join the devices of one host: by a switch, or each pair by a link where the device is made for a mesh."""
    if len(names) < 2:
        return
    if shape.device.scale_up_fabric == "mesh":
        for a, b in combinations(names, 2):
            connect(graph, a, b, "scale_up", shape.device.scale_up_pair_bytes_per_s)
        return
    kind = "pcieswitch" if shape.device.scale_up_fabric == "pcie" else "nvswitch"
    switch = add_switch(graph, f"{host}/{kind}", host.split("/")[0])
    for name in names:
        connect(graph, name, switch, "scale_up", shape.device.scale_up_bytes_per_s)
