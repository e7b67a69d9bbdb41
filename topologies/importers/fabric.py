"""The scale-out fabric and the scale-up domains as a file describes them, with hosts as end points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Port:
    """One NIC of a host on one switch.

    Attributes
    ----------
    hca: name of the NIC on its host; empty where one link stands for all of them.
    bytes_per_s: one direction [bytes/s]; None where the file does not tell.
    guid: of the NIC, as hexadecimal digits.
    """

    host: str
    hca: str
    switch: str
    bytes_per_s: float | None = None
    guid: str = ""


@dataclass(frozen=True)
class Trunk:
    """All links between two switches together; bytes_per_s as for ports, lower and upper as the file orders them."""

    lower: str
    upper: str
    bytes_per_s: float | None = None


@dataclass(frozen=True)
class Fabric:
    """What joins hosts.

    Attributes
    ----------
    switches: every switch; none where the file knows domains only.
    domains: hosts of each scale-up domain by its label.
    products: product of a host's devices; counts: how many it has; memories: of each [bytes]. Only where the file tells.
    """

    switches: tuple[str, ...] = ()
    ports: tuple[Port, ...] = ()
    trunks: tuple[Trunk, ...] = ()
    domains: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    products: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    memories: Mapping[str, float] = field(default_factory=dict)

    @property
    def hosts(self) -> list[str]:
        """Every host that is named, in order of first mention."""
        on_switches = (port.host for port in self.ports)
        in_domains = (host for hosts in self.domains.values() for host in hosts)
        return list(dict.fromkeys((*on_switches, *in_domains, *self.products, *self.counts)))

    def ports_of(self) -> dict[str, list[Port]]:
        """Ports of each host."""
        found: dict[str, list[Port]] = {}
        for port in self.ports:
            found.setdefault(port.host, []).append(port)
        return found
