"""The layout that is taken is the one with the best ordered list among all that cost little more than the least."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from brute import Choice, least_rent, services
from instances import column, most_replicas
from judging import judge, rent

import topologies
from solver.optimize.arithmetic.run import Effort
from solver.optimize.layout.mapping import Mapping
from solver.optimize.layout.program import Market, Need, Supply
from solver.optimize.layout.realise import realise, realised
from solver.optimize.layout.search import Layout, NoLayout
from solver.optimize.layout.simple import simplest
from solver.replica import Parallelism
from solver.space.profiles import Column
from solver.space.shapes import Footprint

EFFORT = Effort(time_limit_s=120, workers=1)


def waits(columns: Sequence[Column]) -> np.ndarray:
    return np.array([c.wait for c in columns])


def varied(seed: int) -> tuple[Market, list[Column]]:
    """A tiny market with many shapes of replicas, of one, two or more pipeline stages, in one domain or across two."""
    rng = random.Random(seed)
    nodes, size = rng.choice([(2, 6), (3, 4), (2, 8)])
    trays = topologies.nvl72(racks=2, trays_per_rack=2)
    cluster = rng.choice([trays, topologies.hgx(nodes=nodes, device="h200", devices_per_host=size)])
    supplies = tuple(Supply(n, c, 2.0) for n, c in enumerate(topologies.domain_classes(cluster)))
    apart = rng.random() < 0.5
    need = Need(rng.uniform(2, 6), unified=not apart, disaggregated=apart)
    market = Market(
        supplies,
        (need,),
        "cost",
        rng.choice(["device", "device", "host"]),  # type: ignore[arg-type]
        max_pools=1 if apart else 2,
        simplicity=rng.choice([0.05, 0.3, 1.0]),
    )
    device, most, full = supplies[0].device, supplies[0].size, supplies[0].rented_host
    found = []
    for role in ("prefill", "decode") if apart else ("unified",):
        for _ in range(5):
            part = rng.randint(1, full)
            footprint = Footprint(device, rng.choice([1, 1, 2]), rng.randint(1, most // full), part)
            total = footprint.devices
            pp = rng.choice([1, 1, *(n for n in range(1, total + 1) if total % n == 0 and n % footprint.domains == 0)])
            each = total * rng.uniform(0.4, 1.0)
            for replicas in range(1, min(most_replicas(supplies, footprint), 3) + 1):
                made = column(0, role, footprint, replicas, each, each)  # type: ignore[arg-type]
                setup = replace(made.candidate.setup, parallelism=Parallelism(tp=total // pp, pp=pp))
                candidate = replace(made.candidate, setup=setup)
                found.append(replace(made, candidate=candidate, wait=rng.uniform(0.1, 1.0)))
    return market, found


def by_hand(market: Market, columns: Sequence[Column]) -> tuple[int, ...]:
    """The ordered list of a layout, restated."""
    pools = {(c.group, c.role, c.footprint): c for c in columns}
    untried = {("pipelined", c.role) for c in columns if c.candidate.setup.parallelism.pp > 1}
    untried |= {("tensor", "across") for c in columns if c.candidate.setup.parallelism.tp > c.footprint.size}
    host = {s.device: s.rented_host for s in market.supplies}

    def even(footprint: Footprint) -> bool:
        part, whole = footprint.per_host, host[footprint.device]
        return part == whole or (footprint.hosts == 1 and whole % part == 0)

    return (
        len(untried),
        len({(c.role, c.footprint.device, c.candidate.setup.parallelism) for c in columns}),
        sum(c.candidate.setup.parallelism.pp > c.footprint.domains for c in pools.values()),
        sum(not even(footprint) for _, _, footprint in pools),
        len({c.footprint.devices for c in columns}),
        sum(c.footprint.devices not in (1, 2, 4, 8, 16) for c in pools.values()),
    )


def every_layout(market: Market, columns: Sequence[Column]) -> Iterator[tuple[float, Choice]]:
    """All layouts that serve the demand, with their rents."""
    for combination in itertools.product(*(services(market, columns, group) for group in range(len(market.needs)))):
        chosen = tuple(pair for choice, _ in combination for pair in choice)
        cost = least_rent(market, columns, chosen)
        if cost is not None:
            yield cost, chosen


def simplified(market: Market, columns: Sequence[Column], known: Layout, limit: float) -> tuple[Layout, Mapping]:
    """The simplest layout within a limit, on devices."""

    def solve(wider: Market, some: Sequence[Column], effort: Effort, _: object) -> Layout:
        layout = simplest(wider, some, known, limit, waits, effort)
        assert layout is not None
        return layout

    simple = realised(market, columns, judge(market), EFFORT, solve)
    assert not isinstance(simple, NoLayout)
    return simple


@pytest.mark.parametrize("block", range(4))
def test_no_layout_within_the_tolerance_is_simpler(block: int) -> None:
    for seed in range(block * 15, block * 15 + 15):
        market, columns = varied(seed)
        found = realise(market, columns, judge(market), EFFORT)
        if isinstance(found, NoLayout):
            continue
        limit = market.allowed(rent(market, found[1]))
        simple = simplified(market, columns, found[0], limit)
        taken = [pool.column for pool in simple[0].pools]
        every = every_layout(market, columns)
        able = [(cost, [columns[n] for n, _ in chosen]) for cost, chosen in every if cost <= limit * (1 + 1e-9)]
        best = min(by_hand(market, some) for _, some in able)
        assert by_hand(market, taken) == best, seed
        cheapest = min(cost for cost, some in able if by_hand(market, some) == best)
        assert rent(market, simple[1]) == pytest.approx(cheapest, rel=1e-6), seed
        first = min(
            sum(c.wait for c in some if c.role != "decode")
            for cost, some in able
            if by_hand(market, some) == best and cost <= cheapest * (1 + 1e-9)
        )
        assert sum(c.wait for c in taken if c.role != "decode") <= first + len(taken) / 2000, seed


def test_devices_that_are_paid_anyway_are_used_and_those_of_an_owned_cluster_are_not() -> None:
    """One to four replicas serve the demand; each further one makes the first token earlier."""
    supplies = tuple(Supply(n, c, 2.0) for n, c in enumerate(topologies.domain_classes(topologies.hgx(nodes=1))))
    single = Footprint(supplies[0].device, 1, 1, 1)
    columns = [replace(column(0, "unified", single, n, 1.0, 1.0), wait=1 / n) for n in range(1, 9)]
    for owned, billing, replicas in ((False, "host", 8), (False, "device", 3), (True, "host", 3)):
        market = Market(supplies, (Need(2.5, unified=True, disaggregated=False),), "cost", billing, owned=owned)  # type: ignore[arg-type]
        found = realise(market, columns, judge(market), EFFORT)
        assert not isinstance(found, NoLayout)
        layout = simplest(market, columns, found[0], found[0].value, waits, EFFORT)
        assert layout is not None
        assert [pool.replicas for pool in layout.pools] == [replicas]
