"""The hosts of a cluster as vertices: their devices, memory, flash, and the switches that join them for scale-up."""

from __future__ import annotations

from collections.abc import Mapping

import networkx as nx

from topologies.builders.arguments import FLASH_BYTES_PER_S
from topologies.builders.host import add_switch, connect
from topologies.hardware import Device, devices
from topologies.importers.findings import Notes
from topologies.importers.machine import Machine
from topologies.importers.wires import Wires, wires_of


def add_way_between_islands(graph: nx.Graph[str], machine: Machine, kinds: Mapping[str, Device], notes: Notes) -> None:
    """Join the islands of a host that nothing else joins by its PCIe, as the fabric between them."""
    switch = add_switch(graph, f"{machine.name}/pcie")
    for slot in machine.slots:
        connect(graph, f"{machine.name}/{slot.name}", switch, "scale_out", kinds[slot.name].host_link_bytes_per_s)
    notes.assume(
        f"{machine.name}: its islands exchange over PCIe, at the rate of the catalog; no file tells of switches"
    )


def add_machine(graph: nx.Graph[str], machine: Machine, kinds: Mapping[str, Device], label: str, notes: Notes) -> None:
    """Add a host with all that it holds.

    Parameters
    ----------
    kinds: device in each slot.
    label: scale-up domain beyond the host; empty where the host is its own. What a slot says itself comes first.
    """
    host, wires = machine.name, wires_of(machine, kinds, notes)
    graph.add_node(host, kind="host", rack=label)
    for slot in machine.slots:
        kind, vertex = kinds[slot.name], f"{host}/{slot.name}"
        healthy = not slot.trouble and slot.name not in wires.off
        if slot.trouble:
            notes.fault_of(vertex, f"{slot.trouble}; marked as not healthy")
        elif not healthy:
            notes.fault_of(vertex, "no NVLink though others of its host have some; marked as not healthy")
        own = f"{host}/island{wires.island[slot.name]}" if slot.name in wires.island else host
        domain = vertex if slot.name in wires.off else slot.domain or label or own
        graph.add_node(vertex, kind="device", device=kind.name, host=host, domain=domain, rack=label, healthy=healthy)
        connect(graph, vertex, host, kind.host_link, kind.host_link_bytes_per_s)
        if kind.name not in devices() or devices()[kind.name] != kind:
            graph.graph.setdefault("devices", {})[kind.name] = kind.plain()
    _add_flash(graph, host, kinds, label)
    _join(graph, machine, wires, label)


def _add_flash(graph: nx.Graph[str], host: str, kinds: Mapping[str, Device], rack: str) -> None:
    """Local flash as the catalog has it for such hosts."""
    size = max(kind.flash_bytes_per_host for kind in kinds.values())
    if size:
        rate = max(kind.flash_bytes_per_s for kind in kinds.values()) or FLASH_BYTES_PER_S
        graph.add_node(f"{host}/flash", kind="storage", rack=rack, capacity_bytes=size)
        connect(graph, host, f"{host}/flash", "storage", rate)


def _join(graph: nx.Graph[str], machine: Machine, wires: Wires, label: str) -> None:
    """Link devices to the switch of their domain, or to each other."""
    host = machine.name
    for (a, b), rate in wires.direct.items():
        connect(graph, f"{host}/{a}", f"{host}/{b}", "scale_up", rate)
    own = {slot.name: slot.domain or label for slot in machine.slots}
    for name, rate in wires.to_switch.items():
        beyond = own[name] if not wires.over_pcie else ""
        if not beyond and len(wires.to_switch) < 2:
            continue
        number = wires.island.get(name, "") if not beyond else ""
        switch = f"{beyond or host}/{'pcieswitch' if wires.over_pcie else 'nvswitch'}{number}"
        if switch not in graph:
            add_switch(graph, switch, beyond)
        connect(graph, f"{host}/{name}", switch, "scale_up", rate)
