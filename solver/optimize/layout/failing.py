"""What units that may fail can hold of the replicas of some kinds, and for which kinds that is worth writing down."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

from solver.optimize.layout.hosts import joint
from solver.optimize.layout.program import Market, ReplicaKind, Rooms, Supply, UnitLoss, Units
from solver.replica import Role
from solver.space.profiles import Column
from solver.space.shapes import Fragment

#: Contents of units that are enumerated for a role, and for all roles beside each other.
MOST_CONTENTS, MOST_BESIDE = 150, 1000


def failures(supplies: Sequence[Supply], lost_domains: int, lost_hosts: int) -> Iterator[UnitLoss]:
    """What may fail, where so many domains or hosts are to be survived; one of both where a host is a domain."""
    on_host: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    domains: Counter[Rooms] = Counter()
    for supply in supplies:
        domains[(supply.device, supply.host_sizes),] += supply.count
        for domain in supply.domain_class.domains:
            for host, devices in zip(domain.host_names, domain.hosts, strict=True):
                on_host[host][supply.device].append(len(devices))
    hosts: Counter[Rooms] = Counter(
        tuple((device, tuple(sorted(sizes, reverse=True))) for device, sizes in sorted(held.items()))
        for held in on_host.values()
    )
    if hosts == domains:
        lost_domains, lost_hosts = max(lost_domains, lost_hosts), 0
    if lost_domains:
        yield UnitLoss("domain", lost_domains, _counted(domains))
    if lost_hosts:
        yield UnitLoss("host", lost_hosts, _counted(hosts))


def _counted(kinds: Counter[Rooms]) -> tuple[Units, ...]:
    return tuple(Units(count, rooms) for rooms, count in sorted(kinds.items()))


@lru_cache(maxsize=1000)
def holdings(
    failure: UnitLoss, units: Units, kinds: tuple[ReplicaKind, ...], max_pools: int
) -> tuple[tuple[int, ...], ...]:
    """Parts of replicas of each kind that one unit may hold together: every combination that fits and has no more kinds of a
    role than there may be pools, but the empty one."""
    return tuple(_holdings(failure, units, kinds, max_pools))


def _holdings(
    failure: UnitLoss, units: Units, kinds: Sequence[ReplicaKind], max_pools: int
) -> Iterator[tuple[int, ...]]:
    rooms = dict(units.rooms)
    parts = [failure.part(kind.footprint) for kind in kinds]

    def more(first: int, chosen: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        """Places of kinds, those that were chosen and more beside them, of which one part each may fit."""
        if chosen:
            yield chosen
        for place in range(first, len(kinds)):
            kind = kinds[place]
            beside = [p for p in chosen if kinds[p].footprint.device == kind.footprint.device]
            pools = sum(kinds[p][:2] == kind[:2] for p in chosen)
            size = parts[place].size + sum(parts[p].size for p in beside)
            if pools < max_pools and size <= sum(rooms.get(kind.footprint.device, ())):
                yield from more(place + 1, (*chosen, place))

    for places in more(0, ()):
        devices = dict.fromkeys(kinds[place].footprint.device for place in places)
        on = [[p for p in places if kinds[p].footprint.device == device] for device in devices]
        ways = [_counts(rooms[device], tuple(parts[p] for p in held)) for device, held in zip(devices, on, strict=True)]
        for counts in itertools.product(*ways):
            content = [0] * len(kinds)
            for place, count in zip(itertools.chain(*on), itertools.chain(*counts), strict=True):
                content[place] = count
            yield tuple(content)


@lru_cache(maxsize=10_000)
def _counts(rooms: tuple[int, ...], parts: tuple[Fragment, ...]) -> tuple[tuple[int, ...], ...]:
    """How many of each part, at least one, lie together."""
    return tuple(counts for counts in joint(rooms, parts) if all(counts))


def exposing(market: Market, columns: Sequence[Column]) -> Market:
    """The market in which losses are exact for these columns' kinds of replicas, the first ones first, as far as it stays few.

    What units hold of each role is enumerated by itself: what other roles leave of them is left to the placement, and where
    that finds none to :func:`beside_each_other`.
    """
    return _exposing(market, map(ReplicaKind.of, columns))


def _exposing(market: Market, kinds: Iterable[ReplicaKind]) -> Market:
    by_role: dict[tuple[int, Role], list[ReplicaKind]] = defaultdict(list)
    for kind in dict.fromkeys(kinds):
        by_role[kind.group, kind.role].append(kind)
    exposed = []
    for of_role in by_role.values():
        few = len(of_role)
        while few > 1 and not _few(market, of_role[:few]):
            few = few * 3 // 4
        exposed.append(tuple(of_role[:few]))
    return replace(market, exposed=tuple(exposed))


def with_exposed(market: Market, columns: Sequence[Column]) -> Market:
    """The market in which losses are exact for these columns' kinds, and for those that were before as far as it stays few."""
    before = [kind for kinds in market.exposed for kind in kinds]
    return _exposing(market, [*map(ReplicaKind.of, columns), *before])


def beside_each_other(market: Market, columns: Sequence[Column]) -> Market:
    """The market in which units are also known to hold replicas of all roles beside each other: of these columns' kinds, and of
    the likeliest others as far as it stays few; unchanged where these alone are too many."""
    wanted = list(dict.fromkeys(map(ReplicaKind.of, columns)))
    if any(set(wanted) <= set(kinds) for kinds in market.beside):
        return market
    likely = [kind for rank in itertools.zip_longest(*market.exposed) for kind in rank if kind and kind not in wanted]
    few = len(likely)
    while few and not _few(market, [*wanted, *likely[:few]], MOST_BESIDE):
        few //= 2
    kinds = (*wanted, *likely[:few])
    return replace(market, beside=(*market.beside, kinds)) if few or _few(market, kinds, MOST_BESIDE) else market


def is_exposed(market: Market, column: Column) -> bool:
    """Whether what units hold of a column's replicas is enumerated."""
    kind = ReplicaKind.of(column)
    return any(kind in together for together in market.exposed)


def exposed_of(market: Market, columns: Sequence[Column]) -> list[Column]:
    """Columns whose losses are exact; all where nothing fails."""
    return [column for column in columns if not market.failures or is_exposed(market, column)]


def _few(market: Market, kinds: Sequence[ReplicaKind], most: int = MOST_CONTENTS) -> bool:
    every = (
        content
        for failure in market.failures
        for units in failure.units
        for content in _holdings(failure, units, kinds, market.max_pools)
    )
    return sum(1 for _ in itertools.islice(every, most + 1)) <= most
