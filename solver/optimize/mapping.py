"""Names for what was counted: fragments onto scale-up domains, ranks onto devices.

Fragments of the larger sizes go first and fill domain after domain, so that few hosts are opened. Where that leaves
something over, CP-SAT looks for a packing, and proves it if there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from solver.optimize.integers import IntegerProgram, IntegerRow
from solver.optimize.layout import Chosen, Layout
from solver.optimize.program import Supply
from solver.optimize.run import Effort, run
from topologies import Domain


@dataclass(frozen=True)
class Unpackable:
    """Pools that do not fit together on a supply, though the program thought so."""

    supply: int
    pools: tuple[Chosen, ...]


@dataclass(frozen=True)
class Mapping:
    """Devices of every rank: ``devices[pool][replica]`` lists them stage by stage, in rank order."""

    devices: tuple[tuple[tuple[str, ...], ...], ...]


@dataclass
class _Bin:
    """A domain being filled: how many fragments of each pool it holds."""

    domain: Domain
    held: dict[int, int] = field(default_factory=dict)
    room: int = 0


def place(layout: Layout, supplies: Sequence[Supply], effort: Effort) -> Mapping | Unpackable:
    """Give every rank a device."""
    pools = layout.pools
    bins: list[_Bin] = []
    for supply in supplies:
        decided = layout.contents.get(supply.index)
        filled = _search(pools, supply, effort, decided) if decided else None
        filled = filled or _fill(pools, supply) or _search(pools, supply, effort)
        if filled is None:
            return Unpackable(supply.index, tuple(p for p in pools if p.fragments.get(supply.index)))
        bins += filled
    return Mapping(_ranks(pools, bins))


def sizes_on(pools: Sequence[Chosen], supply: int) -> tuple[int, ...]:
    """Sizes of the fragments on a supply, largest first."""
    return tuple(sorted({p.column.footprint.size for p in pools if p.fragments.get(supply)}, reverse=True))


def _counts(pools: Sequence[Chosen], supply: Supply) -> list[tuple[int, Chosen, int]]:
    """Pools with fragments on a supply, largest fragments first."""
    here = [(number, pool, pool.fragments.get(supply.index, 0)) for number, pool in enumerate(pools)]
    return sorted((entry for entry in here if entry[2]), key=lambda e: (-e[1].column.footprint.size, e[0]))


def _fill(pools: Sequence[Chosen], supply: Supply) -> list[_Bin] | None:
    """First fit by size; None if something is left over."""
    bins = [_Bin(domain, room=domain.size) for domain in supply.domain_class.domains]
    for number, pool, count in _counts(pools, supply):
        size, most = pool.column.footprint.size, _most_in_one(pool)
        for _ in range(count):
            chosen = next((b for b in bins if b.room >= size and b.held.get(number, 0) < most), None)
            if chosen is None:
                return None
            chosen.held[number] = chosen.held.get(number, 0) + 1
            chosen.room -= size
    return bins


def _most_in_one(pool: Chosen) -> int:
    """Fragments of a pool that one domain may hold.

    One of each replica, where replicas spread over several domains; no more than the column allows where domains may
    fail.
    """
    most = pool.replicas if pool.column.footprint.fragments > 1 else 1_000_000
    return min(most, pool.column.touched or most)


def _search(
    pools: Sequence[Chosen], supply: Supply, effort: Effort, decided: Sequence[dict[int, int]] | None = None
) -> list[_Bin] | None:
    """An exact packing: fragments of each pool in each domain, every domain within its size.

    Parameters
    ----------
    decided: what each domain in use holds, by size of fragment.
    """
    counts = _counts(pools, supply)
    domains = supply.domain_class.domains
    names: list[str] = []
    bounds, rows = [], []
    for number, pool, count in counts:
        first = len(names)
        most = min(_most_in_one(pool), supply.size // pool.column.footprint.size)
        names += [f"held.{number}.{d}" for d in range(len(domains))]
        bounds += [(0, most)] * len(domains)
        rows.append(IntegerRow("placed", tuple((first + d, 1) for d in range(len(domains))), count, count))
    for d in range(len(domains)):
        here = [(i * len(domains) + d, pool.column.footprint.size) for i, (_, pool, _) in enumerate(counts)]
        rows.append(IntegerRow("room", tuple(here), None, supply.size))
        if decided is not None:
            content = decided[d] if d < len(decided) else {}
            for size in sorted({size for _, size in here}):
                held = content.get(size, 0)
                rows.append(IntegerRow("content", tuple((i, 1) for i, s in here if s == size), held, held))
    answer = run(IntegerProgram(tuple(names), tuple(bounds), tuple(rows), (), 1.0, False), effort)
    if not answer.values:
        return None
    bins = []
    for d, domain in enumerate(domains):
        held_here = {number: answer.values[i * len(domains) + d] for i, (number, _, _) in enumerate(counts)}
        bins.append(_Bin(domain, {number: count for number, count in held_here.items() if count}))
    return bins


def _ranks(pools: Sequence[Chosen], bins: Sequence[_Bin]) -> tuple[tuple[tuple[str, ...], ...], ...]:
    """Cut every domain's devices into fragments, and join fragments into replicas."""
    fragments: list[list[tuple[str, ...]]] = [[] for _ in pools]
    for current in bins:
        taken = 0
        order = sorted(current.held, key=lambda n: (-pools[n].column.footprint.size, n))
        for number in order:
            size = pools[number].column.footprint.size
            for _ in range(current.held[number]):
                fragments[number].append(current.domain.devices[taken : taken + size])
                taken += size
    return tuple(_replicas(pool, parts, bins) for pool, parts in zip(pools, fragments, strict=True))


def _replicas(pool: Chosen, parts: list[tuple[str, ...]], bins: Sequence[_Bin]) -> tuple[tuple[str, ...], ...]:
    """Join fragments so that no replica has two in one domain.

    Fragments come domain by domain and no domain holds more than there are replicas, so dealing them out in turn never
    gives a replica two of one domain; where each domain holds equally many, neighbours stay together.
    """
    count = pool.column.footprint.fragments
    if count == 1:
        return tuple(parts)
    home = {device: index for index, b in enumerate(bins) for device in b.domain.devices}
    together = [tuple(parts[start : start + count]) for start in range(0, len(parts), count)]
    if all(len({home[part[0]] for part in group}) == count for group in together):
        return tuple(tuple(device for part in group for device in part) for group in together)
    dealt: list[list[str]] = [[] for _ in range(pool.replicas)]
    for index, part in enumerate(parts):
        dealt[index % pool.replicas].extend(part)
    return tuple(tuple(devices) for devices in dealt)
