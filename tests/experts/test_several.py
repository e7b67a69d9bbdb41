"""Several profiles: the mean of the hottest ranks, and what it is worth on workloads not seen."""

from __future__ import annotations

import numpy as np
import pytest
from exhaustive import hottest, placements
from hypothesis import given, settings
from hypothesis import strategies as st

from solver.experts import Loads, SlotGrid, drift_report, place_experts, synthetic_loads
from solver.experts.exchange import exchange_hottest, exchange_pairs
from solver.experts.packing.counts import water_fill
from solver.experts.packing.deal import deal, repeated


def _objective(placed: np.ndarray, copy_load: np.ndarray, weights: np.ndarray) -> np.ndarray:
    row = np.arange(len(placed))[:, None, None]
    return np.asarray(copy_load[row, placed].sum(axis=2).max(axis=1) @ weights)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(2, 7), st.integers(1, 4))
def test_exchanges_keep_placements_legal_and_improve(seed: int, profiles: int, ranks: int, slots: int) -> None:
    rng = np.random.default_rng(seed)
    experts = int(rng.integers(slots, ranks * slots + 1))
    loads = rng.lognormal(0, 1, (2, profiles, experts))
    weights = np.full(profiles, 1 / profiles)
    counts = water_fill(loads.max(axis=1), ranks * slots, ranks)
    copy_load = np.ascontiguousarray((loads / counts[:, None]).transpose(0, 2, 1))
    placed = deal(copy_load @ weights, counts, ranks, slots)
    exchange_pairs(placed, copy_load, weights, 12, rng)
    assert not repeated(placed).any()
    for profile in range(profiles):
        before = _objective(placed, copy_load, weights)
        exchange_hottest(placed, copy_load, weights, profile)
        assert (_objective(placed, copy_load, weights) <= before * (1 + 1e-9)).all()
        assert not repeated(placed).any()


def test_near_the_best_of_all_placements() -> None:
    loads = synthetic_loads(3, 5, profiles=2, seed=7)
    placement = place_experts(loads, SlotGrid(3, 3))
    for layer, share in enumerate(loads.shares() * 3):
        best = min(np.mean([hottest(load, placed) for load in share]) for placed in placements(5, 3, 3))
        assert best * (1 - 1e-9) <= placement.objective[layer] <= best * 1.12
        assert placement.bound[layer] <= best * (1 + 1e-9)


def test_weights_pull_the_placement() -> None:
    loads = synthetic_loads(4, 32, profiles=2, seed=1)
    for first, second in ((0.99, 0.01), (0.01, 0.99)):
        weighted = Loads.of(loads.values, loads.names, [first, second])
        imbalance = place_experts(weighted, SlotGrid(8, 5)).imbalance.mean(axis=1)
        assert (imbalance[0] < imbalance[1]) == (first > second)


def test_drift_report() -> None:
    """The diagonal is good, the rest is not; together is better on all than each is on the others."""
    report = drift_report(synthetic_loads(3, 32, profiles=3, seed=2), SlotGrid(8, 5))
    diagonal = np.eye(3, dtype=bool)
    assert report.matrix[diagonal].max() < 1.01
    assert report.matrix[~diagonal].min() > 1.1
    assert report.together.mean() < report.matrix.mean()
    assert report.left_out.shape == (3,)
    assert report.left_out.mean() > report.together.mean()
    alone = drift_report(synthetic_loads(1, 8), SlotGrid(4, 3))
    assert alone.matrix.shape == (1, 1)
    assert alone.together[0] == pytest.approx(alone.matrix[0, 0])
