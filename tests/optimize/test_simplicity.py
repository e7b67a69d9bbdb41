"""A simpler plan says what it costs and why it was chosen; bound and status stay those of the cheapest."""

from __future__ import annotations

from typing import Any

import pytest

from solver.check import violations
from solver.optimize.arithmetic.run import Effort
from solver.optimize.solve import solve_scenario
from solver.plan import Plan
from solver.workload import Scenario

MIXED: dict[str, Any] = {
    "llm": {"config": "llama-3.1-8b"},
    "cluster": {
        "join": [
            {"builder": "hgx", "nodes": 1, "device": "h100", "devices_per_host": 2},
            {"builder": "hgx", "nodes": 1, "device": "h200", "devices_per_host": 1},
        ]
    },
    "traffic": {"classes": [{"name": "chat", "prompt_tokens": 2000, "output_tokens": 200, "requests_per_s": 1.0}]},
    "slo": {"ttft_p95": "1s", "tpot_p95": "40ms"},
    "objective": "throughput",
}


def solved(simplicity: float) -> Plan:
    options = {"disaggregate": False, "simplicity": simplicity}
    return solve_scenario(Scenario.from_mapping(MIXED | {"options": options}, "test"), Effort(seed=1)).plan


def test_one_kind_of_replica_in_place_of_two() -> None:
    cheapest, simple = solved(0.0), solved(0.9)
    assert len(cheapest.pools) == 2
    assert cheapest.objective.simplicity_cost == 0
    assert cheapest.objective.least == cheapest.objective.usd_per_million_output_tokens
    assert len(simple.pools) == 1
    o = simple.objective
    assert o.least == pytest.approx(cheapest.objective.least)
    assert o.bound == pytest.approx(cheapest.objective.bound)
    assert o.simplicity_cost == pytest.approx(o.usd_per_million_output_tokens / o.least - 1)
    assert 0.1 < o.simplicity_cost <= 0.9
    assert o.gap > 0.1
    assert (simple.status, cheapest.status) == ("optimal", "optimal")
    (told,) = [b.because for b in simple.binding if b.rule == "simplicity"]
    assert "within 90 %" in told
    assert "1 instead of 2 shapes of replicas" in told
    assert not violations(simple)


def test_what_no_run_supports_is_said_where_nothing_does_without() -> None:
    """Both devices of a host in two stages are all that fits."""
    content = MIXED | {
        "llm": {"config": "llama-3.1-70b"},
        "cluster": {"builder": "hgx", "nodes": 1, "device": "h200", "devices_per_host": 2},
        "constraints": {"forbid": ["tp"], "roles": ["unified"]},
        "slo": {"ttft_p95": "10s", "tpot_p95": "100ms"},
    }
    plan = solve_scenario(Scenario.from_mapping(content, "test"), Effort(seed=1)).plan
    (told,) = [b.because for b in plan.binding if b.rule == "evidence"]
    assert "pipelined serving, which no measured run had" in told
