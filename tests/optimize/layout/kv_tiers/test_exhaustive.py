"""Tiny instances by trying everything: every way to keep, every split, every layout."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from brute import least_rent, services
from instances import random_market
from judging import judge

from solver.cost.network.tier_rooms import TierRoom
from solver.optimize.arithmetic.run import Effort
from solver.optimize.layout.kv_tiers import Keeping, Place, Split
from solver.optimize.layout.kv_tiers.places import BUDGET
from solver.optimize.layout.program import Market
from solver.optimize.layout.realise import realise
from solver.optimize.layout.search import NoLayout
from solver.space.profiles import Column
from solver.workload.kv_tiers import DRAM, FLASH


def with_keepings(seed: int) -> tuple[Market, list[Column]]:
    """A random market in which some columns serve more where KV is kept, in memory that may not suffice."""
    market, columns = random_market(seed, "cost")
    rng = random.Random(seed)
    kinds = tuple(supply.device for supply in market.supplies)
    sizes = [rng.uniform(2, 8) for _ in kinds]
    rooms = {name: tuple(TierRoom(scale * size, 10.0) for size in sizes) for name, scale in (("dram", 1.0), ("flash", 3.0))}
    places = (
        Place(DRAM, rooms["dram"], kinds, rng.choice([0.0, 0.01])),
        Place(FLASH, rooms["flash"], kinds, rng.choice([0.0, 0.001])),
    )
    keepings, kept = [], []
    for group, role in itertools.product(range(len(market.needs)), ("prefill", "unified")):
        for gain in (1.2, 1.6):
            ways = tuple(tuple(_split(rng, gain) for _ in range(rng.choice([1, 2]))) for _ in range(rng.choice([1, 2])))
            number = len(keepings)
            keepings.append(Keeping(group, role, (), (), (), False, 0, ways))  # type: ignore[arg-type]
            for column in columns:
                if (column.group, column.role) == (group, role):
                    slow = frozenset({(0, "flash")}) if rng.random() < 0.3 else frozenset()
                    kept.append(
                        replace(
                            column,
                            keeping=number,
                            rate=column.rate * gain,
                            best_rate=column.best_rate * gain,
                            slow=slow,
                        )
                    )
    return replace(market, keepings=tuple(keepings), places=places), [*columns, *kept]


def _split(rng: random.Random, gain: float) -> Split:
    size = gain * rng.uniform(1, 6)
    part = rng.choice([0.0, 0.5, 1.0])
    held = {"dram": size * part, "flash": size * (1 - part)}
    hits = {name: 1.0 if amount else 0.0 for name, amount in held.items()}
    return Split({}, held, hits, {name: amount * rng.uniform(0.2, 1.5) for name, amount in held.items()})  # type: ignore[arg-type]


def exhaustive(market: Market, columns: Sequence[Column]) -> float | None:
    best: float | None = None
    per_group = [list(_ways(market, columns, group)) for group in range(len(market.needs))]
    for combination in itertools.product(*per_group):
        rent = least_rent(market, columns, tuple(pair for chosen, _ in combination for pair in chosen))
        if rent is not None:
            total = rent + sum(usd for _, usd in combination)
            best = total if best is None else min(best, total)
    return best


def _ways(market: Market, columns: Sequence[Column], group: int) -> Iterator[tuple[tuple[tuple[int, int], ...], float]]:
    for chosen, _ in services(market, columns, group):
        ways = {columns[n].keeping for n, _ in chosen if columns[n].role != "decode"}
        if ways == {None}:
            yield chosen, 0.0
        elif len(ways) == 1 and sum(columns[n].role != "decode" for n, _ in chosen) == 1:
            (number,) = ways
            column, replicas = next((columns[n], k) for n, k in chosen if columns[n].role != "decode")
            for splits in itertools.product(*market.keepings[number or 0].splits):
                usd = _usd(market, column, replicas, splits)
                if usd is not None:
                    yield chosen, usd


def _usd(market: Market, column: Column, replicas: int, splits: Sequence[Split]) -> float | None:
    """Price of a tiering; None where a tier is too small, too slow, or slower than computing."""
    usd, devices = 0.0, replicas * column.footprint.devices
    for place in market.places:
        size, moved = (sum(getattr(s, what).get(place.name, 0.0) for s in splits) for what in ("bytes", "bytes_per_s"))
        if size > devices * min(r.capacity_bytes for r in place.rooms) * (1 + 1e-9):
            return None
        if moved > devices * min(r.bytes_per_s for r in place.rooms) * BUDGET * (1 + 1e-9):
            return None
        usd += size * place.usd_per_byte_hour
    return None if any(splits[c].hits_per_s.get(tier) for c, tier in column.slow) else usd  # type: ignore[call-overload]


@pytest.mark.parametrize("seed", range(40))
def test_as_good_as_exhaustive_search(seed: int) -> None:
    market, columns = with_keepings(seed)
    found = realise(market, columns, judge(market), Effort(time_limit_s=20, seed=1))
    wanted = exhaustive(market, columns)
    if isinstance(found, NoLayout):
        assert wanted is None
        return
    assert wanted is not None
    layout, _ = found
    assert layout.bound <= wanted * (1 + 1e-6) + 1e-9
    assert layout.value == pytest.approx(wanted, rel=1e-6)
