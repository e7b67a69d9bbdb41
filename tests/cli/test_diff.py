"""``rackplan diff``: what changed between two plans, in words and as JSON."""

from __future__ import annotations

import json

import pytest
from command_line import rackplan

from solver.optimize.arithmetic.run import Effort
from solver.optimize.solve import solve_scenario
from solver.plan.diff import difference
from solver.workload import Scenario

SCENARIO = {
    "llm": {"config": "llama-3.1-8b"},
    "cluster": {"builder": "hgx", "nodes": 2, "device": "h100"},
    "traffic": {"classes": [{"name": "chat", "prompt_tokens": 2000, "output_tokens": 300, "requests_per_s": 60}]},
    "slo": {"ttft_p95": "2s", "tpot_p95": "40ms"},
    "constraints": {"roles": ["unified"], "max_tp": 2},
}


@pytest.fixture(scope="module")
def plan():
    return solve_scenario(Scenario.from_mapping(SCENARIO, "test"), Effort(time_limit_s=10, seed=1)).plan


def moved(plan, pool, replica, devices):
    """The plan with one replica on other devices."""
    placement = list(plan.placement)
    ranks = [i for i, p in enumerate(placement) if (p.pool, p.replica) == (pool, replica)]
    for index, device in zip(ranks, devices, strict=True):
        placement[index] = placement[index].model_copy(update={"device": device})
    return plan.model_copy(update={"placement": tuple(placement)})


def test_a_plan_is_the_same_as_itself(plan, tmp_path):
    plan.save(tmp_path / "a.json")
    ran = rackplan("diff", tmp_path / "a.json", tmp_path / "a.json")
    assert (ran.status, ran.out) == (0, "the plans are the same\n")
    assert difference(plan, plan).moved_bytes == 0


def test_a_moved_replica_is_told_with_the_bytes_that_it_loads(plan):
    (pool,) = plan.pools
    used = {p.device for p in plan.placement}
    spare = [f"rack0/host1/gpu{i}" for i in range(8) if f"rack0/host1/gpu{i}" not in used]
    size = pool.parallelism.shape().devices
    found = difference(plan, moved(plan, pool.name, 0, spare[:size]))
    (change,) = found.pools
    assert (change.kept, change.moved, change.started, change.stopped) == (pool.replicas - 1, 1, 0, 0)
    assert found.moved_bytes == size * pool.memory.weights_bytes
    assert found.taken == tuple(spare[:size])
    assert len(found.freed) == size
    assert found.figures == ()


def test_numbering_the_replicas_otherwise_moves_nothing(plan):
    (pool,) = plan.pools
    assert pool.replicas > 1
    last = pool.replicas - 1
    swapped = tuple(p.model_copy(update={"replica": last - p.replica}) for p in plan.placement)
    found = difference(plan, plan.model_copy(update={"placement": swapped}))
    assert found.moved_bytes == 0
    assert found.pools[0].kept == pool.replicas


def test_cost_promises_and_scenario_are_told(plan, tmp_path):
    scenario = Scenario.from_mapping(
        SCENARIO | {"billing": "domain", "slo": {"ttft_p95": "2s", "tpot_p95": "12ms"}}, "b"
    )
    slower = scenario.traffic.classes[0].model_copy(update={"requests_per_s": 1000 / 17})
    scenario = scenario.model_copy(update={"traffic": scenario.traffic.model_copy(update={"classes": (slower,)})})
    other = solve_scenario(scenario, Effort(time_limit_s=10, seed=1)).plan
    plan.save(tmp_path / "a.json")
    other.save(tmp_path / "b.json")
    ran = rackplan("diff", tmp_path / "a.json", tmp_path / "b.json")
    assert ran.status == 0
    assert "scenario.slo.tpot_p95_s: 0.04 -> 0.012" in ran.out
    assert "scenario.traffic.classes.0.requests_per_s: 60.0 -> 58.8235\n" in ran.out
    assert "tpot_p95_s: " in ran.out
    told = json.loads(rackplan("diff", tmp_path / "a.json", tmp_path / "b.json", "--json").out)
    assert told["same"] is False
    figures = {figure["name"]: figure for figure in told["figures"]}
    assert figures["tpot_p95_s"]["after"] <= 0.012
    assert figures["tpot_p95_s"]["change"] < 0


def test_pools_that_come_and_go(plan):
    (pool,) = plan.pools
    renamed = pool.model_copy(update={"name": "extra", "role": "prefill"})
    more = plan.model_copy(update={"pools": (pool, renamed)})
    assert [p.after for p in difference(plan, more).pools] == [pool.name, "extra"]
    gone = difference(more, plan).pools[-1]
    assert (gone.before, gone.after, gone.stopped) == ("extra", None, pool.replicas)


def test_what_is_no_plan_is_bad_input(plan, tmp_path):
    plan.save(tmp_path / "a.json")
    ran = rackplan("diff", tmp_path / "a.json", tmp_path / "missing.json")
    assert ran.status == 2
    assert "missing.json: cannot be read" in ran.error
