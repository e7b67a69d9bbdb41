"""Nodes: what splits mean, homes, the node program against HiGHS, the trade, co-activation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp  # type: ignore[import-untyped]

from solver.errors import BadInput
from solver.experts import (
    CoCounts,
    Loads,
    SlotGrid,
    TokenSample,
    homes_by_coactivation,
    place_experts,
    synthetic_loads,
    trade_off,
)
from solver.experts.nodes.homes import group_homes
from solver.experts.nodes.node_program import NodeProgram
from solver.experts.nodes.patterns import patterns
from solver.experts.splits import hottest_over_mean, node_copies, rank_loads

GRID = SlotGrid(ranks=8, slots=5, ranks_per_node=2)


def _token_by_token(placed: np.ndarray, loads: np.ndarray, ranks_per_node: int, nearest: bool) -> list[float]:
    """Loads of the ranks by walking every expert's tokens from every node to the copies that serve them."""
    ranks, nodes = len(placed), len(placed) // ranks_per_node
    served = [0.0] * ranks
    for expert, load in enumerate(loads):
        holders = [rank for rank in range(ranks) for held in placed[rank] if held == expert]
        for node in range(nodes):
            near = [rank for rank in holders if rank // ranks_per_node == node]
            for rank in near if near and nearest else holders:
                served[rank] += load / nodes / len(near if near and nearest else holders)
    return served


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([(4, 2), (6, 2), (6, 3), (3, 1)]), st.integers(1, 4))
def test_splits_mean_what_they_say(seed: int, shape: tuple[int, int], slots: int) -> None:
    ranks, per_node = shape
    rng = np.random.default_rng(seed)
    experts = int(rng.integers(1, ranks * slots + 1))
    loads = rng.lognormal(0, 1, experts)
    placed = rng.permutation(np.arange(ranks * slots) % experts).reshape(ranks, slots)
    for split, nearest in (("even", False), ("nearest-node", True)):
        ours = rank_loads(placed, loads, split, per_node)  # type: ignore[arg-type]
        assert np.allclose(ours, _token_by_token(placed, loads, per_node, nearest))
        assert ours.sum() == pytest.approx(loads.sum())


def test_nearest_node_placements_are_legal_and_balanced() -> None:
    loads = synthetic_loads(6, 64, seed=9)
    grid = SlotGrid(16, 6, ranks_per_node=4)
    placement = place_experts(loads, grid, split="nearest-node")
    assert placement.map.violations() == []
    assert (placement.bound <= placement.objective * (1 + 1e-9)).all()
    assert placement.gap.max() < 0.02
    far_off = place_experts(loads, grid).map.imbalance(loads, "nearest-node", 4)[0]
    assert placement.objective.mean() < far_off.mean()


def test_hot_experts_on_every_node() -> None:
    """More copies than nodes: each node serves its own tokens, whatever the exact number of copies there."""
    load = np.full((1, 12), 1.0)
    load[0, 0] = 30.0
    placement = place_experts(Loads.of(load), SlotGrid(8, 3, ranks_per_node=2), split="nearest-node")
    copies = node_copies(placement.map.slots, 12, 2)[0, :, 0]
    assert (copies >= 1).all()
    assert copies.max() <= 2
    assert placement.map.violations() == []


def test_homes_keep_groups_whole_and_nodes_even() -> None:
    load = synthetic_loads(5, 32, seed=1).shares()[:, 0]
    home = group_homes(load, GRID, groups=8)
    by_group = home.reshape(5, 8, 4)
    assert (by_group == by_group[:, :, :1]).all()
    for row, weights in zip(by_group[:, :, 0], load.reshape(5, 8, 4).sum(axis=2), strict=True):
        assert np.bincount(row, minlength=4).tolist() == [2, 2, 2, 2]
        hottest = np.bincount(row, weights).max()
        others = (
            np.bincount(np.array(o), weights).max() for o in set(itertools.permutations([0, 0, 1, 1, 2, 2, 3, 3]))
        )
        assert hottest <= min(others) * 1.0001
    with pytest.raises(BadInput, match="cannot be spread evenly over 4 nodes"):
        group_homes(load, GRID, groups=6)


@pytest.mark.parametrize("slack", [0.05, 0.3])
@pytest.mark.parametrize("split", ["even", "nearest-node"])
def test_highs_agrees_with_the_node_program(slack: float, split: str) -> None:
    """The same patterns as a MILP: our answer is legal, near its optimum, and our bound is below it."""
    load = synthetic_loads(1, 32, seed=3).shares()[0, 0] * GRID.ranks
    home = group_homes(load[None], GRID, groups=8)[0]
    them = patterns(load, home, GRID, split)  # type: ignore[arg-type]
    answer = NodeProgram(them, GRID, slack).solve()
    rows = np.vstack([them.expert == e for e in range(32)] + [them.copies.T, them.served.T])
    low = np.concatenate([np.ones(32), np.full(4, GRID.places_per_node), np.zeros(4)])
    high = np.concatenate([low[:36], np.full(4, GRID.ranks_per_node * (1 + slack))])
    other = milp(
        them.far / GRID.ranks,
        constraints=LinearConstraint(rows, low, high),
        integrality=np.ones(len(them.expert)),
        bounds=Bounds(0, 1),
    )
    if other.x is None:
        assert answer is None
        return
    assert answer is not None
    assert answer.copies.sum(axis=0).tolist() == [GRID.places_per_node] * 4
    assert (answer.copies.sum(axis=1) >= 1).all()
    assert answer.far_bound <= other.fun + 1e-9
    assert other.fun - 1e-9 <= answer.far_share <= other.fun + 0.004


