"""Layouts that survive failures against exhaustive search, and the rows that say so against every placement."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import pytest
from alone import tiny_column, tiny_market
from brute import _rent, services
from instances import random_market
from judging import judge, rent

from solver.optimize.arithmetic.integers import IntegerRow, integerise
from solver.optimize.arithmetic.run import Effort, run
from solver.optimize.layout.failing import beside_each_other, exposing, failures
from solver.optimize.layout.mapping.survive import survives
from solver.optimize.layout.program import LEVELS, Market, UnitLoss
from solver.optimize.layout.realise import realise
from solver.optimize.layout.search import NoLayout
from solver.optimize.layout.write import write
from solver.space.profiles import Column

EFFORT = Effort(time_limit_s=60, workers=1, seed=1)

#: Parts of replicas on named hosts: (column, domain, host) of each.
Placement = tuple[tuple[int, int, int], ...]


def all_placements(market: Market, columns: Sequence[Column], chosen: Sequence[tuple[int, int]]) -> Iterator[Placement]:
    """Every way to lay replicas on named hosts, without doubles."""
    domains = [supply for supply in market.supplies for _ in range(supply.count)]
    fragments = [(n, k) for n, k in chosen]

    def lay(number: int, free: dict[tuple[int, int], int], laid: Placement) -> Iterator[Placement]:
        if number == len(fragments):
            yield laid
            return
        column, replicas = fragments[number]
        footprint = columns[column].footprint
        ways = []
        for some in itertools.combinations(range(len(domains)), footprint.domains):
            if any(domains[d].device != footprint.device for d in some):
                continue
            hosts = [itertools.combinations(range(len(domains[d].host_sizes)), footprint.hosts) for d in some]
            ways += [[(d, h) for d, taken in zip(some, each, strict=True) for h in taken] for each in itertools.product(*hosts)]
        for each in itertools.combinations_with_replacement(range(len(ways)), replicas):
            taken = Counter(place for way in each for place in ways[way])
            if all(free[place] >= count * footprint.per_host for place, count in taken.items()):
                left = {place: room - taken[place] * footprint.per_host for place, room in free.items()}
                parts = tuple((column, d, h) for way in each for d, h in ways[way])
                yield from lay(number + 1, left, laid + parts)

    free = {(d, h): size for d, supply in enumerate(domains) for h, size in enumerate(supply.host_sizes)}
    return lay(0, free, ())


def left(
    market: Market, columns: Sequence[Column], chosen: Sequence[tuple[int, int]], laid: Placement, failure: UnitLoss
) -> float:
    """The multiple of the demand that is served after the worst losses."""
    multiples = []
    for group, need in enumerate(market.needs):
        for role in ("prefill", "decode", "unified"):
            mine = {n: k for n, k in chosen if columns[n].group == group and columns[n].role == role}
            if not mine:
                continue
            lost: dict[tuple[int, ...], float] = defaultdict(float)
            if failure.unit == "host":
                for n, d, h in laid:
                    lost[d, h] += columns[n].rate * (n in mine)
            else:
                for n, d, _ in laid:
                    lost[d,] += columns[n].rate * (n in mine) / columns[n].footprint.hosts
            capacity = sum(columns[n].rate * k for n, k in mine.items())
            worst = sum(sorted(lost.values(), reverse=True)[: failure.failures])
            multiples.append((capacity - worst) / need.requests_per_s)
    return min(multiples)


def cost(market: Market, columns: Sequence[Column], laid: Placement) -> float:
    """Rent of a placement."""
    domains = [supply for supply in market.supplies for _ in range(supply.count)]
    total = 0.0
    for d, supply in enumerate(domains):
        here = [(n, h) for n, at, h in laid if at == d]
        devices = sum(columns[n].footprint.per_host for n, _ in here)
        total += _rent(market, supply, devices, len({h for _, h in here}))
    return total


def exhaustive(market: Market, columns: Sequence[Column]) -> float | None:
    """Least rent, or largest multiple, by trying every placement of every choice; None where nothing survives."""
    (failure,) = market.failures
    best: float | None = None
    for combination in itertools.product(*(services(market, columns, g) for g in range(len(market.needs)))):
        chosen = [pair for choice, _ in combination for pair in choice]
        used = sum(columns[n].footprint.devices * k for n, k in chosen)
        if market.max_devices is not None and used > market.max_devices:
            continue
        if used > sum(supply.count * supply.size for supply in market.supplies):
            continue
        for laid in all_placements(market, columns, chosen):
            multiple = left(market, columns, chosen, laid, failure)
            if market.objective == "throughput":
                best = multiple if multiple > 0 and (best is None or multiple > best) else best
            elif multiple >= 1 - 1e-9:
                value = cost(market, columns, laid)
                best = value if best is None else min(best, value)
    return best


def survivor(seed: int) -> tuple[Market, list[Column]] | None:
    """A random market in which domains or hosts fail; None where it is too large to try everything."""
    market, columns = random_market(seed)
    lost = 1 + (seed % 5 == 0)
    found = tuple(failures(market.supplies, lost * (seed % 2), lost * (1 - seed % 2)))
    columns = [c for c in columns if c.low <= 5]
    few = sum(s.count * s.size for s in market.supplies) <= 9 and len(market.needs) == 1
    return (dataclasses.replace(market, failures=found), columns) if few else None


@pytest.mark.parametrize("block", range(8))
def test_layouts_that_survive_are_those_of_exhaustive_search(block: int) -> None:
    tried = 0
    for seed in range(block * 30, block * 30 + 30):
        drawn = survivor(seed)
        if drawn is None:
            continue
        market, columns = drawn
        expected = exhaustive(market, columns)
        found = realise(market, columns, judge(market), EFFORT)
        if isinstance(found, NoLayout):
            assert expected is None or not found.proven, (seed, expected)
            assert expected is None, (seed, expected, "a layout that survives was missed")
            continue
        tried += 1
        layout, mapping = found
        assert expected is not None, seed
        assert survives(layout, market, mapping.devices), seed
        if market.objective == "cost":
            assert rent(market, mapping) == pytest.approx(expected, rel=1e-6), seed
            assert layout.bound <= expected * (1 + 1e-6), seed
        else:
            assert layout.value == pytest.approx(expected, rel=3 / LEVELS, abs=1e-3), seed
            assert layout.bound >= expected * (1 - 1e-6), seed
    assert tried


@pytest.mark.parametrize(("unit", "lost"), [("domain", 1), ("domain", 2), ("host", 1), ("host", 2)])
@pytest.mark.parametrize("known", ["nothing", "each role", "all roles"])
def test_the_rule_allows_what_survives_and_where_losses_are_exact_nothing_else(unit: str, lost: int, known: str) -> None:
    """Two racks of two hosts of four devices, prefill replicas of one or two devices and decode ones of three or two hosts."""
    market = tiny_market(2, trays=2, requests_per_s=1.05, modes=(False, True))
    fails = failures(market.supplies, lost if unit == "domain" else 0, lost if unit == "host" else 0)
    market = dataclasses.replace(market, failures=tuple(fails))
    columns = [
        tiny_column(market, "prefill", size=1, high=4, rate=1.0),
        tiny_column(market, "prefill", size=2, high=2, rate=1.6),
        tiny_column(market, "decode", size=3, high=3, rate=1.1),
        tiny_column(market, "decode", size=2, hosts=2, high=2, rate=2.1),
    ]
    if known != "nothing":
        market = exposing(market, columns)
    if known == "all roles":
        market = beside_each_other(market, columns)
        assert market.beside
    (failure,) = market.failures
    program = write(market, columns)
    integers = integerise(program.linear)
    allowed, possible = set(), set()
    for counts in itertools.product(range(5), range(3), range(4), range(3)):
        chosen = [(n, k) for n, k in enumerate(counts) if k]
        if not (counts[0] or counts[1]) or not (counts[2] or counts[3]):
            continue
        settled = zip(program.choices, counts, strict=True)
        rows = tuple(IntegerRow("settled", ((choice.replicas.index, 1),), k, k) for choice, k in settled)
        answer = run(dataclasses.replace(integers, rows=(*integers.rows, *rows)), EFFORT)
        if answer.values:
            allowed.add(counts)
        if any(left(market, columns, chosen, laid, failure) >= 1 for laid in all_placements(market, columns, chosen)):
            possible.add(counts)
    assert possible <= allowed
    if known == "all roles":
        # What remains is which hosts form a rack, and which devices of a rack a host.
        assert len(allowed - possible) <= 8
