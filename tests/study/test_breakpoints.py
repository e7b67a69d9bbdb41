"""Breakpoints against a cost that is known: where it falls, where it does not, and what is said when time runs out."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from solver import Scenario
from solver.optimize.arithmetic.run import Effort
from solver.optimize.assembly.outcome import Outcome
from solver.optimize.solve import solve_scenario
from solver.plan import Plan
from solver.study.breakpoints import NARROW, Axis, Budget, axes, breakpoint_of

CONTENT: dict[str, Any] = {
    "llm": {"config": "llama-3.1-8b"},
    "cluster": {"builder": "hgx", "nodes": 1, "device": "h100", "devices_per_host": 4},
    "traffic": {"classes": [{"name": "chat", "prompt_tokens": 1000, "output_tokens": 200, "requests_per_s": 4}]},
    "slo": {"ttft_p95": "500ms", "tpot_p95": "8ms"},
    "billing": "device",
    "options": {"disaggregate": False},
}


@cache
def plan() -> Plan:
    return solve_scenario(Scenario.from_mapping(CONTENT, "test"), Effort(time_limit_s=60, seed=0)).plan


def at_cost(usd: float) -> Outcome:
    objective = plan().objective.model_copy(update={"usd_per_hour": usd, "gap": 0.0})
    return Outcome("optimal", plan().model_copy(update={"objective": objective}))


def budget(cost: Any) -> Budget:
    """Solves that take no time: ``cost`` of a scenario's TTFT promise and requests/s, None where no plan exists."""

    def solve(scenario: Scenario, effort: Effort) -> Outcome:
        found = cost(scenario.slo.ttft_p95_s, scenario.traffic.classes[0].requests_per_s)
        return Outcome("infeasible", None, "none") if found is None else at_cost(found)

    return Budget(Effort(time_limit_s=60), solve)


def axis(what: str) -> Axis:
    return next(each for each in axes(plan()) if each.what == what)


@pytest.mark.parametrize("fall", [0.55, 0.9, 1.7])
def test_a_fall_of_the_cost_is_found_where_it_is(fall: float) -> None:
    usd = plan().objective.usd_per_hour
    found = breakpoint_of(plan(), axis("TTFT p95"), budget(lambda ttft, _: usd / 2 if ttft >= fall else usd))
    assert found is not None
    assert found.low * 0.5 < fall <= found.high * 0.5 * (1 + 1e-9)
    assert found.high <= found.low * NARROW
    assert found.saving == pytest.approx(0.5)
    assert found.sentence().startswith("Cheaper from TTFT p95 at ")


def test_a_promise_that_is_worth_nothing_is_said_to_be() -> None:
    usd = plan().objective.usd_per_hour
    found = breakpoint_of(plan(), axis("TTFT p95"), budget(lambda *_: usd))
    assert found is not None
    assert found.after is None
    assert found.sentence() == "No looser TTFT p95 up to 2 s changes the cost."


def test_more_load_needs_more_or_does_not_fit() -> None:
    usd = plan().objective.usd_per_hour
    dearer = breakpoint_of(plan(), axis("requests/s"), budget(lambda _, load: usd * (2 if load > 6 else 1)))
    full = breakpoint_of(plan(), axis("requests/s"), budget(lambda _, load: None if load > 6 else usd))
    assert dearer is not None
    assert full is not None
    assert dearer.low * 4 <= 6 <= dearer.high * 4
    assert dearer.sentence().startswith("Dearer from requests/s at ")
    assert "this cluster is full" in full.sentence()


def test_what_the_time_does_not_reach_is_left_open() -> None:
    usd = plan().objective.usd_per_hour
    asked: list[float] = []

    def solve(scenario: Scenario, effort: Effort) -> Outcome:
        asked.append(scenario.slo.ttft_p95_s or 0)
        return Outcome("unknown", None) if len(asked) > 3 else at_cost(usd / 2 if asked[-1] > 0.9 else usd)

    found = breakpoint_of(plan(), axis("TTFT p95"), Budget(Effort(time_limit_s=60), solve))
    assert found is not None
    assert found.high > found.low * NARROW
    assert " between " in found.sentence()
    assert breakpoint_of(plan(), axis("TTFT p95"), Budget(Effort(time_limit_s=0.0), solve)) is None


def test_a_real_promise() -> None:
    """A looser TPOT needs fewer devices or none fewer; the far end is not dearer."""
    found = breakpoint_of(plan(), replace(axis("TPOT p95"), most=2.0), Budget(Effort(time_limit_s=120)))
    assert found is not None
    assert found.saving >= 0
