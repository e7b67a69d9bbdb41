"""Lower bounds: the conditions are true, the proofs check, and other solvers agree."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from exhaustive import all_counts, least_hottest, sharings
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog  # type: ignore[import-untyped]

from solver.errors import SolverDefect
from solver.experts import Loads, SlotGrid, SwapBudget, place_experts, synthetic_loads
from solver.experts.bounds.certificate import Certificate, copy_costs, copy_range, refutes, simple_bounds
from solver.experts.bounds.close import close_counts
from solver.experts.bounds.count_program import CountProgram
from solver.experts.bounds.exact import settle_counts, whole_counts
from solver.experts.bounds.forced import forced, forced_sums
from solver.experts.bounds.prices import Prices, each_price, thresholds
from solver.experts.packing.counts import water_fill


@settings(max_examples=200, deadline=None)
@given(
    slots=st.integers(2, 6),
    loads=st.lists(st.floats(0.0, 1.0), min_size=6, max_size=6),
    thetas=st.lists(st.floats(0.001, 1.0), min_size=1, max_size=5),
    weights=st.lists(st.floats(0.0, 10.0), min_size=5, max_size=5),
    room=st.floats(1.0, 1.5),
)
def test_no_rank_within_the_limit_has_a_positive_price(
    slots: int, loads: list[float], thetas: list[float], weights: list[float], room: float
) -> None:
    """The condition itself, on arbitrary ranks: any copies, any limit that they keep, any mix of thresholds."""
    copies = np.array(loads[:slots])
    limit = max(1e-3, float(copies.sum()) * room * (1 + 1e-9))
    asked = np.sort(np.array(thetas)) * limit / slots
    prices = Prices(limit, slots, asked, np.array(weights[: len(asked)]))
    assert prices.of(copies).sum() <= 1e-9 * max(1.0, limit) * (1 + sum(weights))
    assert (each_price(copies, limit, slots, asked).sum(axis=1) <= 1e-9 * max(1.0, limit)).all()


@settings(max_examples=100, deadline=None)
@given(slots=st.integers(2, 5), seed=st.integers(0, 10**6))
def test_both_ways_to_price_agree(slots: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    loads = rng.uniform(0, 1.2, 30)
    thetas = np.sort(rng.uniform(0, 1 / slots, 7))
    weights = rng.uniform(0, 1, 7)
    one_by_one = weights @ each_price(loads, 1.0, slots, thetas)
    assert np.allclose(Prices(1.0, slots, thetas, weights).of(loads), one_by_one)


@pytest.mark.parametrize(
    ("experts", "ranks", "slots"), [(4, 3, 2), (5, 4, 2), (6, 4, 2), (5, 3, 3), (6, 3, 3), (7, 3, 3)]
)
def test_bounds_never_exceed_the_optimum(experts: int, ranks: int, slots: int) -> None:
    """Every proof of the search, checked again and held against enumeration."""
    for seed in range(12):
        load = np.random.default_rng(seed).lognormal(0, 1.0, experts)
        load *= ranks / load.sum()
        counts = water_fill(load[None], ranks * slots, ranks)
        start = simple_bounds(load[None], ranks, slots, load / counts)[0]
        best, proof = close_counts(load, ranks, slots, counts[0], start, 1e-4)
        optimum = least_hottest(load, ranks, slots)
        assert start.proves(load, ranks, slots)
        assert proof.proves(load, ranks, slots)
        assert start.limit <= proof.limit <= optimum * (1 + 1e-9)
        assert best.sum() == ranks * slots
        least = min(forced(load, other, slots) for other in all_counts(experts, ranks * slots, ranks))
        assert proof.limit <= least * (1 + 1e-9)


@pytest.mark.parametrize(("experts", "ranks"), [(5, 4), (6, 4), (7, 5)])
def test_two_slots_are_settled_exactly(experts: int, ranks: int) -> None:
    """CP-SAT's counts equal the best of all counts, and its bound lies just below."""
    for seed in range(8):
        load = np.random.default_rng(seed).lognormal(0, 1.0, experts)
        counts = water_fill(load[None], 2 * ranks, ranks)[0]
        start = Certificate(float(load.sum() / ranks), "mean")
        found, proof = settle_counts(load, ranks, counts, start, 1e-6, deterministic_limit=5.0)
        best = min(forced(load, other, 2) for other in all_counts(experts, 2 * ranks, ranks))
        assert forced(load, found, 2) == pytest.approx(best, rel=2e-6)
        assert best * (1 - 3e-6) <= proof.limit <= best * (1 + 1e-9) or start.limit >= best * (1 - 3e-6)


