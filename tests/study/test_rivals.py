"""What a run is worth to the choice between a plan and its rivals."""

from __future__ import annotations

import pytest

from solver import Scenario
from solver.check.evidence import Evidence
from solver.cost.instance import Instance
from solver.cost.surprises import DRAWS
from solver.optimize.arithmetic.run import Effort
from solver.optimize.solve import solve_scenario
from solver.plan import Plan
from solver.study.bench import bench
from solver.study.measure import load_tests
from solver.study.rivals import Decision, rivals


@pytest.fixture(scope="module")
def plan() -> Plan:
    content = {
        "llm": {"config": "llama-3.1-8b"},
        "cluster": {"builder": "hgx", "nodes": 2, "device": "h100"},
        "traffic": {"classes": [{"name": "chat", "prompt_tokens": 1000, "output_tokens": 200, "requests_per_s": 60}]},
        "slo": {"ttft_p95": "2s", "tpot_p95": "12ms"},
        "billing": "device",
        "constraints": {"forbid": ["pp"], "max_tp": 2, "roles": ["prefill", "decode"]},
    }
    found = solve_scenario(Scenario.from_mapping(content, "test"), Effort(workers=1, seed=1), alternatives=1).plan
    assert found.alternatives
    return found


def test_runs_come_by_the_fall_of_regret_for_each_device_hour(plan: Plan) -> None:
    decision = Decision.of(rivals(plan, Instance.of(plan.scenario)))
    assert sum(each.best for each in decision.odds) == pytest.approx(1)
    assert decision.regret == pytest.approx(min(each.regret for each in decision.odds))
    assert decision.regret > 0
    tests = load_tests(plan)
    assert {test.plan for test in tests} == {0, 1}
    assert [test.worth for test in tests] == sorted((test.worth for test in tests), reverse=True)
    for test in tests:
        assert test.fall is not None
        assert 0 <= test.fall <= decision.regret
        assert test.worth == test.fall / test.device_hours
    assert max(test.fall or 0.0 for test in tests) > 0
    files = bench(plan, tests).files
    assert all(any(name.startswith(f"{n}-") and name.endswith("up.sh") for name in files) for n in range(1, len(tests) + 1))


def test_odds_are_those_of_counting_draw_by_draw(plan: Plan) -> None:
    instance = Instance.of(plan.scenario)
    known = rivals(plan, instance)
    # What costs more in every draw, and the plan once more.
    dear = {"usd_per_million_output_tokens": 1.01 * plan.objective.usd_per_million_output_tokens}
    dearer = plan.model_copy(update={"objective": plan.objective.model_copy(update=dear)})
    plans = [*known, Evidence(plan, instance), Evidence(dearer, instance)]
    costs = [each.plan.objective.usd_per_million_output_tokens / each.worlds.served for each in plans]
    best, regret = [0.0] * len(plans), [0.0] * len(plans)
    for draw in range(DRAWS):
        here = [float(cost[draw]) for cost in costs]
        cheapest = [n for n, cost in enumerate(here) if cost == min(here)]
        for n in cheapest:
            best[n] += 1 / len(cheapest) / DRAWS
        for n, cost in enumerate(here):
            regret[n] += (cost - min(here)) / DRAWS / plan.objective.usd_per_million_output_tokens
    found = Decision.of(plans).odds
    assert [each.best for each in found] == pytest.approx(best)
    assert [each.regret for each in found] == pytest.approx(regret)
    assert found[0] == found[-2]
    assert found[-1].best == 0
    assert found[-1].regret > found[0].regret


def test_without_rivals_there_is_nothing_to_choose(plan: Plan) -> None:
    alone = plan.model_copy(update={"alternatives": ()})
    assert all(test.fall is None for test in load_tests(alone))
    decision = Decision.of(rivals(alone, Instance.of(alone.scenario)))
    assert decision.regret == 0
    assert decision.fall("h100", plan.pools[0].setup()) == 0
