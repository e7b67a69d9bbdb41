"""Columns that are dropped: the optimum stays, for every tiny market."""

from __future__ import annotations

import pytest
from brute import brute_force
from instances import random_market

from solver.space.dominance import undominated


def test_the_optimum_needs_no_column_that_is_dropped() -> None:
    dropped = 0
    for seed in range(100):
        market, columns = random_market(seed)
        left = undominated(columns)
        dropped += len(columns) - len(left)
        best, still = brute_force(market, columns).value, brute_force(market, left).value
        assert still == (best if best is None else pytest.approx(best)), seed
    assert dropped > 10
