"""The scale-out fabric of a cluster as links, with the speeds that files leave open."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import networkx as nx

from topologies.builders.ethernet import add_spines
from topologies.builders.host import add_switch, connect
from topologies.hardware import Device
from topologies.importers.fabric import Fabric, Port
from topologies.importers.findings import Notes
from topologies.importers.machine import Machine
from topologies.importers.nics import shares, usual_nics

NOMINAL_BYTES_PER_S = 50e9
"""A port of a host of which nothing is known [bytes/s]: 400 Gbit/s."""

Kinds = Mapping[str, Device]


def add_fabric(
    graph: nx.Graph[str], fabric: Fabric, machines: Mapping[str, tuple[Machine, Kinds]], up: float, notes: Notes
) -> None:
    """Add switches and links to a graph that holds the hosts.

    Parameters
    ----------
    machines: the hosts that hold devices, with the device in each slot.
    up: oversubscription of switches whose uplinks have no speed in the file.
    """
    for switch in fabric.switches:
        add_switch(graph, switch)
    ports_of = fabric.ports_of()
    usual = usual_nics(ports_of)
    for host, ports in ports_of.items():
        if host in machines:
            _add_ports(graph, machines[host], ports, usual[host], notes)
        elif host in graph:
            for port in ports:
                _add(graph, host, port.switch, port.bytes_per_s or NOMINAL_BYTES_PER_S)
    if any(port.bytes_per_s is None for port in fabric.ports):
        notes.assume("the fabric's file gives no speeds: NICs as in the catalog (400 Gbit/s where no device is known)")
    _add_trunks(graph, fabric, up, notes)


def _add_ports(
    graph: nx.Graph[str], machine: tuple[Machine, Kinds], ports: Sequence[Port], usual: Sequence[str], notes: Notes
) -> None:
    """Link one host and its devices to switches."""
    host, kinds = machine
    found = shares(host, ports, usual, notes)
    for device, parts in found.devices.items():
        for port, share in parts:
            whole = port.bytes_per_s or kinds[device].scale_out_bytes_per_s / len(parts) / share
            _add(graph, f"{host.name}/{device}", port.switch, whole * share)
    together = sum(kind.scale_out_bytes_per_s for kind in kinds.values())
    for port in found.whole:
        _add(graph, host.name, port.switch, port.bytes_per_s or together / len(found.whole))


def _add(graph: nx.Graph[str], a: str, b: str, bytes_per_s: float) -> None:
    """Add a link, or its bandwidth to the one that is there."""
    if graph.has_edge(a, b):
        graph.edges[a, b]["bandwidth_bytes_per_s"] += bytes_per_s
    else:
        connect(graph, a, b, "scale_out", bytes_per_s)


def _add_trunks(graph: nx.Graph[str], fabric: Fabric, up: float, notes: Notes) -> None:
    """Link switches; uplinks without a speed carry what comes from below over the oversubscription."""
    above: dict[str, list[str]] = {}
    for trunk in fabric.trunks:
        if trunk.bytes_per_s is None:
            above.setdefault(trunk.lower, []).append(trunk.upper)
        else:
            _add(graph, trunk.lower, trunk.upper, trunk.bytes_per_s)
    if not above:
        return
    notes.assume(f"uplinks of switches carry what comes from below at {up:g}:1, spread evenly")
    order = nx.DiGraph((lower, upper) for lower, uppers in above.items() for upper in uppers)
    below = {switch: _bandwidth(graph, switch) for switch in order}
    for lower in nx.topological_sort(order):
        for upper in above.get(lower, ()) if below[lower] else ():
            rate = below[lower] / up / len(above[lower])
            _add(graph, lower, upper, rate)
            below[upper] += rate


def _bandwidth(graph: nx.Graph[str], switch: str) -> float:
    links = graph[switch].values() if switch in graph else ()
    return float(sum(data["bandwidth_bytes_per_s"] for data in links))


def add_assumed_fabric(
    graph: nx.Graph[str], machines: Iterable[tuple[Machine, Kinds]], up: float, notes: Notes
) -> None:
    """Rails where no file tells of switches: device i of every host on leaf i, leaves on shared spines."""
    leaves: dict[str, float] = {}
    for host, kinds in machines:
        for index, (name, kind) in enumerate(kinds.items()):
            leaf = f"leaf{index}"
            add_switch(graph, leaf)
            connect(graph, f"{host.name}/{name}", leaf, "scale_out", kind.scale_out_bytes_per_s)
            leaves[leaf] = leaves.get(leaf, 0.0) + kind.scale_out_bytes_per_s
    add_spines(graph, leaves, up, None)
    notes.assume(f"no file tells of switches: device i of every host is put on leaf i, leaves on spines at {up:g}:1")
