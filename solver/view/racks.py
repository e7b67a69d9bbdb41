"""The devices of a cluster in the order in which they stand: racks, the trays (hosts) in them, devices in those."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import networkx as nx

from topologies.naming import in_order

#: A rack label that more devices share than any rack holds says nothing; its domains are shown one by one.
FULLEST = 320


@dataclass(frozen=True)
class Tray:
    """One host's devices in natural order, and the scale-up domain of the first of them."""

    host: str
    domain: str
    devices: tuple[str, ...]


@dataclass(frozen=True)
class Rack:
    """Trays that stand together."""

    name: str
    trays: tuple[Tray, ...]

    @property
    def devices(self) -> Iterator[str]:
        """All devices, tray by tray."""
        return (device for tray in self.trays for device in tray.devices)


def racks(cluster: nx.Graph[str], domain_of: Callable[[str], str]) -> tuple[Rack, ...]:
    """The racks of a cluster in natural order; where no rack is named, each scale-up domain counts as one.

    Parameters
    ----------
    domain_of: name of the scale-up domain of a device.
    """
    by_host: dict[str, list[str]] = {}
    for vertex, data in cluster.nodes(data=True):
        if data["kind"] == "device":
            by_host.setdefault(data["host"], []).append(vertex)
    trays = []
    for host in in_order(by_host):
        devices = in_order(by_host[host])
        trays.append(Tray(host, domain_of(devices[0]), tuple(devices)))
    named = _together(trays, lambda tray: str(cluster.nodes[tray.devices[0]].get("rack") or tray.domain))
    found = []
    for name, members in named.items():
        if sum(len(tray.devices) for tray in members) <= FULLEST:
            found.append(Rack(name, tuple(members)))
        else:
            found += [
                Rack(domain, tuple(part)) for domain, part in _together(members, lambda tray: tray.domain).items()
            ]
    return tuple(found)


def _together(trays: list[Tray], key: Callable[[Tray], str]) -> dict[str, list[Tray]]:
    """Trays that share a key, by key in natural order."""
    found: dict[str, list[Tray]] = {}
    for tray in trays:
        found.setdefault(key(tray), []).append(tray)
    return {name: found[name] for name in in_order(found)}