@pytest.mark.parametrize(("experts", "ranks", "slots", "seed"), [(32, 20, 2, 2), (32, 12, 3, 4), (44, 16, 3, 4)])
def test_highs_agrees_that_a_limit_is_out_of_reach(experts: int, ranks: int, slots: int, seed: int) -> None:
    """The linear program over ALL counts, written down again for scipy: refuted limits are infeasible there too.

    HiGHS gets every option and every condition, so a limit that our prices refute must have no fractional answer.
    """
    load = synthetic_loads(1, experts, seed=seed).shares()[0, 0] * ranks
    counts = water_fill(load[None], ranks * slots, ranks)
    start = simple_bounds(load[None], ranks, slots, load / counts)[0]
    proof = close_counts(load, ranks, slots, counts[0], start, 1e-3)[1]
    assert proof.reason == "prices"
    assert proof.prices is not None
    for limit, feasible in ((proof.prices.limit, False), (forced(load, counts[0], slots) * 1.001, True)):
        fewest, most = copy_range(load, limit, ranks, slots)
        options = [(e, k) for e in range(len(load)) for k in range(fewest[e], most[e] + 1)]
        expert, copies = np.array(options).T
        thetas = proof.prices.thetas if not feasible else thresholds(load[expert] / copies, limit, slots)
        rows = copies * each_price(load[expert] / copies, limit, slots, thetas)
        equal = np.vstack([expert == e for e in range(len(load))] + [copies])
        answer = linprog(
            np.zeros(len(options)),
            A_ub=rows,
            b_ub=np.zeros(len(rows)),
            A_eq=equal,
            b_eq=np.append(np.ones(len(load)), ranks * slots),
            bounds=(0, 1),
            method="highs",
        )
        assert answer.status == (0 if feasible else 2)


def test_a_proof_is_tied_to_its_loads_and_limit() -> None:
    load = synthetic_loads(1, 32, seed=2).shares()[0, 0] * 20
    counts = water_fill(load[None], 40, 20)
    start = simple_bounds(load[None], 20, 2, load / counts)[0]
    proof = close_counts(load, 20, 2, counts[0], start, 1e-3)[1]
    assert proof.proves(load, 20, 2)
    assert not replace(proof, limit=proof.limit * 1.01).proves(load, 20, 2)
    assert not proof.proves(load * 0.9, 20, 2)
    assert not proof.proves(load, 20, 3)
    assert not replace(proof, prices=None).proves(load, 20, 2)
    assert not replace(proof, reason="search").proves(load, 20, 2)
    for simple in (Certificate(load.sum() / 20, "mean"), Certificate(float((load / counts).max()), "copies")):
        assert simple.proves(load, 20, 2)
        assert not replace(simple, limit=simple.limit * 1.01).proves(load, 20, 2)


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 10**6), slots=st.integers(2, 3))
def test_prices_never_refute_what_exists(seed: int, slots: int) -> None:
    """Random prices against a limit that a placement keeps: the cheapest counts always fit."""
    rng = np.random.default_rng(seed)
    ranks = int(rng.integers(2, 4))
    load = rng.lognormal(0, 1, int(rng.integers(slots, min(6, ranks * slots) + 1)))
    best = least_hottest(load, ranks, slots)
    thetas = np.sort(rng.uniform(0, best / slots, 5))
    prices = Prices(best * (1 + 1e-9), slots, thetas, rng.uniform(0, 1, 5) ** 4)
    for slot_price in (0.0, 0.3, float(prices.weights.sum())):
        assert not refutes(prices, slot_price, load, ranks)
        assert np.isfinite(copy_costs(prices, slot_price, load, ranks).min(axis=1)).all()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), slots=st.integers(2, 4))
def test_what_counts_force_is_what_every_arrangement_has(seed: int, slots: int) -> None:
    """Against all ways to put six to eight given copies on ranks."""
    rng = np.random.default_rng(seed)
    ranks = 3 if slots == 2 else 2
    copies = rng.lognormal(0, 1, ranks * slots)
    best = min(max(copies[list(part)].sum() for part in parts) for parts in sharings(range(len(copies)), slots))
    least = float(forced_sums(copies, slots).max())
    assert least <= best * (1 + 1e-9)
    if slots == 2:
        assert least == pytest.approx(best)


def test_whole_counts_only_with_whole_conditions() -> None:
    """Steps have whole coefficients, ramps do not; and a limit below every copy has no program."""
    load = np.array([1.0, 1.0, 1.0, 0.5])
    pairs = CountProgram.at(1.3, load, 3, 2)
    assert pairs is not None
    found = whole_counts(pairs, 1.0)
    assert not isinstance(found, str)
    assert forced(load, found, 2) <= 1.3
    assert CountProgram.at(0.1, load, 3, 2) is None
    triples = CountProgram.at(1.7, load, 3, 3)
    assert triples is not None
    with pytest.raises(SolverDefect, match="two slots"):
        whole_counts(triples, 1.0)


def test_effort_can_buy_an_exact_proof() -> None:
    loads = Loads.of(synthetic_loads(1, 40, seed=6).values[0])
    quick = place_experts(loads, SlotGrid(24, 2))
    exact = place_experts(loads, SlotGrid(24, 2), effort=SwapBudget(exact=5.0, tolerance=1e-3))
    assert exact.bound[0] >= quick.bound[0] * (1 - 1e-9)
    assert exact.gap[0] <= quick.gap[0] + 1e-9
