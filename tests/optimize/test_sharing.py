"""Classes with promises of their own share pools where that is cheaper, each judged by its own promise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest

from solver.check import violations
from solver.cost.instance import MOST_RUNS, Instance
from solver.optimize.arithmetic.run import Effort
from solver.optimize.solve import solve_scenario
from solver.plan import Plan
from solver.workload import Scenario

EFFORT = Effort(time_limit_s=120, seed=0)
TOGETHER = {"disaggregate": False}
STRICT, LOOSE = {"ttft_p95": "400ms", "tpot_p95": "12ms"}, {"ttft_p95": "20s", "tpot_p95": "200ms"}


def scenario(classes: Sequence[dict[str, Any]], **more: Any) -> Scenario:
    content: dict[str, Any] = {
        "llm": {"config": "llama-3.1-8b"},
        "cluster": {"builder": "hgx", "nodes": 1, "device": "h100"},
        "traffic": {"classes": [{"name": f"class-{n}", **c} for n, c in enumerate(classes)]},
        "slo": LOOSE,
        "billing": "device",
        "engine": "vllm",
    }
    return Scenario.from_mapping(content | more, "test")


def chat(rate: float, slo: dict[str, str] | None = None, prompt: int = 500, output: int = 200) -> dict[str, Any]:
    asked = {"prompt_tokens": prompt, "output_tokens": output, "requests_per_s": rate}
    return asked | ({"slo": slo} if slo else {})


def pools_of(plan: Plan) -> set[tuple[str, ...]]:
    return {pool.serves for pool in plan.pools}


def test_three_promises_share_a_device_that_keeps_the_strictest() -> None:
    three = scenario([chat(1, STRICT), chat(1, {"ttft_p95": "2s", "tpot_p95": "60ms"}), chat(1)], options=TOGETHER)
    plan = solve_scenario(three, EFFORT).plan
    assert plan.devices == 1
    assert pools_of(plan) == {("class-0", "class-1", "class-2")}
    assert violations(plan) == []
    assert plan.objective.gap == pytest.approx(0, abs=1e-9)


def test_promises_that_hinder_each_other_have_their_own_pools() -> None:
    """Prompts of 30,000 tokens would make everybody run at the pace that the few in a hurry were promised."""
    hurried, patient = chat(2, {"ttft_p95": "300ms", "tpot_p95": "9ms"}), chat(3, prompt=30_000, output=300)
    plan = solve_scenario(scenario([hurried, patient], options=TOGETHER), EFFORT).plan
    assert pools_of(plan) == {("class-0",), ("class-1",)}
    alike = scenario([hurried, chat(3, hurried["slo"], 30_000, 300)], options=TOGETHER)
    together = solve_scenario(alike, EFFORT).found
    assert together is None or together.objective.usd_per_hour > plan.objective.usd_per_hour


@pytest.mark.parametrize("objective", ["cost", "throughput"])
def test_no_way_to_share_is_better_than_the_plan(objective: str) -> None:
    """Each way by itself, by the rent of its own search: the plan is the best, its bound below all of theirs."""
    from solver.optimize.feedback import Search

    asked = scenario([chat(30, STRICT), chat(40)], objective=objective)
    whole = Instance.of(asked)
    plan = solve_scenario(asked, EFFORT).plan
    costs = []
    for sharing in whole.sharings():
        found = Search(whole.shared(sharing), "vllm", EFFORT).least().result
        assert isinstance(found, Plan)
        costs.append(found.objective.usd_per_million_output_tokens)
    assert len(costs) == 2
    assert plan.objective.least == pytest.approx(min(costs))
    assert plan.objective.bound <= min(costs) * (1 + 1e-9)


def test_the_witness_judges_each_class_by_its_own_promise() -> None:
    """A shared pool whose strict class is too slow is rejected, and one whose patient class is as slow is not."""
    plan = solve_scenario(scenario([chat(20, STRICT), chat(20)]), EFFORT).plan
    assert pools_of(plan) == {("class-0", "class-1")}
    slower = plan.prediction.classes["class-0"].tpot_p95_s * 0.9
    strict, patient = plan.scenario.traffic.classes

    def promised(first: float | None, second: float | None) -> list[str]:
        classes = tuple(
            c.model_copy(update={"slo": plan.scenario.slo.model_copy(update={"tpot_p95_s": limit})})
            for c, limit in ((strict, first), (patient, second))
        )
        traffic = plan.scenario.traffic.model_copy(update={"classes": classes})
        return violations(plan.model_copy(update={"scenario": plan.scenario.model_copy(update={"traffic": traffic})}))

    assert any("TPOT p95" in each and "class 'class-0'" in each for each in promised(slower, 1.0))
    assert not any("TPOT p95" in each for each in promised(1.0, 2.0))


def test_a_pool_that_serves_half_a_promise_is_rejected() -> None:
    plan = solve_scenario(scenario([chat(5), chat(5), chat(5, STRICT)]), EFFORT).plan
    shared = plan.pools[0]
    forged = plan.model_copy(update={"pools": (shared.model_copy(update={"serves": ("class-0", "class-2")}), *plan.pools[1:])})
    assert violations(forged)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_every_way_of_few_promises_is_tried(count: int) -> None:
    """Bell's numbers, each way a partition, all together first and each alone last."""
    slos = [{"ttft_p95": f"{n + 1}s", "tpot_p95": "50ms"} for n in range(count)]
    found = list(Instance.of(scenario([chat(1, slo) for slo in slos])).sharings())
    assert len(found) == len(set(found)) == (1, 2, 5, 15)[count - 1]
    assert found[0] == (tuple(range(count)),)
    assert found[-1] == tuple((n,) for n in range(count))
    assert all(sorted(n for part in way for n in part) == list(range(count)) for way in found)


def test_of_many_promises_neighbours_by_strictness_share() -> None:
    slos = [{"ttft_p95": "2s", "tpot_p95": f"{limit}ms"} for limit in (40, 10, 60, 20, 50, 30)]
    found = list(Instance.of(scenario([chat(1, slo) for slo in slos])).sharings())
    assert len(found) == len(set(found)) == sum(math.comb(5, cuts) for cuts in range(MOST_RUNS)) + 1
    rank = [3, 0, 5, 1, 4, 2]
    for way in found:
        for part in way:
            ranks = sorted(rank[n] for n in part)
            assert all(b - a == 1 for a, b in pairwise(ranks))


def test_classes_of_a_shared_pool_are_in_the_order_of_the_scenario() -> None:
    """Promises are numbered by first appearance; classes of both are interleaved."""
    whole = Instance.of(scenario([chat(1), chat(1, STRICT), chat(1)]))
    shared = whole.shared_as([("class-0", "class-1", "class-2")])
    assert [c.name for c in shared.groups[0].classes] == ["class-0", "class-1", "class-2"]
    assert [slo.tpot_p95_s for slo in shared.groups[0].slos] == [0.2, 0.012, 0.2]
    assert whole.shared_as([("class-1",)]).groups == whole.groups
