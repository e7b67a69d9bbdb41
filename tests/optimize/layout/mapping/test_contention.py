"""Contention: what the fabric leaves to an exchange, and layouts that change where a spine is oversubscribed."""

from __future__ import annotations

import re

import pytest

import topologies
from solver.check import violations
from solver.cost.network.contention import exchanges, slowed
from solver.cost.network.fleet import fleets
from solver.optimize import feedback
from solver.optimize.arithmetic.run import Effort
from solver.optimize.solve import solve_scenario
from solver.workload import Scenario

NIC = topologies.device("h200").scale_out_bytes_per_s


def hosts(cluster, numbers):
    """Devices of some hosts."""
    return [f"rack{n // 4}/host{n % 4}/gpu{i}" for n in numbers for i in range(8)]


@pytest.mark.parametrize("oversubscription", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("spread", [2, 4, 8])
def test_the_rate_behind_rails_is_the_closed_form(oversubscription, spread):
    """Seven of eight remote ranks are on another rail, so ``spread`` hosts send 7/8 of their rate up a leaf of 8 hosts."""
    cluster = topologies.hgx(nodes=8, device="h200", spine_oversubscription=oversubscription)
    (exchange,) = exchanges(topologies.Routes(cluster), [[hosts(cluster, range(spread))]])
    uplinks = 8 * NIC / oversubscription
    assert exchange.bytes_per_s == pytest.approx(min(NIC, uplinks / (spread * 7 / 8)))


def test_exchanges_at_the_same_time_share_the_spine():
    cluster = topologies.hgx(nodes=8, device="h200", spine_oversubscription=4.0)
    routes = topologies.Routes(cluster)
    pairs = [hosts(cluster, (n, n + 1)) for n in range(0, 8, 2)]
    (alone,) = exchanges(routes, [pairs[:1]])
    (together,) = exchanges(routes, [pairs])
    apart = exchanges(routes, [[pair] for pair in pairs])
    assert alone.bytes_per_s == pytest.approx(NIC)
    assert together.bytes_per_s == pytest.approx(NIC * 8 / 4 / 7)
    assert {round(each.bytes_per_s) for each in apart} == {round(together.bytes_per_s)}


def test_a_group_inside_a_domain_does_not_use_the_fabric():
    cluster = topologies.hgx(nodes=2, device="h200", spine_oversubscription=4.0)
    assert exchanges(topologies.Routes(cluster), [[hosts(cluster, [0])], []]) == [None, None]


def test_a_fleet_is_slowed_only_below_its_nic():
    (fleet,) = fleets(topologies.hgx(nodes=2, device="h200"))
    assert slowed(fleet, None) is fleet
    assert slowed(fleet, NIC) is fleet
    assert slowed(fleet, NIC / 2).device.scale_out_bytes_per_s == NIC / 2
    assert slowed(fleet, NIC / 2).best_scale_out == fleet.best_scale_out


def wide(oversubscription):
    """DeepSeek-V3 under a tight TPOT on eight H200 hosts: decode spreads its experts over most of them."""
    request = {"name": "chat", "prompt_tokens": 4000, "output_tokens": 1000, "requests_per_s": 1}
    content = {
        "llm": {"config": "deepseek-v3"},
        "cluster": {"builder": "hgx", "nodes": 8, "device": "h200", "spine_oversubscription": oversubscription},
        "traffic": {"classes": [request]},
        "slo": {"ttft_p95": "3s", "tpot_p95": "20ms"},
        "objective": "throughput",
        "engine": "sglang",
        "options": {"max_pools": 1, "disaggregate": True, "gap": 0.02},
    }
    return Scenario.from_mapping(content, "test")


def solved(oversubscription):
    return solve_scenario(wide(oversubscription), Effort(time_limit_s=10, seed=1)).plan


def shapes(plan):
    return [(pool.role, pool.replicas, pool.parallelism) for pool in plan.pools]


@pytest.fixture(scope="module")
def free():
    return solved(1.0)


def test_behind_an_oversubscribed_spine_another_layout_is_cheaper(free, monkeypatch):
    chosen = solved(4.0)
    monkeypatch.setattr(feedback, "MOST_ROUNDS", 1)
    unaware = solved(4.0)
    assert shapes(unaware) == shapes(free), "without feedback the layout is that of the non-blocking fabric"
    assert shapes(chosen) != shapes(free)
    cost, other = (plan.objective.usd_per_million_output_tokens for plan in (chosen, unaware))
    assert free.objective.usd_per_million_output_tokens < cost < other
    assert chosen.objective.bound <= free.objective.usd_per_million_output_tokens * (1 + 1e-6)
    assert violations(chosen) == []
    told = [binding.because for binding in chosen.binding if binding.rule == "fabric"]
    assert any("spine" in sentence for sentence in told) or not told


def test_the_witness_sees_prices_that_ignore_the_fabric(free):
    """A plan of the non-blocking fabric claims more than an oversubscribed one gives."""
    spec = free.scenario.cluster | {"spine_oversubscription": 4.0}
    false = free.model_copy(update={"scenario": free.scenario.model_copy(update={"cluster": spec})})
    assert violations(false)


def narrow(roles):
    """Long prompts behind slow NICs: handing over a KV cache would fill the links many times over."""
    request = {"name": "chat", "prompt_tokens": 16_000, "output_tokens": 400, "requests_per_s": 4}
    device = {"name": "slow", "like": "h100", "scale_out_bytes_per_s": 0.3e9}
    content = {
        "llm": {"config": "llama-3.3-70b"},
        "cluster": {"builder": "hgx", "nodes": 8, "device": device, "spine_oversubscription": 8},
        "traffic": {"classes": [request]},
        "slo": {"ttft_p95": "20s", "tpot_p95": "40ms"},
        "constraints": {"roles": roles, "max_tp": 8},
    }
    return Scenario.from_mapping(content, "test")


def test_where_handing_over_would_fill_a_link_the_plan_does_without():
    plan = solve_scenario(narrow(["prefill", "decode", "unified"]), Effort(time_limit_s=10, seed=1)).plan
    assert {pool.role for pool in plan.pools} == {"unified"}
    assert max(link.utilisation for link in plan.links) <= 1


def test_where_there_is_no_other_way_the_link_is_named():
    outcome = solve_scenario(narrow(["prefill", "decode"]), Effort(time_limit_s=10, seed=1))
    assert outcome.found is None
    assert re.search(r"the link from (leaf\d+ to spine|spine\d+ to leaf)", outcome.reason)
    assert "Allow unified pools" in outcome.reason
