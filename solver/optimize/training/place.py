"""Ranks on devices, domain by domain, by the mapping that places serving replicas.

Ranks that follow each other fill a scale-up domain; such blocks are the fragments of one pool, packed first fit onto domains
in the order of their leaves. After a loss blocks whose devices all survived keep them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from solver.optimize.layout.mapping.bins import Bin, fill
from solver.space.shapes import Footprint
from solver.training.instance import Ground
from topologies import Domain


@dataclass(frozen=True)
class _BlockColumn:
    """What the mapping asks of a column."""

    footprint: Footprint


@dataclass(frozen=True)
class _BlockPool:
    """Blocks of ranks, each in one domain."""

    column: _BlockColumn
    replicas: int


def placed(ground: Ground, ranks: int, standing: Sequence[str] = ()) -> tuple[str, ...]:
    """The device of every rank.

    Parameters
    ----------
    standing: devices of the ranks of a layout that runs, in their order; blocks that are whole stay.
    """
    size = ground.machine.domain
    blocks = -(-ranks // size)
    kept = _kept(ground, standing, blocks) if standing else {}
    taken = {device for devices in kept.values() for device in devices}
    free = [domain for domain in ground.domains if taken.isdisjoint(domain.devices)]
    fresh = iter(_packed(ground, free, blocks - len(kept)))
    devices = [device for block in range(blocks) for device in kept.get(block) or next(fresh)]
    return tuple(devices[:ranks])


def _packed(ground: Ground, domains: Sequence[Domain], blocks: int) -> list[tuple[str, ...]]:
    """Devices of so many blocks, a domain each."""
    size = ground.machine.domain
    host = min(size, ground.host)
    while size % host:
        host -= 1
    footprint = Footprint(ground.machine.device.name, 1, size // host, host)
    pool = _BlockPool(_BlockColumn(footprint), blocks)
    bins: list[Bin] = fill([pool], [blocks], domains) or []
    return [part for one in bins for part in one.held.get(0, ())]


def _kept(ground: Ground, standing: Sequence[str], blocks: int) -> dict[int, tuple[str, ...]]:
    """Blocks that keep their devices: those that lie whole in a domain of the ground."""
    size = ground.machine.domain
    home = {device: number for number, domain in enumerate(ground.domains) for device in domain.devices}
    found: dict[int, tuple[str, ...]] = {}
    for block in range(min(blocks, len(standing) // size)):
        devices = tuple(standing[block * size : (block + 1) * size])
        homes = {home.get(device) for device in devices}
        if len(homes) == 1 and None not in homes:
            found[block] = devices
    return found