def test_the_trade_goes_from_balance_to_no_traffic() -> None:
    loads = synthetic_loads(3, 32, dense_layers=1, seed=3)
    curve = trade_off(loads, GRID, groups=8, slacks=(0.02, 0.2, np.inf))
    far = np.stack([point.far_share for point in curve.points])
    imbalance = np.stack([point.imbalance for point in curve.points])
    assert (np.diff(far.mean(axis=1)) <= 1e-9).all()
    assert far[-1].max() == pytest.approx(0.0, abs=1e-12)
    assert imbalance[0].max() < 1.08
    assert imbalance[0].mean() < imbalance[-1].mean()
    shares = loads.shares()[:, 0]
    for point in curve.points:
        assert point.map.violations() == []
        assert (point.far_bound <= point.far_share + 1e-9).all()
        assert np.allclose(point.imbalance, hottest_over_mean(point.map.slots, shares))
        copies = node_copies(point.map.slots, 32, 2)
        at_home = np.take_along_axis(copies, curve.home[:, None], axis=1)[:, 0] / copies.sum(axis=1)
        assert np.allclose(point.far_share, (shares * (1 - at_home)).sum(axis=1))
    assert curve.pareto().any(axis=0).all()
    balanced = curve.cheapest(lambda imbalance, far: imbalance)
    quiet = curve.cheapest(lambda imbalance, far: imbalance + 1000 * far)
    assert np.allclose(balanced.imbalance, imbalance.min(axis=0))
    assert quiet.far_share.max() == pytest.approx(0.0, abs=1e-12)
    assert quiet.map.violations() == []


@pytest.mark.parametrize("grid", [SlotGrid(8, 7, 4), SlotGrid(8, 6, 2), SlotGrid(6, 8, 6), SlotGrid(4, 5, 1)])
def test_the_trade_fills_roomy_grids(grid: SlotGrid) -> None:
    """Several places for each expert, one node, nodes of one rank."""
    curve = trade_off(synthetic_loads(2, 16, seed=4), grid, groups=4 if grid.nodes > 1 else 1, slacks=(0.3,))
    assert curve.points[0].map.violations() == []


def test_what_the_trade_refuses() -> None:
    loads = synthetic_loads(1, 32)
    for wrong in ({}, {"groups": 8, "home": np.zeros(32, int)}, {"home": np.full(32, 4)}, {"home": np.zeros(3, int)}):
        with pytest.raises(BadInput):
            trade_off(loads, GRID, **wrong)
    with pytest.raises(BadInput, match="slacks above 0"):
        trade_off(loads, GRID, groups=8, slacks=(0.0,))


def _clustered(experts: int, chosen: int, tokens: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Tokens that prefer experts of one of several hidden topics, and the loads that follow."""
    rng = np.random.default_rng(seed)
    topic = rng.permutation(experts) % (experts // 6)
    liking = rng.lognormal(0, 0.5, experts)
    rows = []
    for wanted in rng.integers(experts // 6, size=tokens):
        chance = liking * np.where(topic == wanted, 12.0, 1.0)
        rows.append(rng.choice(experts, chosen, replace=False, p=chance / chance.sum()))
    table = np.array(rows)
    return table, np.bincount(table.ravel(), minlength=experts).astype(float)


def _together(tokens: np.ndarray, experts: int) -> np.ndarray:
    counts = np.zeros((experts, experts))
    for row in tokens:
        counts[np.ix_(row, row)] += 1
    return counts


@pytest.mark.parametrize("kind", ["tokens", "counts"])
def test_co_activated_experts_come_together(kind: str) -> None:
    tokens, loads = _clustered(24, 3, 1500, seed=0)
    sample = TokenSample.of(tokens, 24)
    statistics = sample if kind == "tokens" else CoCounts.of(_together(tokens, 24))
    home = homes_by_coactivation(statistics, loads, nodes=4, slack=0.1)
    assert np.bincount(home).tolist() == [6, 6, 6, 6]
    assert np.bincount(home, loads).max() <= loads.sum() / 4 * 1.1
    rng = np.random.default_rng(1)
    at_random = np.mean([sample.cost(rng.permutation(np.arange(24) % 4)) for _ in range(20)])
    assert sample.cost(home) < at_random - 0.25
    curve = trade_off(Loads.of(loads[None]), SlotGrid(8, 4, 2), home=home, slacks=(0.05,))
    assert curve.points[0].map.violations() == []


@pytest.mark.parametrize("kind", ["tokens", "counts"])
def test_swap_gains_are_what_a_swap_gains(kind: str) -> None:
    tokens, _ = _clustered(12, 3, 200, seed=3)
    statistics = TokenSample.of(tokens, 12)
    if kind == "counts":
        statistics = CoCounts.of(_together(tokens, 12))  # type: ignore[assignment]
    home = np.arange(12) % 3
    gains = statistics.swap_gains(home, 3)
    for one, other in itertools.combinations(range(12), 2):
        if home[one] != home[other]:
            swapped = home.copy()
            swapped[one], swapped[other] = home[other], home[one]
            assert gains[one, other] == pytest.approx(statistics.cost(home) - statistics.cost(swapped))


def test_malformed_statistics_are_refused() -> None:
    for wrong in ([[1.0, 2.0]], [[0.0, 1.0], [2.0, 0.0]], [[0.0, -1.0], [-1.0, 0.0]]):
        with pytest.raises(BadInput):
            CoCounts.of(wrong)
    for tokens in ([[0, 12]], [[-1, 0]], [], [1, 2], [[3, 3]]):
        with pytest.raises(BadInput):
            TokenSample.of(tokens, 12)
    with pytest.raises(BadInput, match="evenly over 5 nodes"):
        homes_by_coactivation(CoCounts.of(np.ones((12, 12))), np.ones(12), nodes=5)
