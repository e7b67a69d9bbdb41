"""Which machine each host of the cluster is: the one that a file describes, a copy of it, or what the caller says."""

from __future__ import annotations

from dataclasses import replace

from topologies.errors import BadInput
from topologies.importers.fabric import Fabric
from topologies.importers.fill import Fill
from topologies.importers.findings import Notes, counted, listed
from topologies.importers.kinds import kinds_of
from topologies.importers.machine import Machine
from topologies.importers.matching import on_fabric
from topologies.importers.nics import usual_nics
from topologies.importers.template import blank, is_sound, sound

MANY_NICS = 4
"""NICs of a host from which on one with half of them is not taken for a host that has lost some."""


def place(machines: list[Machine], fabric: Fabric | None, fill: Fill, notes: Notes) -> dict[str, Machine]:
    """The machine that each host is."""
    if fabric is not None and fill.hosts is not None:
        raise BadInput(f"hosts is {fill.hosts}, but the fabric names its {len(fabric.hosts)} hosts; leave hosts out")
    if fabric is None and fill.hosts is not None:
        return _copies(machines, fill.hosts, notes)
    if fabric is None:
        return {machine.name: machine for machine in machines}
    matched = on_fabric(machines, fabric)
    template = machines[0] if len(machines) == 1 else None
    if template is not None and not matched and not is_sound(template):
        notes.fault(f"which host {template.name} is, is not known; its faults are on none")
    unplaced = [machine.name for machine in machines if machine not in matched.values() and machine is not template]
    if unplaced:
        notes.fault(f"files describe hosts that the fabric does not name; left out: {listed(unplaced)}")
    placed, empty = dict[str, Machine](), list[str]()
    for host in _computing(fabric, notes):
        if host in matched:
            placed[host] = replace(matched[host], name=host)
        elif template is not None:
            placed[host] = replace(sound(template), name=host)
        elif (fill.device is not None and _may_compute(host, fabric)) or host in fabric.products:
            placed[host] = _filled(host, fabric, fill)
        else:
            empty.append(host)
    if placed and empty:
        which = f"{counted(len(empty), 'host')} of the fabric without devices, being in no other file"
        notes.fault(f"{which}: {listed(empty)}")
    if template is not None and len(placed) > len(matched):
        notes.assume(f"{counted(len(placed) - len(matched), 'host')} of the fabric taken to be like {template.name}")
    return placed


def _copies(machines: list[Machine], hosts: int, notes: Notes) -> dict[str, Machine]:
    if len(machines) != 1:
        raise BadInput(f"hosts copies one host; the files describe {len(machines)}")
    one = machines[0]
    if hosts == 1:
        return {one.name: one}
    notes.assume(f"{hosts} hosts are taken to be like {one.name}, the first with its faults and the others without")
    first = replace(one, slots=tuple(replace(slot, domain="") for slot in one.slots))
    return {f"host{i}": replace(sound(one) if i else first, name=f"host{i}") for i in range(hosts)}


def _computing(fabric: Fabric, notes: Notes) -> list[str]:
    """Hosts of the fabric that have more than half of the NICs that such hosts have; the others manage it."""
    ports_of = fabric.ports_of()
    usual = usual_nics(ports_of)
    own = {host: {port.hca for port in ports} for host, ports in ports_of.items()}
    few = {host: None for host, nics in own.items() if 2 * len(nics) <= len(usual[host]) >= MANY_NICS}
    if few:
        which = f"{counted(len(few), 'host')} with at most half of the usual NICs"
        notes.assume(f"{which}, taken to have no devices: {listed(list(few))}")
    lacking: dict[str, list[str]] = {}
    for host, nics in own.items():
        for nic in set(usual[host]) - nics if host not in few else ():
            lacking.setdefault(nic, []).append(host)
    for nic in sorted(lacking):
        hosts = lacking[nic]
        notes.fault(f"{counted(len(hosts), 'host')} without a link of NIC {nic} to any switch: {listed(hosts)}")
    unlinked = [host for host in fabric.hosts if fabric.ports and host not in ports_of]
    if unlinked:
        notes.fault(f"{counted(len(unlinked), 'host')} on no switch, left out: {listed(unlinked)}")
    return [host for host in fabric.hosts if host not in {*few, *unlinked}]


def _may_compute(host: str, fabric: Fabric) -> bool:
    """Whether a host may hold devices: not where the file counts those of other hosts and none of this one."""
    return not fabric.counts or host in fabric.counts


def _filled(host: str, fabric: Fabric, fill: Fill) -> Machine:
    """A host of which the fabric's file, or the caller, knows the product alone."""
    product, memory = fabric.products.get(host, ""), fabric.memories.get(host, 0.0)
    first = kinds_of(blank(host, 1, product, memory), fill, Notes())["gpu0"]
    count = fill.devices_per_host or fabric.counts.get(host) or first.devices_per_host
    return blank(host, count, product, memory)
