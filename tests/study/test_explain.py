"""``rackplan explain``: prices of promises and hardware by re-solving, in sentences."""

from __future__ import annotations

import re
from functools import cache

from solver import Scenario
from solver.optimize.arithmetic.run import Effort
from solver.optimize.solve import solve_scenario
from solver.study.explain import Explanation, explain

CONTENT = {
    "llm": {"config": "llama-3.1-8b"},
    "cluster": {"builder": "hgx", "nodes": 1, "device": "h100", "devices_per_host": 2},
    "traffic": {"classes": [{"name": "chat", "prompt_tokens": 1000, "output_tokens": 200, "requests_per_s": 1}]},
    "slo": {"ttft_p95": "500ms", "tpot_p95": "8ms"},
    "objective": "throughput",
    "billing": "device",
    "options": {"disaggregate": False},
}


@cache
def found() -> Explanation:
    effort = Effort(time_limit_s=300, seed=1)
    return explain(solve_scenario(Scenario.from_mapping(CONTENT, "test"), effort).plan, effort)


def test_cheaper_devices_are_worth_what_they_are_cheaper() -> None:
    worth = {w.change.what: w for w in found().worths}
    assert abs(worth["10 % cheaper h100"].saving - 0.1) < 0.012
    assert set(worth) >= {
        "10 % more HBM per device",
        "10 % more HBM bandwidth",
        "one more node",
    }


def test_better_hardware_never_surely_costs_more() -> None:
    for worth in found().worths:
        if worth.change.what != "one more node":
            assert worth.saving > 0 or not worth.sure, worth


def test_the_largest_saving_comes_first_and_every_line_is_a_sentence() -> None:
    savings = [worth.saving for worth in found().worths]
    assert savings == sorted(savings, reverse=True)
    for worth in found().worths:
        assert re.fullmatch(r"[A-Z1-9].*\.", worth.sentence()), worth.sentence()
    assert "_" not in str(found())
    assert found().runner_up.endswith(".")
