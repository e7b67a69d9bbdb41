"""The places where KV can wait: what each device brings along, what is shared by all, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from solver.cost.instance import Instance
from solver.cost.network.tier_rooms import TierRoom, tier_room
from solver.errors import BadInput
from solver.workload.kv_tiers import BEYOND, KVTierName, MemoryTier
from topologies import DomainClass

GIGABYTE = 1e9
#: Share of a tier's bandwidth that mean loads and writes may take.
BUDGET = 0.8


@dataclass(frozen=True)
class Place:
    """One tier outside of HBM.

    Attributes
    ----------
    rooms: what a device of each supply brings, by index of the supply; of a shared store its network bandwidth alone.
    devices: kind of device of each supply.
    usd_per_byte_hour: price; 0 where it comes with the rented hosts.
    shared: what all devices share; None where each brings its own.
    more_bytes: memory beyond that, to ask what it would be worth.
    """

    tier: MemoryTier
    rooms: tuple[TierRoom, ...]
    devices: tuple[str, ...]
    usd_per_byte_hour: float
    shared: TierRoom | None = None
    more_bytes: float = 0.0

    @property
    def name(self) -> KVTierName:
        """Name of the tier in files."""
        return self.tier.name

    def rate_of(self, device: str) -> float:
        """Least bandwidth of one device of a kind [B/s]."""
        return min(r.bytes_per_s for r, kind in zip(self.rooms, self.devices, strict=True) if kind == device)


def places(instance: Instance, classes: tuple[DomainClass, ...]) -> tuple[Place, ...]:
    """The tiers outside of HBM that a scenario may use, nearest first.

    Raises
    ------
    BadInput: a tier that was asked for by name has no capacity, or no price where one is needed.
    """
    wanted = instance.scenario.options.kv_tiers
    found = []
    for tier in BEYOND:
        if wanted != "auto" and tier.name not in wanted:
            continue
        make = _shared if tier.lies == "shared storage" else _of_hosts
        place = make(instance, classes, tier)
        if isinstance(place, Place):
            found.append(place)
        elif wanted != "auto":
            raise BadInput(f"options.kv_tiers: {tier.name}: {place}")
    return tuple(found)


def _of_hosts(instance: Instance, classes: tuple[DomainClass, ...], tier: MemoryTier) -> Place | str:
    """Memory or storage of the hosts, or why it cannot be used."""
    rooms = [tier_room(tier, instance.fleet(c.device).device, c) for c in classes]
    if not rooms or min(room.capacity_bytes for room in rooms) <= 0 or min(room.bytes_per_s for room in rooms) <= 0:
        return "a host of the cluster has none; give its capacity and bandwidth, or leave the tier out"
    price = tier.usd_per_gb_hour(instance.scenario.prices) if _priced(instance) else 0.0
    if price is None:
        return f"has no price, and devices are billed without their hosts; give prices.{tier.price_fields[0]}"
    return Place(tier, tuple(rooms), tuple(c.device for c in classes), price / GIGABYTE)


def _shared(instance: Instance, classes: tuple[DomainClass, ...], tier: MemoryTier) -> Place | str:
    """Stores that hang on switches, pooled over the fabric, or why they cannot be used."""
    pairs = list(shared_stores(instance))
    if not pairs:
        return "no store hangs on a switch of the cluster; add a storage vertex, or leave the tier out"
    price = tier.usd_per_gb_hour(instance.scenario.prices)
    if price is None:
        return f"has no price; give prices.{tier.price_fields[0]}"
    rooms = [tier_room(tier, instance.fleet(c.device).device, c) for c in classes]
    whole = TierRoom(math.fsum(size for size, _ in pairs), math.fsum(rate for _, rate in pairs))
    return Place(tier, tuple(rooms), tuple(c.device for c in classes), price / GIGABYTE, whole)


def shared_stores(instance: Instance) -> Iterator[tuple[float, float]]:
    """Capacity and bandwidth of every store that hangs on switches and not on a host [bytes, B/s]."""
    graph = instance.cluster
    for vertex, data in graph.nodes(data=True):
        if data["kind"] != "storage" or any(graph.nodes[n]["kind"] == "host" for n in graph[vertex]):
            continue
        yield float(data["capacity_bytes"]), math.fsum(e["bandwidth_bytes_per_s"] for e in graph[vertex].values())


def _priced(instance: Instance) -> bool:
    """Whether memory is paid beside the devices: where hosts are not rented whole."""
    scenario = instance.scenario
    return scenario.billing == "device" and not scenario.owned and scenario.objective == "cost"
