"""After a loss: replicas that run stay on their devices, the others find room beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from solver.optimize.layout.mapping.bins import Bin
from solver.optimize.layout.mapping.ranks import Replica
from solver.optimize.layout.program import Supply
from solver.optimize.layout.search import Chosen
from solver.optimize.layout.standing import Standing


def in_place(
    pools: Sequence[Chosen], supplies: Sequence[Supply], standing: Sequence[Standing]
) -> tuple[tuple[Replica, ...], ...] | None:
    """Devices of every replica of every pool, where as many as can be stay; None if the others find no room.

    New replicas go to domains that are in use first, and there to hosts that are in use.
    """
    bins = [Bin(domain, domain.size) for supply in supplies for domain in supply.domain_class.domains]
    home = {device: index for index, b in enumerate(bins) for device in b.domain.devices}
    taken: set[str] = set()
    kept: list[list[Replica]] = []
    for number, pool in enumerate(pools):
        kept.append([])
        for replica in (r for group in standing if group.like(pool.column) for r in group.replicas):
            parts = _parts(replica, pool, home)
            if len(kept[number]) < pool.replicas and parts and all(bins[i].takes(number, pool) for i in parts):
                for index in parts:
                    bins[index].add(number, pool)
                taken.update(replica)
                kept[number].append(replica)
    order = sorted(range(len(pools)), key=lambda n: (-pools[n].column.footprint.size, n))
    for number in order:
        for _ in range(pools[number].replicas - len(kept[number])):
            fresh = _started(number, pools[number], bins, taken)
            if fresh is None:
                return None
            taken.update(fresh)
            kept[number].append(fresh)
    return tuple(tuple(replicas) for replicas in kept)


def _parts(replica: Replica, pool: Chosen, home: dict[str, int]) -> list[int]:
    """Domains of a replica's fragments; empty where its devices no longer lie in as many domains as they should."""
    footprint = pool.column.footprint
    if len(replica) != footprint.devices or any(device not in home for device in replica):
        return []
    starts = range(0, len(replica), footprint.size)
    parts = [{home[device] for device in replica[start : start + footprint.size]} for start in starts]
    distinct = {next(iter(part)) for part in parts if len(part) == 1}
    return sorted(distinct) if len(distinct) == footprint.domains else []


def _started(number: int, pool: Chosen, bins: Sequence[Bin], taken: set[str]) -> Replica | None:
    """Devices for a new replica, in the fullest domains that have room."""
    footprint = pool.column.footprint
    able = [b for b in bins if b.domain.device == footprint.device and b.takes(number, pool)]
    if len(able) < footprint.domains:
        return None
    devices: list[str] = []
    for chosen in sorted(able, key=lambda b: (not b.held, b.room))[: footprint.domains]:
        chosen.add(number, pool)
        devices += _free(chosen, taken)[: footprint.size]
    return tuple(devices)


def _free(chosen: Bin, taken: set[str]) -> list[str]:
    """Free devices of a domain, those of hosts in use first, fullest hosts first."""
    used = Counter({host: sum(d in taken for d in devices) for host, devices in enumerate(chosen.domain.hosts)})
    order = sorted(range(len(chosen.domain.hosts)), key=lambda host: (-used[host], host))
    return [device for host in order for device in chosen.domain.hosts[host] if device not in taken]
