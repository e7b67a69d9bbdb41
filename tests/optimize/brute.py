"""Exhaustive search over tiny layouts, written without looking at the program: every choice, every packing."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from solver.optimize.layout.program import Market, Supply
from solver.space.profiles import Column
from solver.space.shapes import Fragment

Choice = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Best:
    """Least rent, or largest multiple; None where nothing is feasible."""

    value: float | None


def brute_force(market: Market, columns: Sequence[Column]) -> Best:
    """The optimum by trying everything."""
    best: float | None = None
    per_group = [list(services(market, columns, group)) for group in range(len(market.needs))]
    for combination in itertools.product(*per_group):
        chosen = tuple(pair for choice, _ in combination for pair in choice)
        multiple = min(m for _, m in combination)
        if market.objective == "cost":
            rent = least_rent(market, columns, chosen)
            if rent is not None and (best is None or rent < best):
                best = rent
        elif (best is None or multiple > best) and least_rent(market, columns, chosen) is not None:
            best = multiple
    return Best(best)


def services(market: Market, columns: Sequence[Column], group: int) -> Iterator[tuple[Choice, float]]:
    """Ways to serve one promise: (column, replicas) pairs, and the multiple of the demand that they serve."""
    need = market.needs[group]
    modes = ([("unified",)] if need.unified else []) + ([("prefill", "decode")] if need.disaggregated else [])
    for roles in modes:
        options = [list(_pools(market, columns, group, role)) for role in roles]
        for combination in itertools.product(*options):
            served = min(capacity for _, capacity in combination)
            if market.objective == "cost" and served < need.requests_per_s:
                continue
            yield tuple(pair for choice, _ in combination for pair in choice), served / need.requests_per_s


def _pools(market: Market, columns: Sequence[Column], group: int, role: str) -> Iterator[tuple[Choice, float]]:
    """Up to max_pools pools of distinct footprints in one role, and what they serve together."""
    mine = [n for n, c in enumerate(columns) if c.group == group and c.role == role]
    for count in range(1, market.max_pools + 1):
        for members in itertools.combinations(mine, count):
            if len({columns[n].footprint for n in members}) < count:
                continue
            for replicas in itertools.product(*(range(columns[n].low, columns[n].high + 1) for n in members)):
                choice = tuple(zip(members, replicas, strict=True))
                yield choice, sum(columns[n].rate * k for n, k in choice)


def least_rent(market: Market, columns: Sequence[Column], chosen: Choice) -> float | None:
    """Cheapest packing of the chosen replicas into named domains; None if there is none."""
    total = 0.0
    used = sum(columns[n].footprint.devices * k for n, k in chosen)
    if market.max_devices is not None and used > market.max_devices:
        return None
    for device in sorted({supply.device for supply in market.supplies}):
        supplies = [supply for supply in market.supplies if supply.device == device]
        mine = [(n, k) for n, k in chosen if columns[n].footprint.device == device]
        rent = _pack(market, columns, supplies, mine)
        if rent is None:
            return None
        total += rent
    return total


def _pack(
    market: Market, columns: Sequence[Column], supplies: Sequence[Supply], chosen: Sequence[tuple[int, int]]
) -> float | None:
    """Depth-first over domains: which fragments each one holds."""
    domains = [supply for supply in supplies for _ in range(supply.count)]
    wanted = [columns[n].footprint.domains * k for n, k in chosen]
    most = [k if columns[n].footprint.domains > 1 else 10**9 for n, k in chosen]
    fragments = [columns[n].footprint.fragment for n, _ in chosen]
    best: list[float | None] = [None]
    seen: set[tuple[int, tuple[int, ...], float]] = set()

    def visit(position: int, left: tuple[int, ...], rent: float) -> None:
        if best[0] is not None and rent >= best[0]:
            return
        if not any(left):
            best[0] = rent
            return
        if position == len(domains) or (position, left, rent) in seen:
            return
        seen.add((position, left, rent))
        supply = domains[position]
        ranges = [range(min(n, m, supply.size // f.size) + 1) for n, m, f in zip(left, most, fragments, strict=True)]
        for held in itertools.product(*ranges):
            parts = tuple(f for f, count in zip(fragments, held, strict=True) for _ in range(count))
            hosts = fewest_hosts(tuple(host.devices for host in supply.domain_class.profile.hosts), parts)
            if hosts is not None:
                visit(
                    position + 1,
                    tuple(n - h for n, h in zip(left, held, strict=True)),
                    rent + _rent(market, supply, sum(f.size for f in parts), hosts),
                )

    visit(0, tuple(wanted), 0.0)
    return best[0]


@functools.cache
def fewest_hosts(free: tuple[int, ...], fragments: tuple[Fragment, ...]) -> int | None:
    """Hosts in use when every fragment takes equal parts of distinct hosts of one domain; None where none fits."""

    def visit(left: tuple[int, ...], number: int) -> Iterator[int]:
        if number == len(fragments):
            yield sum(now < before for now, before in zip(left, free, strict=True))
            return
        hosts, per_host = fragments[number]
        able = [n for n, devices in enumerate(left) if devices >= per_host]
        for taken in itertools.combinations(able, hosts):
            yield from visit(tuple(d - per_host * (n in taken) for n, d in enumerate(left)), number + 1)

    return min(visit(free, 0), default=None)


def _rent(market: Market, supply: Supply, devices: int, hosts: int) -> float:
    """Rent of one domain that holds so many devices in use, on so many hosts."""
    if market.owned or not devices:
        return 0.0
    if market.billing == "device":
        return devices * supply.usd_per_device_hour
    rented = [host.rented for host in supply.domain_class.profile.hosts]
    return (sum(rented) if market.billing == "domain" else hosts * max(rented)) * supply.usd_per_device_hour
