"""Devices for ranks: fragments joined into replicas."""

from __future__ import annotations

from collections.abc import Sequence

from solver.optimize.layout.mapping.bins import Bin, Devices
from solver.optimize.layout.search import Chosen


def ranks(pools: Sequence[Chosen], bins: Sequence[Bin]) -> tuple[tuple[Devices, ...], ...]:
    """Devices of every replica of every pool."""
    used = [b for b in bins if b.held]
    groups = {group: number for number, group in enumerate(dict.fromkeys(id(b.on_hosts) for b in used))}
    used.sort(key=lambda b: groups[id(b.on_hosts)])
    home = {device: groups[id(b.on_hosts)] for b in used for device in b.domain.devices}
    return tuple(
        _joined(pool, [part for b in used for part in b.held.get(number, ())], home)
        for number, pool in enumerate(pools)
    )


def _joined(pool: Chosen, parts: Sequence[Devices], home: dict[str, int]) -> tuple[Devices, ...]:
    """Join fragments so that no replica has two in one domain, or in domains that share hosts.

    Fragments come domain by domain and none, with those that share its hosts, holds more than there are replicas, so dealing
    them out in turn never gives a replica two of one; where each holds equally many, neighbours stay together.
    """
    count = pool.column.footprint.domains
    if count == 1:
        return tuple(parts)
    together = [tuple(parts[start : start + count]) for start in range(0, len(parts), count)]
    if all(len({home[part[0]] for part in group}) == count for group in together):
        return tuple(tuple(device for part in group for device in part) for group in together)
    dealt: list[list[str]] = [[] for _ in range(pool.replicas)]
    for index, part in enumerate(parts):
        dealt[index % pool.replicas].extend(part)
    return tuple(tuple(devices) for devices in dealt)
