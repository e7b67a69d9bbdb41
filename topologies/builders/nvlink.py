"""Hosts of eight and racks of 72 devices on a rail-optimised fabric."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import networkx as nx

from topologies.builders.arguments import HostShape, Size, count, ratio, within_limit
from topologies.builders.ethernet import add_spines
from topologies.builders.host import add_host, add_host_domain, add_switch, cluster_of, connect
from topologies.errors import BadInput
from topologies.hardware import Device, devices


def hgx(
    nodes: int,
    device: str | Device | Mapping[str, Any] = "h200",
    spine_oversubscription: float = 1.0,
    *,
    devices_per_host: int | None = None,
    hosts_per_rack: int = 4,
    hosts_per_unit: int = 32,
    spines: int | None = None,
    dram_bytes_per_host: Size | None = None,
    flash_bytes_per_host: Size | None = None,
) -> nx.Graph[str]:
    """Hosts with one scale-up domain each; device i of every host goes to leaf i of its scalable unit.

    Parameters
    ----------
    nodes: hosts.
    device: catalog name, or a device of your own.
    spine_oversubscription: bandwidth into a leaf from its devices over its bandwidth to the spines.
    hosts_per_unit: hosts that share one set of leaves (32 in NVIDIA's reference design).

    >>> graph = hgx(nodes=2, device="h200")
    >>> sorted(graph["rack0/host1/gpu3"])
    ['leaf3', 'rack0/host1', 'rack0/host1/nvswitch']
    """
    count(nodes, "nodes")
    count(hosts_per_rack, "hosts_per_rack")
    count(hosts_per_unit, "hosts_per_unit")
    shape = HostShape.of(device, devices_per_host, dram_bytes_per_host, flash_bytes_per_host)
    if shape.device.scale_up_fabric == "torus":
        raise BadInput(f"{shape.device.name} is joined in a torus; build it with torus(shape, device)")
    within_limit(nodes * shape.devices)
    graph, leaves = cluster_of(shape), dict[str, float]()
    for node in range(nodes):
        host = f"rack{node // hosts_per_rack}/host{node % hosts_per_rack}"
        names = add_host(graph, host, shape, domain=host)
        add_host_domain(graph, host, shape, names)
        _add_rails(graph, names, node // hosts_per_unit, shape.device, leaves)
    add_spines(graph, leaves, ratio(spine_oversubscription, "spine_oversubscription"), spines)
    return graph


def nvl72(
    racks: int,
    device: str | Device | Mapping[str, Any] = "gb200",
    spine_oversubscription: float = 1.0,
    *,
    trays_per_rack: int = 18,
    racks_per_unit: int = 8,
    spines: int | None = None,
    dram_bytes_per_host: Size | None = None,
    flash_bytes_per_host: Size | None = None,
) -> nx.Graph[str]:
    """Racks that are one scale-up domain each: trays of four devices on one NVLink switch vertex.

    Device i of every tray goes to leaf i of its scalable unit; a leaf vertex stands for all switches of that rail.

    Parameters
    ----------
    racks: how many.
    device: catalog name, or a device of your own whose scale-up domain is large enough.
    spine_oversubscription: bandwidth into a leaf from its devices over its bandwidth to the spines.
    trays_per_rack: hosts in a rack; fewer than 18 for a rack that is not full.

    >>> graph = nvl72(racks=2)
    >>> sum(kind == "device" for _, kind in graph.nodes(data="kind"))
    144
    """
    count(racks, "racks")
    count(trays_per_rack, "trays_per_rack", most=1024)
    count(racks_per_unit, "racks_per_unit")
    shape = HostShape.of(device, None, dram_bytes_per_host, flash_bytes_per_host)
    _check_rack(shape, trays_per_rack)
    within_limit(racks * trays_per_rack * shape.devices)
    graph, leaves = cluster_of(shape), dict[str, float]()
    for rack in range(racks):
        switch = add_switch(graph, f"rack{rack}/nvswitch", f"rack{rack}")
        for tray in range(trays_per_rack):
            names = add_host(graph, f"rack{rack}/host{tray}", shape, domain=f"rack{rack}")
            for name in names:
                connect(graph, name, switch, "scale_up", shape.device.scale_up_bytes_per_s)
            _add_rails(graph, names, rack // racks_per_unit, shape.device, leaves)
    add_spines(graph, leaves, ratio(spine_oversubscription, "spine_oversubscription"), spines)
    return graph


def _check_rack(shape: HostShape, trays: int) -> None:
    one = shape.device
    if one.scale_up_fabric == "switch" and one.scale_up_domain >= trays * shape.devices:
        return
    made = [other.name for other in devices().values() if other.scale_up_domain == 72]
    raise BadInput(
        f"{one.name} scales up to {one.scale_up_domain} devices by {one.scale_up_fabric}; "
        f"a rack of {trays} trays needs {trays * shape.devices} on one switch: {', '.join(made)}"
    )


def _add_rails(graph: nx.Graph[str], names: list[str], unit: int, device: Device, leaves: dict[str, float]) -> None:
    """Link each device to the leaf of its rail, and count the bandwidth into each leaf."""
    for rail, name in enumerate(names):
        leaf = f"leaf{unit * len(names) + rail}"
        if leaf not in leaves:
            add_switch(graph, leaf)
        leaves[leaf] = leaves.get(leaf, 0.0) + device.scale_out_bytes_per_s
        connect(graph, name, leaf, "scale_out", device.scale_out_bytes_per_s)
