"""How the devices of one machine are joined for scale-up: through switches, directly, or over PCIe alone.

Devices whose pairs show more NVLinks in sum than a device has are joined by NVSwitches. A device without NVLinks
among others that have them is off the fabric: it is kept, marked as not healthy, so that no plan counts on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import networkx as nx

from topologies.hardware import Device
from topologies.importers.findings import Notes, listed
from topologies.importers.machine import Machine, Slot
from topologies.importers.products import is_bridged, made_bridged, nvlink_bytes_per_s, nvlinks


@dataclass
class Wires:
    """Scale-up bandwidths of a machine [bytes/s, one direction].

    Attributes
    ----------
    to_switch: of each device on the switch of the machine or of its domain.
    direct: of pairs that are joined without a switch.
    over_pcie: whether that switch stands for PCIe.
    off: devices that are on nothing though others are.
    island: number of the part that links join, of each device; empty where there is but one.
    """

    to_switch: dict[str, float] = field(default_factory=dict)
    direct: dict[tuple[str, str], float] = field(default_factory=dict)
    over_pcie: bool = False
    off: list[str] = field(default_factory=list)
    island: dict[str, int] = field(default_factory=dict)


def wires_of(machine: Machine, kinds: Mapping[str, Device], notes: Notes) -> Wires:
    """How the devices of a machine are joined, from its file where that tells, else from the catalog."""
    told = [slot for slot in machine.slots if slot.peers is not None]
    linked = [slot for slot in told if any((slot.peers or {}).values())]
    if any(slot.switched is not None for slot in machine.slots):
        return _by_state(machine, kinds, notes)
    if linked:
        return _by_links(machine, kinds, notes)
    first = kinds[machine.slots[0].name]
    if told and first.scale_up_fabric == "mesh" and len(machine.slots) > 1:
        notes.assume(f"{machine.name}: the file lists no {machine.links} between its devices: they exchange over PCIe")
        return _over_pcie(machine, {slot: kinds[slot].host_link_bytes_per_s for slot in kinds})
    if told and first.scale_up_fabric == "switch" and not is_bridged(first) and len(machine.slots) > 1:
        what = f"no device has an NVLink though {first.name} is made with {nvlinks(first)}"
        notes.fault_of(machine.name, f"{what} (a table of `topo -mp` never shows them)")
        return _over_pcie(machine, {slot: kinds[slot].host_link_bytes_per_s for slot in kinds})
    return _by_catalog(machine, kinds, notes)


def _by_state(machine: Machine, kinds: Mapping[str, Device], notes: Notes) -> Wires:
    """On the switch or off it, as the fabric manager says; the number of links by the matrix where there is one."""
    wires = Wires()
    for slot in machine.slots:
        kind = kinds[slot.name]
        if slot.switched is False or (slot.peers is not None and not any(slot.peers.values()) and len(kinds) > 1):
            wires.off.append(slot.name)
        elif slot.switched or kind.scale_up_fabric == "switch":
            wires.to_switch[slot.name] = _switched_rate(machine, slot, kind, notes)
    return wires


def _by_links(machine: Machine, kinds: Mapping[str, Device], notes: Notes) -> Wires:
    """As the matrix of links shows: each connected part of it is an island, on switches or of direct links."""
    wires = Wires()
    parts = _parts(machine)
    alone = [part[0] for part in parts if len(part) == 1]
    bridged = all(is_bridged(kind) for kind in kinds.values())
    if not bridged:
        wires.off = alone
    joined = [part for part in parts if len(part) > 1 or bridged]
    if len(joined) > 1:
        wires.island = {name: number for number, part in enumerate(joined) for name in part}
        sizes = "+".join(str(len(part)) for part in joined)
        notes.assume(
            f"{machine.name}: {machine.links} links join its devices in islands of {sizes}, each a domain of its own"
        )
    by_name = {slot.name: slot for slot in machine.slots}
    for part in joined:
        sums = {name: sum((by_name[name].peers or {}).values()) for name in part}
        switched = any(
            kinds[name].scale_up_fabric != "mesh" and total > (_made(kinds[name]) or machine.most_links)
            for name, total in sums.items()
        )
        for name in part:
            if switched:
                wires.to_switch[name] = _switched_rate(machine, by_name[name], kinds[name], notes)
                continue
            for other, count in (by_name[name].peers or {}).items():
                if count and (other, name) not in wires.direct:
                    wires.direct[name, other] = count * nvlink_bytes_per_s(kinds[name])
    return wires


def _parts(machine: Machine) -> list[list[str]]:
    """The connected parts of the links between devices, in order; a device without links is a part of one."""
    links: nx.Graph[str] = nx.Graph()
    links.add_nodes_from(slot.name for slot in machine.slots)
    for slot in machine.slots:
        links.add_edges_from(
            (slot.name, other) for other, count in (slot.peers or {}).items() if count and other in links
        )
    place = {slot.name: number for number, slot in enumerate(machine.slots)}
    parts = [sorted(part, key=place.__getitem__) for part in nx.connected_components(links)]
    return sorted(parts, key=lambda part: place[part[0]])


def _made(kind: Device) -> int:
    """Links that a device has for its pairs in sum."""
    return nvlinks(kind) or made_bridged(kind)


def _switched_rate(machine: Machine, slot: Slot, kind: Device, notes: Notes) -> float:
    """Bandwidth of a device to its NVSwitches: less than the catalog's where it shows fewer links."""
    made, shown = nvlinks(kind), slot.switch_links or max((slot.peers or {}).values(), default=0)
    if not shown or not made or shown == made:
        return kind.scale_up_bytes_per_s
    if shown < made:
        notes.fault_of(f"{machine.name}/{slot.name}", f"{shown} NVLinks where {kind.name} is made with {made}")
    else:
        notes.assume(
            f"{slot.name} shows {shown} NVLinks where the catalog's {kind.name} has {made}: the catalog is kept"
        )
    return kind.scale_up_bytes_per_s * min(1.0, shown / made)


def _by_catalog(machine: Machine, kinds: Mapping[str, Device], notes: Notes) -> Wires:
    """As the catalog joins such devices, where the file is silent."""
    wires, names = Wires(), [slot.name for slot in machine.slots]
    made = {kind.scale_up_fabric for kind in kinds.values()}
    if len(names) > 1:
        joined = listed(sorted({f"{kind.name} by {kind.scale_up_fabric}" for kind in kinds.values()}))
        notes.assume(f"no file tells how the devices of a host are joined; as in the catalog: {joined}")
    if made == {"mesh"}:
        pairs = [(a, b) for index, a in enumerate(names) for b in names[index + 1 :]]
        wires.direct = {(a, b): kinds[a].scale_up_pair_bytes_per_s for a, b in pairs}
        return wires
    if "torus" in made:
        notes.assume(f"{machine.name}: the links of a torus are in no file that is read here; its devices stand alone")
        return wires
    if made == {"pcie"} and len(names) > 1:
        return _over_pcie(machine, {name: kinds[name].scale_up_bytes_per_s for name in names})
    wires.to_switch = {
        name: kinds[name].scale_up_bytes_per_s for name in names if kinds[name].scale_up_fabric == "switch"
    }
    return wires


def _over_pcie(machine: Machine, rates: dict[str, float]) -> Wires:
    return Wires(to_switch=rates, over_pcie=True)
