"""What one device brings of a memory tier: an equal part of what its host has, or its share of the network."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from solver.workload.kv_tiers import MemoryTier
from topologies import Device, DomainClass


@dataclass(frozen=True)
class TierRoom:
    """One device's part of a tier.

    Attributes
    ----------
    capacity_bytes: what it holds; infinite where that is shared by all. bytes_per_s: how fast it is read and written.
    """

    capacity_bytes: float
    bytes_per_s: float


def tier_room(tier: MemoryTier, device: Device, domain_class: DomainClass) -> TierRoom:
    """The part of a device of a domain class, that of the poorest host where they differ.

    Parameters
    ----------
    device: with the bandwidths that the cluster leaves to it.
    """
    hosts = domain_class.profile.hosts
    link = {None: math.inf, "host_link": device.host_link_bytes_per_s, "scale_out": device.scale_out_bytes_per_s}
    rate = link[tier.link]
    if tier.lies == "host memory":
        return TierRoom(min(host.dram_bytes / host.neighbours for host in hosts), rate)
    if tier.lies == "host storage":
        stores = (host.flash_bytes_per_s / host.neighbours for host in hosts)
        return TierRoom(min(host.flash_bytes / host.neighbours for host in hosts), min(rate, *stores))
    return TierRoom(math.inf, rate)


def slowest_rate(tier: MemoryTier, device: Device, classes: Iterable[DomainClass]) -> float:
    """Bandwidth of a device to a tier wherever it lies [B/s]."""
    return min(tier_room(tier, device, domain_class).bytes_per_s for domain_class in classes)
