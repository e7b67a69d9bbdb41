"""Solve equals exhaustive search on random tiny instances, and the twin's bound is never wrong."""

from __future__ import annotations

import dataclasses

import pytest
from brute import brute_force, least_rent
from instances import random_market
from judging import judge, rent

from solver.optimize.arithmetic.run import Effort
from solver.optimize.layout.program import LEVELS
from solver.optimize.layout.realise import realise
from solver.optimize.layout.search import NoLayout

EFFORT = Effort(time_limit_s=120, workers=1)
#: The program counts a multiple of the mix in steps of its ceiling, and rates in steps of the largest row.
ROUNDING = 3 / LEVELS


@pytest.mark.parametrize("block", range(20))
def test_solve_equals_exhaustive_search(block: int) -> None:
    for seed in range(block * 20, block * 20 + 20):
        market, columns = random_market(seed)
        expected = brute_force(market, columns).value
        found = realise(market, columns, judge(market), EFFORT)
        if isinstance(found, NoLayout):
            assert expected is None or expected == 0, (seed, expected)
            continue
        layout, mapping = found
        assert expected is not None, seed
        if market.objective == "cost":
            assert rent(market, mapping) == pytest.approx(expected, rel=1e-6), seed
            assert layout.bound <= expected * (1 + 1e-6), seed
        else:
            served = layout.value
            assert served == pytest.approx(expected, rel=ROUNDING, abs=1e-9), seed
            assert layout.bound >= expected * (1 - 1e-6), seed


@pytest.mark.parametrize("seed", range(400, 440))
def test_the_bound_holds_for_every_reading_of_the_rates(seed: int) -> None:
    """The twin bounds even the optimum at the most favourable rates."""
    market, columns = random_market(seed)
    favourable = [dataclasses.replace(c, rate=c.best_rate) for c in columns]
    expected = brute_force(market, favourable).value
    found = realise(market, columns, judge(market), EFFORT)
    if isinstance(found, NoLayout) or expected is None:
        return
    if market.objective == "cost":
        assert found[0].bound <= expected * (1 + 1e-6)
    else:
        assert found[0].bound >= expected * (1 - 1e-6)


def test_the_search_itself_knows_a_packing_that_does_not_exist() -> None:
    """Three fragments of 3 devices do not fit into two domains of 4, though 9 devices would be there in three."""
    for seed in range(1000):
        market, columns = random_market(seed, "cost")
        sizes = {c.footprint.size for c in columns}
        if 3 in sizes and market.supplies[0].size == 4 and len(market.supplies) == 1 and market.supplies[0].count == 2:
            number = next(n for n, c in enumerate(columns) if c.footprint.size == 3 and c.footprint.domains == 1)
            assert least_rent(market, columns, ((number, 3),)) is None
            return
    pytest.fail("no instance of that kind among the seeds")
