"""What must hold of the closed forms whatever the numbers are, and figures of our own; needs no reference data."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solver.economics import exchange, fabric, fast_mode, money, pipelines, roofline, trains
from solver.economics.epoch import architecture, front, latency
from solver.economics.epoch.hardware import H100
from solver.economics.scaling import chinchilla, lifetime, routed, sparse
from solver.errors import BadInput


@given(price=st.floats(1.05, 20), speed=st.floats(1.05, 10), slope=st.floats(0, 3))
def test_fast_mode_inverts_the_roofline(price: float, speed: float, slope: float) -> None:
    """At the batches found, the roofline itself gives back both ratios."""
    llm = roofline.Serving(
        devices=8, flops=1e15, bytes_per_s=3e12, weight_bytes=5e11, active_parameters=3e10,
        kv_bytes_per_token=slope * 2 * 3e10 * 3e12 / 1e15, context=1,
    )  # fmt: skip
    tiers = fast_mode.batches(price, speed, llm.balance_batch, llm.kv_slope_ratio)
    slow, fast = llm.step_s(tiers.standard), llm.step_s(tiers.fast)
    assert math.isclose(slow / fast, speed, rel_tol=1e-9)
    assert math.isclose((fast / tiers.fast) / (slow / tiers.standard), price, rel_tol=1e-9)


def test_a_discount_is_no_fast_mode() -> None:
    with pytest.raises(BadInput, match="exceed 1"):
        fast_mode.batches(0.9, 2, 100)


def test_cost_falls_to_the_floor() -> None:
    llm = roofline.Serving(devices=1, flops=1e15, bytes_per_s=1e12, weight_bytes=1e11, active_parameters=1e11)
    costs = [llm.cost_over_floor(batch) for batch in (1, 10, 100, 1000)]
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] == 1


def test_deepseek_day_as_published() -> None:
    """87,072 USD a day is exact; 545 % and 562,027 USD are theirs, from token counts rounded to billions."""
    assert money.DEEPSEEK_DAY.cost_usd == 87072
    assert math.isclose(money.DEEPSEEK_DAY.revenue_usd, 562027, rel_tol=2e-4)
    assert round(money.DEEPSEEK_DAY.margin, 2) in (5.45, 5.46)


@given(seats=st.integers(1, 400), load=st.floats(0.05, 2))
def test_poisson_tail_is_one_minus_the_head(seats: int, load: float) -> None:
    mean = seats * load
    head = math.fsum(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(seats + 1))
    assert math.isclose(trains.overfull_probability(seats, load), 1 - head, abs_tol=1e-12)


@given(demand=st.floats(0, 1e15), dearness=st.floats(0, 20))
def test_more_demand_means_a_smaller_llm_trained_longer(demand: float, dearness: float) -> None:
    law = chinchilla.BESIROGLU
    found = lifetime.cheapest(law, 70e9, demand, dearness)
    assert found.parameters <= 70e9 * (1 + 1e-9)
    assert found.tokens >= found.reference_tokens * (1 - 1e-9)
    assert math.isclose(law.loss(found.parameters, found.tokens), law.loss(70e9, found.reference_tokens), rel_tol=1e-9)
    assert found.saved_share >= -1e-12


@pytest.mark.parametrize(("parameters", "tokens"), [(0.9, None), (1.1, None)])
def test_the_lifetime_optimum_is_one(parameters: float, tokens: None) -> None:
    """No neighbour of equal loss is cheaper."""
    law, demand = chinchilla.HOFFMANN, 1e13
    best = lifetime.cheapest(law, 30e9, demand)
    loss = law.loss(best.parameters, best.tokens)
    other = best.parameters * parameters
    cost = other * (6 * law.tokens_for(loss, other) + 2 * demand)
    assert cost > best.cost_flop


def test_price_of_serving_moves_the_optimum() -> None:
    """kappa from a solved layout: 0.5 USD per million tokens of a 70B LLM, training on H100s at 40 % MFU."""
    per_flop = lifetime.usd_per_flop(989e12, 0.4, 2.0)
    kappa = lifetime.dearness_of_serving(0.5, 70e9, per_flop)
    dear = lifetime.cheapest(chinchilla.HOFFMANN, 70e9, 1e13, kappa)
    assert kappa > 1
    assert dear.parameters < lifetime.cheapest(chinchilla.HOFFMANN, 70e9, 1e13).parameters


def test_experts_are_worth_less_in_larger_llms() -> None:
    worth = [routed.S_BASE.effective_parameters(size, 64) / size for size in (1e8, 1e9, 1e10)]
    assert worth == sorted(worth, reverse=True)
    assert worth[-1] > 1
    assert routed.S_BASE.effective_parameters(1e9, 1) == pytest.approx(1e9)
    with pytest.raises(BadInput, match="no longer help"):
        routed.S_BASE.effective_parameters(2e12, 64)


def test_finer_experts_are_worth_more() -> None:
    law = sparse.GranularLaw()
    assert law.loss(1e9, 1e11, 8) < law.loss(1e9, 1e11, 1)
    worth = law.effective_parameters(1e9, 8)
    assert law.loss(worth, 1e11, 1) == pytest.approx(law.loss(1e9, 1e11, 8))


def test_crossing_racks_costs_what_the_slower_fabric_says() -> None:
    assert fabric.cross_rack_slowdown(2, 8) == 4
    assert exchange.nodes_reached(1, 256, 8) == 1
    assert fabric.one_shot_all_reduce_s(1e5, 8, 450e9, 1e-6) < fabric.ring_all_reduce_s(1e5, 8, 450e9, 1e-6)


def test_bubbles_shrink_with_micro_batches_and_chunks() -> None:
    assert pipelines.bubble_share(8, 64) > pipelines.bubble_share(8, 128)
    assert pipelines.bubble_share(8, 64, 3) == pytest.approx(7 / (64 * 3 + 7))


def test_front_falls_and_has_no_dominated_point() -> None:
    found = front.front(architecture.LLAMA_3_70B, grid=60)
    assert (np.diff(found.tokens_per_s) < 0).all()
    assert (np.diff(found.usd) < 0).all()
    assert found.usd_at(1e6) is None
    assert found.price_of_speed(1.0) == pytest.approx(1.0)
    assert found.price_of_speed(2.5) > 1
    with pytest.raises(BadInput, match="grid"):
        front.front(architecture.LLAMA_3_70B, grid=1)


def test_speculation_never_slows() -> None:
    devices, batch = np.array([16.0, 64.0]), np.array([8.0, 128.0])
    plain = latency.token_s(architecture.LLAMA_3_405B, H100, devices, batch, 1000.0)
    drafted = latency.speculative_token_s(
        architecture.LLAMA_3_405B, architecture.LLAMA_3_8B_MQA, H100, devices, batch, 0.8, 4, 1000.0
    )
    assert (drafted <= plain).all()
