"""The places where KV can wait: what each device brings along, what is shared by all, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from solver.cost.instance import Instance
from solver.errors import BadInput
from solver.workload.scenario import KV_TIERS, KVTierName
from topologies import DomainClass

GIGABYTE = 1e9
#: Share of a tier's bandwidth that mean loads and writes may take.
BUDGET = 0.8


@dataclass(frozen=True)
class Room:
    """What one device brings of a tier: an equal part of what its host has.

    Attributes
    ----------
    capacity_bytes: what it holds; bytes_per_s: how fast it is read and written.
    """

    capacity_bytes: float
    bytes_per_s: float


@dataclass(frozen=True)
class Place:
    """One tier outside of HBM.

    Attributes
    ----------
    rooms: what a device of each supply brings, by index of the supply; of ``remote`` its network bandwidth alone.
    devices: kind of device of each supply.
    usd_per_byte_hour: price; 0 where it comes with the rented hosts.
    shared: what all devices share (``remote``); None where each brings its own.
    more_bytes: memory beyond that, to ask what it would be worth.
    """

    name: KVTierName
    rooms: tuple[Room, ...]
    devices: tuple[str, ...]
    usd_per_byte_hour: float
    shared: Room | None = None
    more_bytes: float = 0.0

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
    for name in KV_TIERS[1:]:
        if wanted != "auto" and name not in wanted:
            continue
        place = _remote(instance, classes) if name == "remote" else _local(instance, classes, name)
        if isinstance(place, Place):
            found.append(place)
        elif wanted != "auto":
            raise BadInput(f"options.kv_tiers: {name}: {place}")
    return tuple(found)


def _local(instance: Instance, classes: tuple[DomainClass, ...], name: KVTierName) -> Place | str:
    """DRAM or flash of the hosts, or why it cannot be used."""
    rooms = []
    for domain_class in classes:
        hosts = domain_class.profile.hosts
        link = instance.fleet(domain_class.device).device.host_link_bytes_per_s
        if name == "dram":
            size, rate = min(host.dram_bytes / host.neighbours for host in hosts), link
        else:
            size = min(host.flash_bytes / host.neighbours for host in hosts)
            rate = min(link, *(host.flash_bytes_per_s / host.neighbours for host in hosts))
        rooms.append(Room(size, rate))
    if not rooms or min(room.capacity_bytes for room in rooms) <= 0 or min(room.bytes_per_s for room in rooms) <= 0:
        return "a host of the cluster has none; give its capacity and bandwidth, or leave the tier out"
    price = _price(instance, name) if _priced(instance) else 0.0
    if price is None:
        return f"has no price, and devices are billed without their hosts; give prices.{name}_usd_per_GB_hour"
    return Place(name, tuple(rooms), tuple(c.device for c in classes), price / GIGABYTE)


def _remote(instance: Instance, classes: tuple[DomainClass, ...]) -> Place | str:
    """Stores that hang on switches, pooled over the fabric, or why they cannot be used."""
    pairs = list(shared_stores(instance))
    if not pairs:
        return "no store hangs on a switch of the cluster; add a storage vertex, or leave the tier out"
    price = _price(instance, "remote")
    if price is None:
        price = _price(instance, "flash")
    if price is None:
        return "has no price; give prices.remote_usd_per_GB_hour"
    rooms = [Room(math.inf, instance.fleet(c.device).device.scale_out_bytes_per_s) for c in classes]
    whole = Room(math.fsum(size for size, _ in pairs), math.fsum(rate for _, rate in pairs))
    return Place("remote", tuple(rooms), tuple(c.device for c in classes), price / GIGABYTE, whole)


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


def _price(instance: Instance, name: KVTierName) -> float | None:
    return instance.scenario.prices.get(f"{name}_usd_per_GB_hour")
