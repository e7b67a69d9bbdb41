"""Re-balancing: the budget is kept, what stays keeps its slot, and most of the drift is won back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solver.errors import BadInput
from solver.experts import ExpertMap, SlotGrid, place_experts, rebalance, synthetic_loads


def _fetched(old: ExpertMap, new: ExpertMap) -> list[int]:
    """Copies on ranks that did not hold that expert, counted one by one."""
    return [
        sum(len(set(now) - set(then)) for then, now in zip(before, after, strict=True))
        for before, after in zip(old.slots.tolist(), new.slots.tolist(), strict=True)
    ]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 40))
def test_every_budget_is_kept(seed: int, budget: int) -> None:
    rng = np.random.default_rng(seed)
    experts, ranks = int(rng.integers(24, 40)), int(rng.integers(2, 6))
    slots = -(-experts // ranks) + int(rng.integers(0, 2))
    if slots > experts:
        return
    loads = synthetic_loads(2, experts, profiles=2, seed=seed)
    current = place_experts(loads.select([loads.names[0]]), SlotGrid(ranks, slots)).map
    target = loads.select([loads.names[1]])
    answer = rebalance(current, target, budget)
    assert answer.map.violations() == []
    assert answer.moved_copies.tolist() == _fetched(current, answer.map)
    assert answer.moved_copies.sum() <= budget
    assert np.allclose(answer.before, current.imbalance(target)[0])
    assert np.allclose(answer.after, answer.map.imbalance(target)[0])
    staying = answer.map.slots == current.slots
    assert (~staying).sum() == answer.moved_copies.sum()


def test_a_tenth_of_the_copies_wins_back_most_of_the_drift() -> None:
    loads = synthetic_loads(4, 64, profiles=2, seed=5)
    first, second = (loads.select([name]) for name in loads.names)
    grid = SlotGrid(8, 10)
    current, best = place_experts(first, grid).map, place_experts(second, grid)
    answer = rebalance(current, second, budget_copies=4 * grid.places // 10)
    lost = answer.before.mean() - best.objective.mean()
    assert (answer.before.mean() - answer.after.mean()) / lost > 0.8


def test_nothing_to_do_costs_nothing() -> None:
    loads = synthetic_loads(2, 16, seed=1)
    current = place_experts(loads, SlotGrid(4, 5)).map
    assert rebalance(current, loads, 0).moved_copies.sum() == 0
    assert (rebalance(current, loads, 0).map.slots == current.slots).all()
    with pytest.raises(BadInput, match="budget"):
        rebalance(current, loads, -1)
    with pytest.raises(BadInput, match="cannot carry loads"):
        rebalance(current, synthetic_loads(2, 8), 1)
