"""Rivals have the structure that they are named after, and their own cost and bound."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from solver import RequestClass, solve
from solver.check import attested, violations
from solver.check.evidence import Evidence
from solver.cost.instance import Instance
from solver.optimize.arithmetic.run import Deadline, Effort
from solver.optimize.assembly.outcome import Outcome
from solver.optimize.solve import solve_scenario
from solver.plan import Odds, Plan, Rival
from solver.plan.rivals import apart_or_together, odds, table
from solver.study.rivals import Decision
from solver.study.shortlist import structures, with_rivals
from solver.workload import Scenario

EFFORT = Effort(time_limit_s=60, seed=1)
SCENARIO: dict[str, Any] = {
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


@cache
def plan() -> Plan:
    return solve_scenario(Scenario.from_mapping(SCENARIO, "test"), EFFORT).plan


@cache
def alone(structure: str) -> Plan:
    return solve_scenario(dict(structures(plan()))[structure], EFFORT).plan


@cache
def with_two_rivals() -> Plan:
    return with_rivals(plan(), 2, EFFORT)


def test_every_rival_is_its_own_best_plan() -> None:
    found = with_two_rivals()
    assert len(found.rivals) == 2
    for rival in found.rivals:
        best = alone(rival.structure).objective
        assert rival.usd_per_million_output_tokens == best.usd_per_million_output_tokens
        assert rival.bound == best.bound
        assert rival.interval_80 == best.interval_80
        assert rival.bound >= found.objective.bound * (1 - 1e-9)
    assert not violations(found)
    assert any("2 rivals" in line for line in attested(found))


def test_odds_come_from_the_same_draws() -> None:
    found = with_two_rivals()
    told = [found.odds, *(rival.odds for rival in found.rivals)]
    plans = [plan(), *(alone(rival.structure) for rival in found.rivals)]
    assert told == Decision.of([Evidence(each, Instance.of(each.scenario)) for each in plans]).odds
    assert found.odds is not None
    assert f"cheapest of these in {found.odds.best:.0%}" in odds(found)
    twice = with_rivals(plan(), 1, EFFORT, solve=lambda *_: Outcome("optimal", plan()))
    assert twice.odds == twice.rivals[0].odds == Odds(best=0.5, regret=0.0)
    forged = found.model_copy(update={"odds": found.odds.model_copy(update={"best": found.odds.best / 2 + 0.01})})
    assert any("of the draws together" in line for line in violations(forged))


def test_python_asks_for_a_shortlist() -> None:
    chat = RequestClass("chat", prompt_tokens=1000, output_tokens=200, requests_per_s=5)
    two = {"builder": "hgx", "nodes": 1, "device": "h100", "devices_per_host": 2}
    found = solve("llama-3.1-8b", two, chat, seed=1, shortlist=1)
    assert [rival.structure for rival in found.plan.rivals] == ["apart"]


def test_restrictions_hold() -> None:
    names = [name for name, _ in structures(plan())]
    assert {"without h100", "without h200"} & set(names)
    for name in names:
        found = alone(name)
        kinds = {pool.device for pool in found.pools}
        roles = {pool.role for pool in found.pools}
        if name.startswith("without "):
            assert name.removeprefix("without ") not in kinds
        if name in ("apart", "together"):
            assert roles == ({"unified"} if name == "together" else {"prefill", "decode"})


def test_what_there_was_no_time_for_is_said() -> None:
    late = Effort(time_limit_s=60, clock=Deadline(0.0))
    found = with_rivals(plan(), 2, late)
    assert {rival.status for rival in found.rivals} == {"unknown"}
    assert all("no plan found in time" in row for row in list(table(found))[1:])
    assert (found.odds, odds(found)) == (None, "")


@pytest.mark.parametrize(
    ("times", "status", "words"),
    [(1.4, "optimal", "1.40 times cheaper"), (1.0, "optimal", "cost as much"), (None, "infeasible", "could not keep")],
)
def test_the_sentence_on_apart_and_together(times: float | None, status: Any, words: str) -> None:
    found = plan()
    other = "apart" if all(pool.role == "unified" for pool in found.pools) else "together"
    cost = None if times is None else times * found.objective.usd_per_million_output_tokens
    rival = Rival(structure=other, status=status, usd_per_million_output_tokens=cost, bound=cost)
    assert words in apart_or_together(found.model_copy(update={"rivals": (rival,)}))
    assert apart_or_together(found) == ""
