"""Whether two files speak of the same host."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from topologies.importers.fabric import Fabric
from topologies.importers.machine import Machine


def same_name(name: str, known: Iterable[str]) -> str:
    """The known host of that name: spelled alike, but for case, or but for the domain; empty for none or several.

    >>> same_name("Node1.example.org", ["node1", "node2"])
    'node1'
    """
    hosts = list(known)
    if name in hosts:
        return name
    for reading in (str.casefold, _short):
        found = [host for host in hosts if reading(host) == reading(name)]
        if found:
            return found[0] if len(found) == 1 else ""
    return ""


def _short(name: str) -> str:
    return name.casefold().partition(".")[0]


def on_fabric(machines: Sequence[Machine], fabric: Fabric) -> dict[str, Machine]:
    """The machines that are hosts of the fabric, by the fabric's name: by the GUID of a NIC, else by name."""
    by_guid = {port.guid: port.host for port in fabric.ports if port.guid}
    hosts, found = fabric.hosts, dict[str, Machine]()
    for machine in machines:
        guided = {by_guid[nic.guid] for nic in machine.nics if nic.guid in by_guid}
        host = guided.pop() if len(guided) == 1 else same_name(machine.name, hosts)
        if host and host not in found:
            found[host] = machine
    return found
