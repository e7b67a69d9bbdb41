"""Why there is no plan: rules of which none can be left out."""

from __future__ import annotations

from typing import Any

import pytest

from solver.optimize.arithmetic.run import Effort
from solver.optimize.solve import solve_scenario
from solver.workload import Scenario

SCENARIO: dict[str, Any] = {
    "llm": {"config": "llama-3.1-8b"},
    "cluster": {"builder": "hgx", "nodes": 1, "device": "h100", "devices_per_host": 2},
    "billing": "device",
    "options": {"disaggregate": False},
}


def rules(slo: dict[str, str], requests_per_s: float, **more: Any) -> list[str]:
    classes = [{"name": "chat", "prompt_tokens": 2000, "output_tokens": 200, "requests_per_s": requests_per_s}]
    content = SCENARIO | {"traffic": {"classes": classes}, "slo": slo} | more
    outcome = solve_scenario(Scenario.from_mapping(content, "test"), Effort(workers=1, time_limit_s=120))
    assert outcome.refusal is not None
    return [rule.split(" at ")[0] for rule in outcome.refusal.rules]


@pytest.mark.parametrize(
    ("slo", "requests_per_s", "more", "left"),
    [
        ({"ttft_p95": "2s", "tpot_p99": "50ms"}, 1e4, {}, ["at most 2 devices", "at least 1e+04 requests/s"]),
        ({"ttft_mean": "1ms", "tpot_p99": "50ms"}, 1.0, {}, ["at most 2 devices", "TTFT mean"]),
        (
            {"ttft_p95": "2s", "tpot_p50": "5ms"},
            1.0,
            {"constraints": {"max_tp": 1}},
            ["at most 2 devices", "TPOT p50", "constraints on max_tp"],
        ),
    ],
)
def test_rules_that_are_not_part_of_the_conflict_are_not_named(
    slo: dict[str, str], requests_per_s: float, more: dict[str, Any], left: list[str]
) -> None:
    assert rules(slo, requests_per_s, **more) == left


def test_notes_are_about_devices_in_use() -> None:
    kinds = ("h100", "h200")
    cluster = {"join": [{"builder": "hgx", "nodes": 1, "device": name, "devices_per_host": 2} for name in kinds]}
    classes = [{"name": "chat", "prompt_tokens": 1000, "output_tokens": 200, "requests_per_s": 2}]
    content = SCENARIO | {"cluster": cluster, "traffic": {"classes": classes}}
    for dear, cheap in (kinds, kinds[::-1]):
        scenario = Scenario.from_mapping(content | {"prices": {dear: 50.0, cheap: 1.0}}, "test")
        plan = solve_scenario(scenario, Effort(workers=1, seed=1)).plan
        assert {pool.device for pool in plan.pools} == {cheap}
        assert any(cheap in note for note in plan.prediction.extrapolated)
        assert not any(dear in note for note in plan.prediction.extrapolated)
