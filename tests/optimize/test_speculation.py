"""Draft tokens: how many are drafted is decided with the layout, and what they cost in time and memory is paid."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from solver import BadInput, Scenario
from solver.check import check
from solver.optimize.arithmetic.run import Effort
from solver.optimize.solve import solve_scenario
from solver.plan import Plan
from solver.workload.scenario import Speculation

ACCEPTANCE = (0.85, 0.7, 0.55)


@cache
def plan(drafts: int | str | None, acceptance: tuple[float, ...] = ACCEPTANCE) -> Plan:
    content: dict[str, Any] = {
        "llm": {"config": "deepseek-v3"},
        "cluster": {"builder": "hgx", "nodes": 2, "device": "h200"},
        "traffic": {"classes": [{"name": "chat", "prompt_tokens": 2000, "output_tokens": 500, "requests_per_s": 1}]},
        "slo": {"ttft_p95": "2s", "tpot_p95": "25ms"},
        "objective": "throughput",
        "engine": "sglang",
        "options": {"disaggregate": False},
    }
    if drafts is not None:
        content["speculation"] = {"draft_tokens": drafts, "acceptance": list(acceptance)}
    found = solve_scenario(Scenario.from_mapping(content, "test"), Effort(seed=1)).plan
    check(found)
    return found


def test_tokens_of_a_step_by_hand() -> None:
    assert Speculation(acceptance=ACCEPTANCE).accepted(0) == 1
    assert Speculation(acceptance=ACCEPTANCE).accepted(3) == pytest.approx(1 + 0.85 + 0.85 * 0.7 + 0.85 * 0.7 * 0.55)


def test_the_program_chooses_no_worse_than_any_fixed_number() -> None:
    best = plan("auto").objective.usd_per_million_output_tokens
    for drafts in range(4):
        assert best <= plan(drafts).objective.usd_per_million_output_tokens * 1.01


def test_good_drafts_are_used_and_useless_ones_are_not() -> None:
    assert max(pool.draft_tokens for pool in plan("auto").pools) > 0
    assert max(pool.draft_tokens for pool in plan("auto", (0.01, 0.01)).pools) == 0
    assert plan(0).objective == plan(None).objective


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(BadInput, match="acceptance"):
        plan(5)
    content = {"llm": {"config": "llama-3.1-8b"}, "cluster": {"builder": "hgx", "nodes": 1, "device": "h100"},
               "traffic": {"classes": [{"name": "a", "prompt_tokens": 10, "output_tokens": 10, "requests_per_s": 1}]},
               "speculation": {"acceptance": [0.8]}}  # fmt: skip
    with pytest.raises(BadInput, match="no multi-token-prediction layers"):
        solve_scenario(Scenario.from_mapping(content, "test"))
