"""Counts and slots of one profile: legal, never worse, and optimal where that can be enumerated."""

from __future__ import annotations

import numpy as np
import pytest
from exhaustive import all_counts, least_hottest
from hypothesis import given, settings
from hypothesis import strategies as st

from solver.experts import Loads, SlotGrid, SwapBudget, place_experts, synthetic_loads
from solver.experts.packing.counts import water_fill
from solver.experts.packing.deal import deal, repeated
from solver.experts.packing.pack import hottest_rank, pack
from solver.experts.packing.regroup import regroup
from solver.experts.packing.rematch import rematch
from solver.experts.splits import hottest_over_mean


@st.composite
def layers(draw: st.DrawFn) -> tuple[np.ndarray, int, int]:
    """Loads (layers, experts) and a grid that holds the experts."""
    experts = draw(st.integers(2, 24))
    ranks = draw(st.integers(1, 12))
    slots = draw(st.integers(-(-experts // ranks), min(experts, -(-experts // ranks) + 3)))
    seed = draw(st.integers(0, 10**6))
    skew = draw(st.sampled_from([0.0, 0.7, 2.5]))
    loads = np.exp(skew * np.random.default_rng(seed).standard_normal((2, experts)))
    loads[:, 0] *= draw(st.sampled_from([0.0, 1.0, 40.0]))
    return loads, ranks, slots


@settings(max_examples=60, deadline=None)
@given(layers())
def test_placements_are_legal_and_bounded(case: tuple[np.ndarray, int, int]) -> None:
    loads, ranks, slots = case
    placement = place_experts(Loads.of(loads), SlotGrid(ranks, slots), effort=SwapBudget(rounds=8))
    placed = placement.map.slots
    assert placement.map.violations() == []
    counts = np.stack([np.bincount(row.ravel(), minlength=loads.shape[1]) for row in placed])
    assert (counts.sum(axis=1) == ranks * slots).all()
    assert (counts >= 1).all()
    assert (counts <= ranks).all()
    assert (placement.bound <= placement.objective * (1 + 1e-9)).all()
    for row, proofs in zip(loads, placement.certificates, strict=True):
        assert proofs[0].reason == "search" or proofs[0].proves(row / row.sum() * ranks, ranks, slots)


@settings(max_examples=40, deadline=None)
@given(layers(), st.integers(0, 1000))
def test_moves_keep_counts_and_never_heat_the_hottest(case: tuple[np.ndarray, int, int], seed: int) -> None:
    loads, ranks, slots = case
    if ranks < 3 or slots < 2:
        return
    counts = water_fill(loads, ranks * slots, ranks)
    copy_load = loads / counts
    placed = deal(copy_load, counts, ranks, slots)
    rng = np.random.default_rng(seed)
    for move in range(6):
        before = hottest_rank(placed, copy_load)
        if move % 2:
            rematch(placed, copy_load, 1 + move % (slots - 1), rng, keep=counts > 1 if move % 3 else None)
        else:
            regroup(placed, copy_load, 2 + move % 4 // 2, rng)
        assert (hottest_rank(placed, copy_load) <= before * (1 + 1e-9)).all()
        assert not repeated(placed).any()
        assert (np.stack([np.bincount(row.ravel(), minlength=loads.shape[1]) for row in placed]) == counts).all()


@pytest.mark.parametrize(("experts", "places", "most"), [(4, 7, 3), (5, 9, 4), (3, 8, 8)])
def test_water_fill_makes_the_heaviest_copy_as_light_as_possible(experts: int, places: int, most: int) -> None:
    for seed in range(20):
        load = np.random.default_rng(seed).lognormal(0, 1, experts)
        counts = water_fill(load[None], places, most)[0]
        best = min((load / other).max() for other in all_counts(experts, places, most))
        assert (load / counts).max() == pytest.approx(best)
        assert counts.sum() == places
        assert counts.max() <= most


@pytest.mark.parametrize(
    ("experts", "ranks", "slots"),
    [(3, 2, 2), (4, 3, 2), (5, 4, 2), (6, 4, 2), (4, 2, 3), (5, 3, 3), (6, 3, 3), (6, 2, 4)],
)
def test_tiny_layers_are_optimal_and_proven(experts: int, ranks: int, slots: int) -> None:
    loads = synthetic_loads(4, experts, seed=experts * ranks)
    placement = place_experts(loads, SlotGrid(ranks, slots), effort=SwapBudget(tolerance=1e-7))
    for layer, share in enumerate(loads.shares()[:, 0] * ranks):
        best = least_hottest(share, ranks, slots)
        assert placement.objective[layer] == pytest.approx(best, rel=1e-6)
        assert placement.bound[layer] <= best * (1 + 1e-9)
        assert placement.gap[layer] < 1e-4


def test_a_stuck_deal_is_put_right() -> None:
    """Every rank ends with a single open slot, and the last copies find only ranks that hold them."""
    copy_load = np.array([[5.0, 4.0, 0.1, 0.1]])
    counts = np.array([[1, 1, 2, 2]])
    placed = deal(copy_load, counts, ranks=2, slots=3)
    assert not repeated(placed).any()
    for seed in range(200):
        rng = np.random.default_rng(seed)
        counts = np.ones((1, 6), np.int64)
        while counts.sum() < 12:
            expert = rng.integers(6)
            counts[0, expert] += counts[0, expert] < 4
        placed = deal(rng.lognormal(0, 2, (1, 6)), counts, ranks=4, slots=3)
        assert not repeated(placed).any()
        assert (np.bincount(placed.ravel(), minlength=6) == counts[0]).all()


def test_the_objective_does_not_depend_on_names() -> None:
    loads = synthetic_loads(3, 32, seed=5).values[0]
    placed = place_experts(Loads.of(loads), SlotGrid(8, 5)).map.slots
    rng = np.random.default_rng(0)
    ranks, experts = rng.permutation(8), rng.permutation(32)
    renamed = np.argsort(experts)[placed[:, ranks]]
    assert np.allclose(hottest_over_mean(placed, loads), hottest_over_mean(renamed, loads[:, experts]))


def test_layers_do_not_influence_each_other() -> None:
    loads = synthetic_loads(6, 64, seed=8).values[0]
    together = place_experts(Loads.of(loads), SlotGrid(16, 5)).map.slots
    alone = place_experts(Loads.of(loads[2:3]), SlotGrid(16, 5)).map.slots
    assert (together[2] == alone[0]).all()


def test_more_slots_never_raise_the_bound() -> None:
    loads = synthetic_loads(6, 24, seed=3)
    bounds = np.stack([place_experts(loads, SlotGrid(12, slots)).bound for slots in (2, 3, 4, 5)])
    assert (np.diff(bounds, axis=0) <= 1e-9).all()


@pytest.mark.parametrize(("ranks", "slots"), [(1, 12), (12, 1), (16, 1), (12, 12)])
def test_edges(ranks: int, slots: int) -> None:
    """One rank; one slot a rank; everything everywhere."""
    placement = place_experts(synthetic_loads(2, 12), SlotGrid(ranks, slots))
    assert placement.map.violations() == []
    assert (placement.gap < 1e-6).all()


def test_pack_with_absent_experts() -> None:
    """Nodes are packed with the experts they hold; the others have no copies."""
    counts = np.array([[2, 0, 3, 1], [0, 3, 2, 1]])
    placed = pack(np.ones((2, 4)), counts, ranks=3, slots=2, target=np.zeros(2), effort=SwapBudget(rounds=3))
    assert (np.stack([np.bincount(row.ravel(), minlength=4) for row in placed]) == counts).all()
