"""Whether two files speak of the same host."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from topologies.importers.fabric import Fabric
from topologies.importers.machine import Machine


class Names:
    """Known hosts, found by names that may be spelled otherwise.

    >>> Names(["node1", "node2"]).find("Node1.example.org")
    'node1'
    """

    def __init__(self, known: Iterable[str]) -> None:
        self._known = dict.fromkeys(known)
        self._read: list[dict[str, list[str]]] = []
        for reading in _READINGS:
            found: dict[str, list[str]] = {}
            for host in self._known:
                found.setdefault(reading(host), []).append(host)
            self._read.append(found)

    def find(self, name: str) -> str:
        """The host of that name: spelled alike, but for case, or but for the domain; empty for none or several."""
        if name in self._known:
            return name
        for reading, found in zip(_READINGS, self._read, strict=True):
            if hosts := found.get(reading(name)):
                return hosts[0] if len(hosts) == 1 else ""
        return ""


def _short(name: str) -> str:
    return name.casefold().partition(".")[0]


_READINGS = (str.casefold, _short)


def on_fabric(machines: Sequence[Machine], fabric: Fabric) -> dict[str, Machine]:
    """The machines that are hosts of the fabric, by the fabric's name: by the GUID of a NIC, else by name."""
    by_guid = {port.guid: port.host for port in fabric.ports if port.guid}
    hosts, found = Names(fabric.hosts), dict[str, Machine]()
    for machine in machines:
        guided = {by_guid[nic.guid] for nic in machine.nics if nic.guid in by_guid}
        host = guided.pop() if len(guided) == 1 else hosts.find(machine.name)
        if host and host not in found:
            found[host] = machine
    return found
