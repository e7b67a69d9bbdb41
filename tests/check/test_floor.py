"""The waterfall from the floor to a plan's cost: it adds up, and its floor is the arithmetic of the data sheet."""

from __future__ import annotations

import pytest

from solver import Scenario
from solver.check.floor import CostFloor, cost_floor
from solver.optimize.solve import solve_scenario
from solver.plan import Plan

CONTENT = {
    "llm": {"config": "llama-3.1-8b"},
    "cluster": {"builder": "hgx", "nodes": 1, "device": "h100"},
    "traffic": {"classes": [{"name": "chat", "prompt_tokens": 1000, "output_tokens": 200, "requests_per_s": 20}]},
    "slo": {"ttft_p95": "1s", "tpot_p95": "12ms"},
    "constraints": {"roles": ["prefill", "decode"]},
}


#: The same traffic without a hurry, served together by few sequences at a time.
TOGETHER = CONTENT | {
    "traffic": {"classes": [{"name": "chat", "prompt_tokens": 1000, "output_tokens": 200, "requests_per_s": 2}]},
    "constraints": {"roles": ["unified"]},
}


@pytest.fixture(scope="module", params=["vllm", "ideal"])
def priced(request: pytest.FixtureRequest) -> tuple[Plan, CostFloor]:
    plan = solve_scenario(Scenario.from_mapping(CONTENT | {"engine": request.param}, "test")).plan
    return plan, cost_floor(plan)


def test_parts_add_up_to_the_cost_and_to_every_step(priced: tuple[Plan, CostFloor]) -> None:
    plan, found = priced
    assert found.cost == pytest.approx(plan.objective.usd_per_million_output_tokens, rel=1e-9)
    for pool in plan.pools:
        assert sum(found.steps[pool.name].values()) == pytest.approx(pool.step_s, rel=1e-6)
        rent = plan.objective.usd_per_hour / 8 * pool.devices
        tokens_per_hour = plan.prediction.output_tokens_per_s * 3600
        assert sum(found.by_pool[pool.name].values()) == pytest.approx(rent / tokens_per_hour * 1e6, rel=1e-6)


def test_floor_is_two_flop_per_parameter_and_token_at_the_peak(priced: tuple[Plan, CostFloor]) -> None:
    """7.5 B parameters beside the embedding, 1,000 prompt tokens without the head for 200 of output, 989 TFLOP/s."""
    plan, found = priced
    usd_per_s = plan.objective.usd_per_hour / 8 / 3600
    prompt, output = 2 * 6.98e9 * 1000 / 200, 2 * 7.50e9
    assert found.floor == pytest.approx((prompt + output) / 989e12 * usd_per_s * 1e6, rel=0.02)


def test_the_floor_of_a_small_unified_batch_is_the_same_arithmetic() -> None:
    plan = solve_scenario(Scenario.from_mapping(TOGETHER, "test")).plan
    found = cost_floor(plan)
    usd_per_s = plan.objective.usd_per_hour / 8 / 3600
    flop = 2 * 6.98e9 * 1000 / 200 + 2 * 7.50e9
    assert plan.pools[0].batch_per_rank < 2
    assert found.floor == pytest.approx(flop / 989e12 * usd_per_s * 1e6, rel=0.02)
    assert all(part >= -1e-12 for part in found.parts.values())


def test_what_is_not_there_costs_nothing(priced: tuple[Plan, CostFloor]) -> None:
    plan, found = priced
    idle = 1 - plan.devices / 8
    assert found.parts["whole hosts"] / found.cost == pytest.approx(idle, abs=1e-9)
    if plan.pools[0].engine == "ideal":
        measured = ("GEMM kernels", "attention kernels", "uneven experts", "launches")
        assert sum(abs(found.parts[name]) for name in measured) < 1e-9 * found.cost
    else:
        assert all(part >= -1e-12 for part in found.parts.values())
        assert min(found.parts[name] for name in ("GEMM kernels", "attention kernels", "launches")) > 0
        assert found.parts["uneven experts"] == pytest.approx(0, abs=1e-12), "a dense LLM has no experts"


def test_sentences_name_the_largest_cause(priced: tuple[Plan, CostFloor]) -> None:
    lines = priced[1].lines()
    assert lines[0].endswith("(arithmetic).")
    assert "times its floor" in lines[-1]
