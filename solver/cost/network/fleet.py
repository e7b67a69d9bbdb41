"""The cluster as the program sees it: for each kind of device, how many domains of which size, and their bandwidths."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import networkx as nx

from solver.cost.calibration import Calibration
from topologies import Device, DomainClass, devices_of, domain_classes


@dataclass(frozen=True)
class Fleet:
    """All domains of one kind of device.

    Attributes
    ----------
    device: the hardware, with the bandwidths that every domain of the cluster offers at least.
    classes: classes of identical domains.
    best_scale_out: the most scale-out bandwidth that any device of the kind has [B/s].
    """

    device: Device
    classes: tuple[DomainClass, ...]
    best_scale_out: float

    @property
    def domain_sizes(self) -> tuple[int, ...]:
        """Sizes of domains that occur, largest first."""
        return tuple(sorted({c.size for c in self.classes}, reverse=True))

    @property
    def domains(self) -> int:
        """Number of domains."""
        return sum(c.count for c in self.classes)

    @property
    def devices(self) -> int:
        """Number of healthy devices."""
        return sum(c.count * c.size for c in self.classes)

    def best_transfer(self, calibration: Calibration) -> float:
        """The most bandwidth over which a device hands a KV cache to another pool [B/s].

        Engines hand over through the NICs wherever there is more than one domain, also to a pool in the same one.
        """
        if self.domains == 1:
            return self.device.scale_up_bytes_per_s * calibration.scale_up
        return self.best_scale_out * calibration.scale_out

    def sure_transfer(self, calibration: Calibration) -> float:
        """Bandwidth over which a device hands a KV cache to a decode pool wherever that lies [B/s]."""
        if self.domains == 1:
            return self.device.scale_up_bytes_per_s * calibration.scale_up
        return self.device.scale_out_bytes_per_s * calibration.scale_out

    @property
    def host_size(self) -> int:
        """Devices of the largest host."""
        return max(host.neighbours for c in self.classes for host in c.profile.hosts)


def fleets(cluster: nx.Graph[str], classes: Sequence[DomainClass] | None = None) -> tuple[Fleet, ...]:
    """The fleets of a cluster, by name of device."""
    found = domain_classes(cluster) if classes is None else classes
    hardware = devices_of(cluster)
    names = sorted({c.device for c in found})
    return tuple(_fleet(hardware[name], [c for c in found if c.device == name]) for name in names)


def _fleet(device: Device, classes: Iterable[DomainClass]) -> Fleet:
    members = tuple(classes)
    least = [c.profile.least for c in members]
    rates = [rate for c in members for rate in c.profile.rates]
    seen = replace(
        device,
        scale_up_bytes_per_s=_positive(min(r.scale_up for r in least), device.scale_up_bytes_per_s),
        scale_out_bytes_per_s=_positive(min(r.scale_out for r in least), device.scale_out_bytes_per_s),
        host_link_bytes_per_s=_positive(min(r.host_link for r in least), device.host_link_bytes_per_s),
    )
    return Fleet(seen, members, max(_positive(r.scale_out, device.scale_out_bytes_per_s) for r in rates))


def _positive(value: float, otherwise: float) -> float:
    """A bandwidth of the graph; a device without such links never uses it, so any positive number stands in."""
    return value if value > 0 else otherwise
