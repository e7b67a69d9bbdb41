"""Which domain and which host each vertex belongs to, for telling near traffic from far."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from topologies.components import Component
from topologies.naming import in_order


class Places:
    """Domain and host of vertices.

    Attributes
    ----------
    domain: number of the component of each healthy device.
    host: host of each device, host and local store.
    """

    def __init__(self, components: Sequence[Component], host: Mapping[str, str]) -> None:
        self.domain = {name: index for index, part in enumerate(components) for name in part.devices}
        self.host = host

    def share_domain(self, a: str, b: str) -> bool:
        return a in self.domain and self.domain[a] == self.domain.get(b)

    def share_host(self, a: str, b: str) -> bool:
        return a in self.host and self.host[a] == self.host.get(b)

    def by_domain(self, devices: Iterable[str]) -> dict[int, list[str]]:
        """Devices of each domain, in the order given."""
        found: dict[int, list[str]] = defaultdict(list)
        for name in devices:
            found[self.domain[name]].append(name)
        return found

    def by_host(self, devices: Iterable[str]) -> dict[str, list[str]]:
        """Devices of each host, in the order given."""
        found: dict[str, list[str]] = defaultdict(list)
        for name in devices:
            found[self.host[name]].append(name)
        return found

    def through_host(self, a: str, b: str) -> list[str]:
        """The path between two vertices of one host."""
        return list(dict.fromkeys((a, self.host[a], b)))

    def ordered_domains(self, devices: Iterable[str]) -> list[list[str]]:
        """The devices grouped by domain, groups and members in natural order."""
        return list(self.by_domain(in_order(devices)).values())
