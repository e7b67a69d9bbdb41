"""After a loss: replicas that run stay on their devices, the others find room beside them."""

from __future__ import annotations

from collections.abc import Sequence

from solver.optimize.layout.mapping.bins import Bin, Devices, empty, largest_first
from solver.optimize.layout.program import Supply
from solver.optimize.layout.search import Chosen
from solver.optimize.layout.standing import Standing


def in_place(
    pools: Sequence[Chosen], supplies: Sequence[Supply], standing: Sequence[Standing]
) -> tuple[tuple[Devices, ...], ...] | None:
    """Devices of every replica of every pool, where as many as can be stay; None if the others find no room.

    New replicas go to domains that are in use first, and there to hosts that are in use.
    """
    bins = empty([domain for supply in supplies for domain in supply.domain_class.domains])
    home = {device: index for index, b in enumerate(bins) for device in b.domain.devices}
    kept: list[list[Devices]] = []
    for number, pool in enumerate(pools):
        kept.append([])
        for replica in (r for group in standing if group.like(pool.column) for r in group.replicas):
            parts = _parts(replica, pool, home)
            if len(kept[number]) < pool.replicas and parts and all(bins[i].takes(number, pool) for i in parts):
                for index, devices in parts.items():
                    bins[index].put(number, devices)
                kept[number].append(replica)
    for number in largest_first(pools):
        for _ in range(pools[number].replicas - len(kept[number])):
            fresh = _started(number, pools[number], bins)
            if fresh is None:
                return None
            kept[number].append(fresh)
    return tuple(tuple(replicas) for replicas in kept)


def _parts(replica: Devices, pool: Chosen, home: dict[str, int]) -> dict[int, Devices]:
    """Devices of a replica by domain; empty where they no longer lie in as many domains as they should."""
    footprint = pool.column.footprint
    if len(replica) != footprint.devices or any(device not in home for device in replica):
        return {}
    starts = range(0, len(replica), footprint.size)
    parts = [replica[start : start + footprint.size] for start in starts]
    homes = [{home[device] for device in part} for part in parts]
    found = {next(iter(place)): part for place, part in zip(homes, parts, strict=True) if len(place) == 1}
    return found if len(found) == footprint.domains else {}


def _started(number: int, pool: Chosen, bins: Sequence[Bin]) -> Devices | None:
    """Devices for a new replica, in the fullest domains that have room."""
    footprint = pool.column.footprint
    able = [b for b in bins if b.domain.device == footprint.device and b.takes(number, pool)]
    # One domain of those that share hosts is enough.
    distinct = {id(b.on_hosts): b for b in sorted(able, key=lambda b: (bool(b.held), -b.room))}.values()
    chosen = sorted(distinct, key=lambda b: (not b.held, b.room))[: footprint.domains]
    if len(chosen) < footprint.domains:
        return None
    return tuple(device for b in chosen for device in b.add(number, pool))
