"""How long requests wait: what of the time to first token they would not take alone."""

from __future__ import annotations

import pytest

from solver.optimize.arithmetic.run import Effort
from solver.optimize.solve import solve_scenario
from solver.plan import Plan
from solver.simulate import Run, replay
from solver.workload import Scenario


@pytest.fixture(scope="module")
def plan() -> Plan:
    content = {
        "llm": {"config": "llama-3.1-8b"},
        "cluster": {"builder": "hgx", "nodes": 1, "device": "h100"},
        "traffic": {"classes": [{"name": "chat", "prompt_tokens": 1000, "output_tokens": 200, "requests_per_s": 40}]},
        "slo": {"ttft_p95": "1s", "tpot_p95": "20ms"},
        "constraints": {"roles": ["unified"], "forbid": ["pp"]},
    }
    return solve_scenario(Scenario.from_mapping(content, "test"), Effort(workers=1, seed=1)).plan


def test_an_idle_server_is_boarded_at_once(plan: Plan) -> None:
    """Where hardly anybody comes, the wait is a small part of the time to first token."""
    seen = replay(plan, Run(requests=400, seed=1, rate=0.02)).overall
    assert seen.wait_p50_s < 0.2 * seen.ttft_p50_s


def test_the_wait_is_part_of_the_first_token_and_grows_with_the_load(plan: Plan) -> None:
    light, full = (replay(plan, Run(requests=3000, seed=1, rate=rate)).overall for rate in (0.3, 1.0))
    for seen in (light, full):
        assert 0 <= seen.wait_p50_s <= seen.wait_p95_s <= seen.ttft_p95_s
    assert full.wait_p50_s > light.wait_p50_s
