"""Failures: ill devices are avoided, planned losses are survived at a price, a re-plan moves little."""

from __future__ import annotations

from collections import defaultdict

import pytest

import topologies
from solver.cost.instance import Instance
from solver.optimize.arithmetic.run import Effort
from solver.optimize.solve import solve_scenario
from solver.plan.diff import difference, replicas_of
from solver.workload import Scenario

EFFORT = Effort(time_limit_s=2, seed=1)
RACKS = {"builder": "hgx", "nodes": 8, "device": "h100", "hosts_per_rack": 2}
RATE = 24.0


def scenario(cluster, llm="llama-3.3-70b", rate=RATE, **given):
    request = {"name": "chat", "prompt_tokens": 3000, "output_tokens": 500, "requests_per_s": rate}
    content = {
        "llm": {"config": llm},
        "cluster": cluster,
        "traffic": {"classes": [request]},
        "slo": {"ttft_p95": "2s", "tpot_p95": "40ms"},
    }
    return Scenario.from_mapping(content | given, "test")


def used(plan):
    return {placed.device for placed in plan.placement}


@pytest.fixture(scope="module")
def whole():
    return solve_scenario(scenario(RACKS), EFFORT).plan


def with_a_bad_device_and_a_dead_nic():
    """Eight H200 hosts; one device off the NVLink fabric, and one whose NIC is dead."""
    graph = topologies.hgx(nodes=8, device="h200")
    off_nvlink, dead_nic = "rack0/host2/gpu3", "rack1/host1/gpu6"
    for vertex, fabric in ((off_nvlink, "scale_up"), (dead_nic, "scale_out")):
        for other in [o for o, data in graph[vertex].items() if data["fabric"] == fabric]:
            graph.remove_edge(vertex, other)
    return graph, off_nvlink, dead_nic


def test_the_plan_avoids_a_device_without_nvlink_and_one_without_a_nic():
    """Where it costs no more to leave them out; that they are taken where it is cheaper is tested with the bounds."""
    graph, off_nvlink, dead_nic = with_a_bad_device_and_a_dead_nic()
    cluster = {"graph": topologies.to_plain(graph)}
    wanted = scenario(cluster, "deepseek-v3", 12.0, engine="sglang")
    plan = solve_scenario(wanted, EFFORT).plan
    assert off_nvlink not in used(plan)
    spread = [pool.name for pool in plan.pools if pool.domains_per_replica > 1 or pool.role != "unified"]
    assert spread, "the test is about pools that send over the fabric"
    assert dead_nic not in used(plan)
    assert {fault.vertices for fault in topologies.find_faults(graph)} >= {(off_nvlink,), (dead_nic,)}


@pytest.mark.parametrize(
    ("option", "unit"),
    [("survive_domain_failures", "domain"), ("survive_host_failures", "host")],
)
def test_what_is_left_after_the_worst_losses_serves_all(whole, option, unit):
    failures = 2
    plan = solve_scenario(scenario(RACKS, options={option: failures}), EFFORT).plan
    instance = Instance.of(plan.scenario)
    unit_of = instance.domain_of if unit == "domain" else lambda d: instance.cluster.nodes[d]["host"]
    placed = replicas_of(plan)
    for role in {pool.role for pool in plan.pools}:
        lost, capacity = defaultdict(float), 0.0
        for pool in (p for p in plan.pools if p.role == role):
            each = pool.capacity_requests_per_s_per_replica
            capacity += each * pool.replicas
            for devices in placed[pool.name]:
                for name in {unit_of(device) for device in devices}:
                    lost[name] += each
        worst = sum(sorted(lost.values())[-failures:])
        assert capacity - worst >= RATE * (1 - 1e-6)
    assert "added up" in plan.provenance.bound_over
    assert "added up" not in whole.provenance.bound_over
    assert plan.objective.usd_per_hour > whole.objective.usd_per_hour
    price = next(b for b in plan.binding if b.rule == "survival")
    more = plan.objective.usd_per_hour - whole.objective.usd_per_hour
    assert f"costs {more:.4g} USD/h more" in price.because


@pytest.mark.parametrize("rack", ["rack0", "rack2"])
def test_after_the_loss_of_a_rack_surviving_replicas_stay(whole, rack):
    lost = solve_scenario(scenario(RACKS | {"unhealthy": [rack]}), EFFORT, running=whole).plan
    surviving = [r for rs in replicas_of(whole).values() for r in rs if not any(d.startswith(f"{rack}/") for d in r)]
    kept = sum(pool.kept for pool in difference(whole, lost).pools)
    assert surviving
    assert kept >= 0.9 * len(surviving)
    assert not any(device.startswith(f"{rack}/") for device in used(lost))
    assert lost.objective.usd_per_hour == whole.objective.usd_per_hour


def test_a_replan_never_costs_more_than_a_plan_from_nothing(whole):
    smaller = scenario(RACKS | {"unhealthy": ["rack0/host1", "rack1/host0/gpu3"]})
    anew = solve_scenario(smaller, EFFORT).plan
    again = solve_scenario(smaller, EFFORT, running=whole).plan
    gap = smaller.options.gap
    assert again.objective.usd_per_hour <= anew.objective.usd_per_hour * (1 + gap)
    assert difference(whole, again).moved_bytes <= difference(whole, anew).moved_bytes


def test_a_replan_of_what_runs_changes_nothing(whole):
    again = solve_scenario(whole.scenario, EFFORT, running=whole).plan
    assert difference(whole, again).moved_bytes == 0
    assert used(again) == used(whole)
