"""An engine left open: one plan for each, and a word of doubt where they were not measured side by side."""

from __future__ import annotations

from functools import cache

from solver import Scenario
from solver.check import check
from solver.optimize.arithmetic.run import Effort
from solver.optimize.assembly.outcome import Outcome
from solver.optimize.solve import solve_scenario


@cache
def outcome() -> Outcome:
    content = {
        "llm": {"config": "llama-3.1-70b-fp8"},
        "cluster": {"builder": "hgx", "nodes": 1, "device": "h200", "devices_per_host": 4},
        "traffic": {"classes": [{"name": "chat", "prompt_tokens": 1000, "output_tokens": 200, "requests_per_s": 4}]},
        "slo": {"ttft_p95": "3s", "tpot_p95": "60ms"},
        "engine": "auto",
        "billing": "device",
    }
    return solve_scenario(Scenario.from_mapping(content, "test"), Effort(seed=1))


def test_every_engine_has_a_plan_and_the_cheapest_is_taken() -> None:
    check(outcome().plan)
    costs = {engine: plan.objective.usd_per_million_output_tokens for engine, plan in outcome().by_engine}
    assert set(costs) == {"vllm", "sglang", "trtllm"}
    assert outcome().plan.objective.usd_per_million_output_tokens == min(costs.values())
    assert all(f"on {engine}: " in str(outcome()) for engine in costs)


def test_engines_that_were_not_measured_are_ranked_with_doubt() -> None:
    (note,) = (text for text in outcome().plan.prediction.extrapolated if text.startswith("the engines are ranked"))
    assert "sglang was not measured with llama-3.1-70b-fp8 on h200" in note
    assert "vllm was not" not in note
