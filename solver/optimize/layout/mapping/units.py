"""Which set of leaves each replica hangs on: whole replicas per unit, every unit with its share of each pool.

Traffic between units crosses the spines. A replica inside one unit keeps its own traffic below them; KV caches go from
every prefill replica to every decode replica, so the busiest uplink is least where each unit holds its share of both.
Units are counted, not the domains in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from solver.optimize.arithmetic.integers import IntegerProgram, IntegerRow
from solver.optimize.arithmetic.run import Effort, run
from solver.optimize.layout.mapping.bins import Bin, fill, most_in_one
from solver.optimize.layout.search import Chosen
from topologies import Domain

#: Steps in which shares of a pool are compared.
STEPS = 10_000
#: Seconds that the search may take: its answer is one of several placements that are compared.
TIME_LIMIT_S = 5.0


def by_unit(
    pools: Sequence[Chosen], counts: Sequence[int], domains: Sequence[Domain], effort: Effort
) -> list[Bin] | None:
    """Every unit filled with its share; None where there is one unit only, or replicas do not fit whole into units."""
    units: dict[tuple[str, ...], list[Domain]] = {}
    for domain in domains:
        units.setdefault(domain.leaves, []).append(domain)
    here = [number for number, count in enumerate(counts) if count]
    if len(units) < 2 or any(counts[n] % pools[n].column.footprint.domains for n in here):
        return None
    members = list(units.values())
    shares = _shares([pools[n] for n in here], [counts[n] for n in here], members, effort)
    if shares is None:
        return None
    found: list[Bin] = []
    for unit, share in zip(members, shares, strict=True):
        wanted = [0] * len(pools)
        for number, replicas in zip(here, share, strict=True):
            wanted[number] = replicas * pools[number].column.footprint.domains
        filled = fill(pools, wanted, unit)
        if filled is None:
            return None
        found += filled
    return found


def _shares(
    pools: Sequence[Chosen], counts: Sequence[int], units: Sequence[Sequence[Domain]], effort: Effort
) -> list[list[int]] | None:
    """Replicas of each pool in each unit: of the units needed, the fullest with any pool as empty as can be."""
    replicas = [count // pool.column.footprint.domains for pool, count in zip(pools, counts, strict=True)]
    devices = sum(count * pool.column.footprint.size for pool, count in zip(pools, counts, strict=True))
    needed, room = 0, 0
    while room < devices:
        room += sum(domain.size for domain in units[needed])
        needed += 1
    open_ = units[:needed]
    width = len(pools)
    names = [f"replicas.{p}.{u}" for u in range(needed) for p in range(width)] + ["fullest"]
    fullest = len(names) - 1
    bounds = [(0, _most(pool, unit, replicas[p])) for unit in open_ for p, pool in enumerate(pools)] + [(0, STEPS)]
    rows = [
        IntegerRow("placed", tuple((u * width + p, 1) for u in range(needed)), replicas[p], replicas[p])
        for p in range(width)
    ]
    for u, unit in enumerate(open_):
        sized = tuple((u * width + p, pool.column.footprint.devices) for p, pool in enumerate(pools))
        rows.append(IntegerRow("room", sized, None, sum(domain.size for domain in unit)))
        for p in range(width):
            step = STEPS // replicas[p]
            rows.append(IntegerRow("fullest", ((fullest, 1), (u * width + p, -step)), 0, None))
    program = IntegerProgram(tuple(names), tuple(bounds), tuple(rows), ((fullest, 1),), 1.0, False)
    answer = run(program, replace(effort, time_limit_s=min(TIME_LIMIT_S, effort.time_limit_s), gap=0.02))
    if not answer.values:
        return None
    return [list(answer.values[u * width : (u + 1) * width]) for u in range(needed)] + [[0] * width] * (
        len(units) - needed
    )


def _most(pool: Chosen, unit: Sequence[Domain], replicas: int) -> int:
    """Replicas of a pool that fit whole into a unit when nothing else runs."""
    footprint = pool.column.footprint
    able = [min(domain.size // footprint.size, most_in_one(pool)) for domain in unit if domain.size >= footprint.size]
    return min(replicas, sum(able) // footprint.domains) if len(able) >= footprint.domains else 0
