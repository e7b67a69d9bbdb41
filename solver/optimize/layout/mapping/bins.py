"""Fragments of pools into scale-up domains: first fit, spread evenly, or exactly by CP-SAT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from solver.optimize.arithmetic.integers import IntegerProgram, IntegerRow
from solver.optimize.arithmetic.run import Effort, run
from solver.optimize.layout.program import Supply
from solver.optimize.layout.search import Chosen
from topologies import Domain


@dataclass
class Bin:
    """A domain being filled: how many fragments of each pool it holds, and devices that are left."""

    domain: Domain
    room: int
    held: dict[int, int] = field(default_factory=dict)

    def takes(self, number: int, pool: Chosen) -> bool:
        """Whether one more fragment of a pool fits."""
        return self.room >= pool.column.footprint.size and self.held.get(number, 0) < most_in_one(pool)

    def add(self, number: int, pool: Chosen) -> None:
        """Put one more fragment of a pool into the domain."""
        self.held[number] = self.held.get(number, 0) + 1
        self.room -= pool.column.footprint.size


def most_in_one(pool: Chosen) -> int:
    """Fragments of a pool that one domain may hold.

    One of each replica, where replicas spread over several domains; no more than the column allows where domains may
    fail.
    """
    most = pool.replicas if pool.column.footprint.domains > 1 else 1_000_000
    return min(most, pool.column.touched or most)


def near_each_other(domains: Sequence[Domain]) -> list[Domain]:
    """Domains in an order in which those on the same leaves follow each other."""
    first: dict[tuple[str, ...], int] = {}
    for position, domain in enumerate(domains):
        first.setdefault(domain.leaves, position)
    return sorted(domains, key=lambda domain: first[domain.leaves])


def fill(pools: Sequence[Chosen], counts: Sequence[int], domains: Sequence[Domain]) -> list[Bin] | None:
    """First fit, largest fragments first, so that few domains are opened; None if something is left over.

    Parameters
    ----------
    counts: fragments of each pool.
    """
    bins = [Bin(domain, domain.size) for domain in domains]
    for number in _largest_first(pools):
        first = 0
        for _ in range(counts[number]):
            chosen = next((i for i in range(first, len(bins)) if bins[i].takes(number, pools[number])), None)
            if chosen is None:
                return None
            bins[chosen].add(number, pools[number])
            first = chosen
    return bins


def spread(pools: Sequence[Chosen], counts: Sequence[int], domains: Sequence[Domain]) -> list[Bin] | None:
    """Every pool evenly over the domains: a failure takes little of each, and prefill lies beside decode.

    Round by round every domain takes one more, tightest first; None if something is left over.
    """
    bins = [Bin(domain, domain.size) for domain in domains]
    for number in _largest_first(pools):
        left = counts[number]
        while left:
            able = sorted((b for b in bins if b.takes(number, pools[number])), key=lambda b: b.room)[:left]
            if not able:
                return None
            for chosen in able:
                chosen.add(number, pools[number])
            left -= len(able)
    return bins


def _largest_first(pools: Sequence[Chosen]) -> list[int]:
    return sorted(range(len(pools)), key=lambda n: (-pools[n].column.footprint.size, n))


def exact(
    pools: Sequence[Chosen],
    counts: Sequence[int],
    supply: Supply,
    domains: Sequence[Domain],
    effort: Effort,
    decided: Sequence[dict[int, int]] | None = None,
) -> list[Bin] | None:
    """An exact packing: fragments of each pool in each domain, every domain within its size; None where there is none.

    Parameters
    ----------
    decided: what each domain in use holds, by size of fragment.
    """
    here = [number for number in _largest_first(pools) if counts[number]]
    names: list[str] = []
    bounds, rows = [], []
    for number in here:
        first = len(names)
        most = min(most_in_one(pools[number]), supply.size // pools[number].column.footprint.size)
        names += [f"held.{number}.{d}" for d in range(len(domains))]
        bounds += [(0, most)] * len(domains)
        terms = tuple((first + d, 1) for d in range(len(domains)))
        rows.append(IntegerRow("placed", terms, counts[number], counts[number]))
    for d in range(len(domains)):
        sized = [(i * len(domains) + d, pools[number].column.footprint.size) for i, number in enumerate(here)]
        rows.append(IntegerRow("room", tuple(sized), None, supply.size))
        if decided is not None:
            content = decided[d] if d < len(decided) else {}
            for size in sorted({size for _, size in sized}):
                held = content.get(size, 0)
                rows.append(IntegerRow("content", tuple((i, 1) for i, s in sized if s == size), held, held))
    answer = run(IntegerProgram(tuple(names), tuple(bounds), tuple(rows), (), 1.0, False), effort)
    if not answer.values:
        return None
    bins = []
    for d, domain in enumerate(domains):
        held_here = {number: answer.values[i * len(domains) + d] for i, number in enumerate(here)}
        used = sum(count * pools[number].column.footprint.size for number, count in held_here.items())
        bins.append(Bin(domain, domain.size - used, {number: count for number, count in held_here.items() if count}))
    return bins
