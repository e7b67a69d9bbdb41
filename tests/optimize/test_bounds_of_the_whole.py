"""A bound is one of everything that was asked for: every mode, engine, round, device, and unhealthy ones are rented too."""

from __future__ import annotations

from typing import Any

import pytest

import topologies
from solver.optimize.arithmetic.run import Effort
from solver.optimize.solve import solve_scenario
from solver.plan import Plan
from solver.workload import Scenario

EFFORT = Effort(time_limit_s=20, seed=0)


def solved(**content: Any) -> Plan:
    request = {"name": "c", "prompt_tokens": 1000, "output_tokens": 300, "requests_per_s": 3}
    whole = {"traffic": {"classes": [request]}, "slo": {"ttft_p95": "3s", "tpot_p95": "50ms"}} | content
    return solve_scenario(Scenario.from_mapping(whole, "test"), EFFORT).plan


def test_an_overfull_spine_tries_smaller_replicas_of_both_roles() -> None:
    request = {"name": "c", "prompt_tokens": 8000, "output_tokens": 400, "requests_per_s": 1}
    cluster = {"builder": "fat_tree", "nodes": 4, "hosts_per_leaf": 1, "device": "b200", "oversubscription": 8.0}
    plan = solved(
        llm={"config": "qwen3-30b-a3b"}, cluster=cluster, traffic={"classes": [request]}, objective="throughput",
        slo={"ttft_p95": 2, "tpot_p95": 0.02},
    )  # fmt: skip
    assert {pool.role for pool in plan.pools} == {"prefill", "decode"}
    assert max(link.utilisation for link in plan.links) <= 1
    assert plan.objective.gap < 0.01


def test_devices_with_a_dead_nic_serve_where_that_is_cheaper() -> None:
    """Two hosts, of which one has lost half of its NICs: a plan without those devices serves less for the same rent."""
    graph = topologies.hgx(nodes=2, device="h100")
    dead = [f"rack0/host1/gpu{n}" for n in range(4, 8)]
    for device in dead:
        for other in [o for o, data in graph[device].items() if data["fabric"] == "scale_out"]:
            graph.remove_edge(device, other)
    request = {"name": "c", "prompt_tokens": 4000, "output_tokens": 300, "requests_per_s": 1}
    shared = {
        "llm": {"config": "llama-3.1-70b"},
        "traffic": {"classes": [request]},
        "slo": {"ttft_p95": 3, "tpot_p95": 0.05},
        "objective": "throughput",
    }
    plan = solved(**shared, cluster={"graph": topologies.to_plain(graph)})
    without = solved(**shared, cluster={"graph": topologies.to_plain(topologies.mark_unhealthy(graph, dead))})
    assert plan.prediction.requests_per_s > without.prediction.requests_per_s
    assert plan.objective.bound <= without.objective.usd_per_million_output_tokens


def test_a_rented_host_counts_its_unhealthy_device_in_the_bound_too() -> None:
    cluster = {"builder": "hgx", "nodes": 2, "device": "h200", "unhealthy": ["rack0/host0/gpu7", "rack0/host1/gpu7"]}
    assert solved(llm={"config": "llama-3.1-70b"}, cluster=cluster, billing="host").objective.gap < 1e-6


def test_a_host_that_is_a_domain_survives_like_one() -> None:
    request = {"name": "chat", "prompt_tokens": 1000, "output_tokens": 200, "requests_per_s": 60}
    shared = {
        "llm": {"config": "llama-3.1-8b"},
        "cluster": {"builder": "hgx", "nodes": 3, "device": "h100"},
        "traffic": {"classes": [request]},
        "slo": {"ttft_p95": "1s", "tpot_p95": "25ms"},
        "billing": "device",
        "constraints": {"forbid": ["pp", "tp"], "max_devices": 6},
    }
    host = solved(**shared, options={"disaggregate": False, "survive_host_failures": 1})
    domain = solved(**shared, options={"disaggregate": False, "survive_domain_failures": 1})
    assert host.objective.usd_per_hour == pytest.approx(domain.objective.usd_per_hour)
    assert host.devices == 5


@pytest.mark.parametrize("option", ["survive_domain_failures", "survive_host_failures"])
def test_throughput_can_survive_failures(option: str) -> None:
    plan = solved(
        llm={"config": "llama-3.1-8b"}, cluster={"builder": "hgx", "nodes": 2, "device": "h100", "devices_per_host": 2},
        objective="throughput", options={option: 1},
    )  # fmt: skip
    assert plan.prediction.requests_per_s > 0


def test_a_relaxation_that_one_way_of_glop_gives_up_on_is_no_contradiction() -> None:
    request = {"name": "c", "prompt_tokens": 500, "output_tokens": 50, "requests_per_s": 1}
    plan = solved(
        llm={"config": "llama-3.1-8b"}, cluster={"builder": "hgx", "nodes": 1, "device": "h100"},
        traffic={"classes": [request]}, slo={"ttft_p95": 2, "tpot_p95": 0.06}, engine="vllm", objective="throughput",
        options={"disaggregate": False},
    )  # fmt: skip
    assert plan.devices == 8
    assert plan.objective.gap < 0.01


def test_context_parallelism_can_be_pinned() -> None:
    request = {"name": "c", "prompt_tokens": 4000, "output_tokens": 300, "requests_per_s": 1}
    pinned = {"pools": [{"role": "unified", "parallelism": {"tp": 8, "cp": 2}}]}
    plan = solved(
        llm={"config": "qwen3-235b-a22b-fp8"}, cluster={"builder": "hgx", "nodes": 1, "device": "h200"}, engine="vllm",
        constraints=pinned, traffic={"classes": [request]},
    )  # fmt: skip
    assert [pool.parallelism.cp for pool in plan.pools] == [2]


def test_of_several_engines_the_least_bound_holds() -> None:
    four = {"builder": "hgx", "nodes": 1, "device": "h100", "devices_per_host": 4}
    shared = {"llm": {"config": "llama-3.1-8b"}, "cluster": four}
    best = solved(**shared, engine="auto", billing="device")
    for engine in ("vllm", "sglang", "trtllm"):
        one = solved(**shared, engine=engine, billing="device")
        assert best.objective.bound <= one.objective.usd_per_million_output_tokens * (1 + 1e-9)


def test_a_host_that_several_domains_share_is_paid_for_once() -> None:
    """Each of three hosts has a device off NVLink, a domain of its own: two hosts with both of their domains serve what
    takes three without."""
    graph = topologies.hgx(nodes=3, device="h100")
    for host in range(3):
        device = f"rack0/host{host}/gpu7"
        for other in [o for o, data in graph[device].items() if data["fabric"] == "scale_up"]:
            graph.remove_edge(device, other)
    request = {"name": "c", "prompt_tokens": 2000, "output_tokens": 300, "requests_per_s": 176}
    asked = {
        "llm": {"config": "llama-3.1-8b"}, "engine": "vllm", "billing": "host", "traffic": {"classes": [request]},
        "cluster": {"graph": topologies.to_plain(graph)},
    }  # fmt: skip
    plan = solved(**asked)
    assert plan.devices == 16
    assert len({graph.nodes[rank.device]["host"] for rank in plan.placement}) == 2
    assert plan.objective.gap < 1e-6
