"""What pools that are refused reach: within the promises, or without any."""

from __future__ import annotations

import re

import pytest

from solver.optimize.arithmetic.run import Effort
from solver.optimize.solve import solve_scenario
from solver.study.why_not import why_not
from solver.workload import Scenario

EFFORT = Effort(time_limit_s=20, workers=1, seed=1)


def scenario(requests_per_s: float, tpot: str) -> Scenario:
    return Scenario.from_mapping(
        {
            "llm": {"config": "llama-3.1-8b"},
            "cluster": {"builder": "hgx", "nodes": 1, "device": "h100"},
            "traffic": {
                "classes": [
                    {"name": "chat", "prompt_tokens": 1000, "output_tokens": 200, "requests_per_s": requests_per_s}
                ]
            },
            "slo": {"ttft_p95": "2s", "tpot_p95": tpot},
            "options": {"disaggregate": False},
        },
        "test",
    )


@pytest.mark.parametrize(("tpot", "told"), [("30ms", "Within the promises"), ("3ms", "Without any promise")])
def test_what_is_refused_reaches_so_much(tpot: str, told: str) -> None:
    """The figure is what the whole cluster serves with these pools, which a solve for throughput finds as well."""
    asked = scenario(1000, tpot)
    verdict = why_not(asked, "unified tp4", EFFORT)
    assert verdict.usd_per_million_output_tokens is None
    said = verdict.reasons[-1]
    assert said.startswith(told)
    reached = float(re.findall(r"at most ([\d.]+) of the 1000 requests/s", said)[0])
    limits = {"pools": [{"role": "unified", "parallelism": {"tp": 4}}], "other_pools": False}
    content = asked.model_dump(mode="json", by_alias=True) | {"constraints": limits, "objective": "throughput"}
    content["slo"] = {} if told.startswith("Without") else content["slo"]
    alone = solve_scenario(Scenario.from_mapping(content, "test"), EFFORT).plan
    assert reached == pytest.approx(alone.prediction.requests_per_s, rel=1e-3)
