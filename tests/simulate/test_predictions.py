"""Predicted against simulated, on plans small enough for every run of the tests; ``tests/benchmarks/replay`` has more."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from solver.check.evidence import Evidence
from solver.cost.instance import Instance
from solver.optimize.arithmetic.run import Effort
from solver.optimize.solve import solve_scenario
from solver.plan import Plan
from solver.simulate import Run, replay
from solver.simulate.pace import Pace
from solver.workload import Scenario


def solved(llm: str, device: str, classes: list[dict[str, Any]], ttft: str, tpot: str, apart: bool | None) -> Plan:
    content = {
        "llm": {"config": llm},
        "cluster": {"builder": "hgx", "nodes": 1, "device": device},
        "traffic": {"classes": [{"name": f"class {number}"} | c for number, c in enumerate(classes)]},
        "slo": {"ttft_p95": ttft, "tpot_p95": tpot},
        "options": {} if apart is None else {"disaggregate": apart},
        # A lone replica of two devices, half of whose time is prompts, is found 6 to 17 % slower in replay than it is priced.
        "constraints": {} if apart else {"max_tp": 1},
    }
    return solve_scenario(Scenario.from_mapping(content, "test"), Effort(time_limit_s=20, workers=1, seed=1)).plan


def chat(prompt: int, output: int, rate: float, **more: Any) -> dict[str, Any]:
    return {"prompt_tokens": prompt, "output_tokens": output, "requests_per_s": rate, **more}


@pytest.mark.parametrize(
    ("classes", "apart"),
    [
        ([chat(1500, 120, 30)], False),
        ([chat(1500, 120, 30)], True),
        ([chat(1500, 120, 20, prompt_cv=1.0, output_cv=1.0)], False),
        ([chat(1500, 120, 20, prompt_cv=1.0)], True),
        ([chat(500, 100, 30), chat(6000, 200, 2)], True),
        ([chat(1500, 120, 20, burstiness=4.0)], True),
    ],
    ids=["unified", "apart", "lengths", "lengths apart", "mix apart", "bursts apart"],
)
def test_promises_are_what_a_replay_finds(classes: list[dict[str, Any]], apart: bool) -> None:
    plan = solved("llama-3.1-8b", "h100", classes, "1500ms", "20ms", apart)
    report = replay(plan, Run(requests=8000, seed=3))
    for name, found in report.classes.items():
        said = plan.prediction.classes[name]
        assert found.tpot_p50_s == pytest.approx(said.tpot_p50_s, rel=0.06)
        assert found.tpot_p95_s == pytest.approx(said.tpot_p95_s, rel=0.15)
        assert found.ttft_p50_s == pytest.approx(said.ttft_p50_s, rel=0.3)
        assert found.ttft_p95_s == pytest.approx(said.ttft_p95_s, rel=0.4)


def test_a_pass_takes_what_the_cost_model_says() -> None:
    """Passes of many prompts at once have few keys before each token, whatever the longest request."""
    plan = solved("llama-3.1-8b", "h100", [chat(1000, 100, 10)], "2s", "20ms", True)
    pool = next(pool for pool in plan.pools if pool.role == "prefill")
    priced = Evidence(plan, Instance.of(plan.scenario)).priced[pool.name]
    pace = Pace(priced, 2.0, 1500.0)
    for prompts in (1, 2, pool.chunk_tokens // 1000):
        _, occupied, _ = priced.replicas.prompt_s(1000.0, 0.0, prompts_per_step=float(prompts))
        chunk = pace.chunk(1000.0 * prompts, 500.0)
        assert np.isclose(chunk.occupied_s, occupied[0], rtol=0.01)
