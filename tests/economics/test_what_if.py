"""What-if over hardware: every case is a cluster that can be solved, and better hardware is never dearer."""

from __future__ import annotations

import itertools

import pytest

from solver.errors import BadInput
from solver.optimize.arithmetic.run import Effort
from solver.study.what_if import Case, Hardware, domains, fabric_ratios, what_if
from solver.workload import Scenario

SCENARIO = Scenario.from_mapping(
    {
        "llm": {"config": "gpt-oss-120b"},
        "cluster": {"builder": "hgx", "nodes": 1, "device": "h200"},
        "traffic": {"classes": [{"name": "chat", "prompt_tokens": 2000, "output_tokens": 500, "requests_per_s": 5}]},
        "slo": {"ttft_p95": "2s", "tpot_p95": "20ms"},
        "constraints": {"roles": ["unified"], "forbid": ["pp"], "max_tp": 2},
        "engine": "vllm",
    },
    "what-if",
)


def solved(hardware: list[Hardware]) -> list[Case]:
    return list(what_if(SCENARIO, hardware, Effort(workers=1)))


def test_larger_domains_never_cost_more() -> None:
    cases = solved(domains("gb200", 8, (4, 8)))
    costs = [case.usd for case in cases]
    assert all(cost is not None for cost in costs)
    for small, large in itertools.pairwise(cases):
        assert large.plan is not None
        assert small.plan is not None
        assert large.plan.objective.bound <= (small.usd or 0) * (1 + 1e-9)
    assert cases[-1].domains_crossed == 1


def test_more_memory_and_faster_fabrics_never_cost_more() -> None:
    memory = [Hardware("gb200", 8, 4, hbm_bytes=size) for size in (60e9, 288e9)]
    for better in (fabric_ratios("gb200", 8, 4, (18, 2)), memory):
        worse_case, better_case = solved(better)
        assert better_case.plan is not None
        assert worse_case.plan is None or better_case.plan.objective.bound <= (worse_case.usd or 0) * (1 + 1e-9)


def test_domains_are_whole_hosts() -> None:
    with pytest.raises(BadInput, match="divide the devices"):
        Hardware("gb200", 72, 7).cluster()
