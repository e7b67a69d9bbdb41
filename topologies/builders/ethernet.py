"""Leaves and spines, and hosts on a plain two-level fat tree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import networkx as nx

from topologies.builders.arguments import HostShape, Size, count, ratio, within_limit
from topologies.builders.host import add_host, add_host_domain, add_switch, cluster_of, connect
from topologies.errors import BadInput
from topologies.hardware import Device

MAX_SPINES = 16
"""Spine vertices when none are asked for; a vertex stands for a plane of switches, so more would change no load."""


def fat_tree(
    nodes: int,
    device: str | Device | Mapping[str, Any] = "l40s",
    devices_per_host: int | None = None,
    hosts_per_leaf: int = 16,
    oversubscription: float = 1.0,
    *,
    hosts_per_rack: int = 4,
    spines: int | None = None,
    dram_bytes_per_host: Size | None = None,
    flash_bytes_per_host: Size | None = None,
) -> nx.Graph[str]:
    """Hosts whose NICs all go to the leaf of their row, leaves to all spines.

    Parameters
    ----------
    nodes: hosts.
    device: catalog name, or a device of your own.
    devices_per_host: the device's own default if not given.
    hosts_per_leaf: hosts that share one leaf.
    oversubscription: bandwidth into a leaf from its hosts over its bandwidth to the spines.

    >>> graph = fat_tree(4, "l40s", hosts_per_leaf=2, oversubscription=2.0)
    >>> graph["rack0/host0"]["leaf0"]["bandwidth_bytes_per_s"]
    200000000000.0
    """
    count(nodes, "nodes")
    count(hosts_per_leaf, "hosts_per_leaf")
    count(hosts_per_rack, "hosts_per_rack")
    shape = HostShape.of(device, devices_per_host, dram_bytes_per_host, flash_bytes_per_host)
    if shape.device.scale_up_fabric == "torus":
        raise BadInput(f"{shape.device.name} is joined in a torus; build it with torus(shape, device)")
    within_limit(nodes * shape.devices)
    graph = cluster_of(shape)
    nics = shape.device.scale_out_bytes_per_s * shape.devices
    leaves: dict[str, float] = {}
    for node in range(nodes):
        host = f"rack{node // hosts_per_rack}/host{node % hosts_per_rack}"
        add_host_domain(graph, host, shape, add_host(graph, host, shape, host))
        leaf = f"leaf{node // hosts_per_leaf}"
        leaves[leaf] = leaves.get(leaf, 0.0) + nics
        add_switch(graph, leaf)
        connect(graph, host, leaf, "scale_out", nics)
    add_spines(graph, leaves, ratio(oversubscription, "oversubscription"), spines)
    return graph


def add_spines(graph: nx.Graph[str], leaves: Mapping[str, float], oversubscription: float, spines: int | None) -> None:
    """Join leaves by spines; a single leaf needs none.

    Parameters
    ----------
    leaves: bandwidth into each leaf from below [bytes/s].
    oversubscription: that bandwidth over the leaf's uplinks together.
    spines: how many; half the leaves, at most 16, if not given.
    """
    if spines is not None:
        count(spines, "spines", most=1024)
    if len(leaves) < 2 and spines is None:
        return
    number = spines or max(1, min(MAX_SPINES, len(leaves) // 2))
    for index in range(number):
        add_switch(graph, f"spine{index}")
    for leaf, below in leaves.items():
        for index in range(number):
            connect(graph, leaf, f"spine{index}", "scale_out", below / oversubscription / number)
