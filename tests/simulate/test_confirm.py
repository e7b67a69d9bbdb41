"""The closed loop: a plan that misses in replay is solved again with what the miss asks for, and says so."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from functools import cache

import pytest

from solver.check import violations
from solver.optimize.arithmetic.run import Effort
from solver.optimize.assembly.outcome import Outcome
from solver.optimize.solve import solve_scenario
from solver.plan import Binding, Plan
from solver.simulate import PromiseVerdict, ReplayReport, Run, replay
from solver.study.confirm import ARRIVALS, EARLY, Glance, Trial, as_asked, confirm, tightened, why_not_judged
from solver.workload import SLO, Scenario
from solver.workload.measures import TPOT_P95, TTFT_P95

EFFORT = Effort(time_limit_s=20, workers=1, seed=1)
TRIAL = Trial(seeds=(1, 2), requests=3000)


def bursty(objective: str = "throughput", requests_per_s: float = 30) -> Scenario:
    """A whole host serves as much as the promises allow, and its requests come in bursts."""
    return Scenario.from_mapping(
        {
            "llm": {"config": "llama-3.1-8b"},
            "cluster": {"builder": "hgx", "nodes": 1, "device": "h100"},
            "traffic": {
                "classes": [
                    {
                        "name": "chat",
                        "prompt_tokens": 1500,
                        "output_tokens": 120,
                        "requests_per_s": requests_per_s,
                        "burstiness": 4,
                    }
                ]
            },
            "slo": {"ttft_p95": "400ms", "tpot_p95": "18ms"},
            "objective": objective,
            "options": {"disaggregate": False},
        },
        "test",
    )


@cache
def cheapest() -> Outcome:
    """The plan of least cost for these bursts."""
    return solve_scenario(bursty("cost"), EFFORT)


@cache
def missed() -> Outcome:
    """A plan whose promise on TPOT is a little below what its replay finds."""
    outcome = solve_scenario(bursty(requests_per_s=10), EFFORT)
    seen = replay(outcome.plan, Run(requests=TRIAL.requests, seed=1)).overall.tpot_p95_s
    tight = outcome.plan.scenario.slo.model_copy(update={"tpot_p95_s": 0.97 * seen})
    scenario = outcome.plan.scenario.model_copy(update={"slo": tight})
    name = hashlib.sha256(scenario.model_dump_json(by_alias=True).encode()).hexdigest()
    provenance = outcome.plan.provenance.model_copy(
        update={"inputs": dict(outcome.plan.provenance.inputs) | {"scenario": name}}
    )
    return Outcome(outcome.status, outcome.plan.model_copy(update={"scenario": scenario, "provenance": provenance}))


def test_a_miss_is_tightened_until_it_holds() -> None:
    first = missed()
    plan = confirm(first.plan.scenario, first, EFFORT, trial=TRIAL).plan
    assert plan.confirmation is not None
    assert plan.confirmation.kept
    assert plan.confirmation.derating
    assert plan.confirmation.cost_rise > 0
    assert plan.scenario == first.plan.scenario
    assert plan.objective.bound <= first.plan.objective.bound * (1 + 1e-9)
    assert not violations(plan)


def test_a_plan_that_holds_is_left_alone() -> None:
    first = cheapest().plan
    loose = first.scenario.slo.model_copy(update={"ttft_p95_s": 30.0, "tpot_p95_s": 1.0})
    easy = first.model_copy(update={"scenario": first.scenario.model_copy(update={"slo": loose})})
    plan = confirm(easy.scenario, Outcome("optimal", easy), EFFORT, trial=TRIAL).plan
    assert plan.confirmation is not None
    assert plan.confirmation.kept
    assert plan.confirmation.cost_rise == 0
    assert plan.model_copy(update={"confirmation": None}) == easy


def test_classes_go_on_sharing_their_promise() -> None:
    scenario = bursty()
    tighter = tightened(scenario, {(scenario.slo, TPOT_P95): 0.5})
    slo = tighter.traffic.classes[0].slo
    assert slo is not None
    assert slo.tpot_p95_s == pytest.approx(0.009)
    assert slo.ttft_p95_s == scenario.slo.ttft_p95_s


def test_an_earlier_bound_stays_and_the_gap_follows() -> None:
    first = cheapest().plan
    twice = 2 * first.objective.usd_per_million_output_tokens
    dearer = first.objective.model_copy(update={"usd_per_million_output_tokens": twice, "least": twice})
    plan = as_asked(first.model_copy(update={"objective": dearer}), first)
    assert plan.objective.bound == first.objective.bound
    assert plan.objective.gap >= 0.5
    assert plan.status == "feasible"


def test_how_a_tightened_plan_was_chosen_is_said_first() -> None:
    first = cheapest().plan
    assert first.binding
    chosen = Binding(rule="evidence", because="The plan rests on pipelined prefill, which no measured run had.", slack=0.5)
    tighter = first.model_copy(update={"binding": (chosen, *first.binding)})
    told = as_asked(tighter, first).binding
    assert told[0] == chosen
    assert {b.rule for b in told[1:]} == {b.rule for b in first.binding}


def test_the_record_survives_its_file(tmp_path) -> None:  # type: ignore[no-untyped-def]
    first = cheapest()
    plan = confirm(bursty("cost"), first, EFFORT, trial=Trial(seeds=(1,), requests=500)).plan
    plan.save(tmp_path / "plan.json")
    assert Plan.load(tmp_path / "plan.json").dumps() == plan.dumps()


def test_no_stricter_than_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits between those that failed and those that held are tried where holding was dear."""
    first = cheapest().plan
    base, limit = first.objective.usd_per_million_output_tokens, first.prediction.ttft_p95_s
    recorded = replay(first, Run(requests=400, seed=1))
    asked: list[float] = []

    def priced(times: float) -> Plan:
        dearer = first.objective.model_copy(update={"usd_per_million_output_tokens": times * base})
        pools = tuple(pool.model_copy(update={"utilisation": pool.utilisation / times}) for pool in first.pools)
        return first.model_copy(update={"objective": dearer, "pools": pools})

    def solve(scenario: Scenario, *_: object) -> Outcome:
        slo = scenario.traffic.classes[0].slo
        assert slo is not None
        assert slo.ttft_p95_s is not None
        asked.append(slo.ttft_p95_s / 0.4)
        return Outcome("optimal", priced(1.0 if asked[-1] > 0.8 else 1.5 if asked[-1] > 0.55 else 3.0))

    class Judged(Trial):
        def reports(self, plan: Plan) -> list[list[ReplayReport]]:
            holds = plan.objective.usd_per_million_output_tokens > 1.2 * base
            verdict = PromiseVerdict("chat", TTFT_P95, limit, limit * (0.9 if holds else 2.0), 0.0)
            return [[dataclasses.replace(recorded, verdicts=(verdict,))]]

    monkeypatch.setattr("solver.study.confirm.violations", lambda plan: [])
    plan = confirm(first.scenario, Outcome("optimal", first), trial=Judged(), solve=solve).plan
    assert asked[0] == pytest.approx(0.5, abs=0.01)
    assert plan.confirmation is not None
    assert plan.confirmation.kept
    assert plan.confirmation.cost_rise == pytest.approx(0.5)


def test_half_a_step_where_nothing_keeps_the_whole_one(monkeypatch: pytest.MonkeyPatch) -> None:
    first = cheapest().plan
    recorded = replay(first, Run(requests=400, seed=1))
    limit = first.prediction.ttft_p95_s
    missed = dataclasses.replace(recorded, verdicts=(PromiseVerdict("chat", TTFT_P95, limit, 2 * limit, 0.0),))
    held = dataclasses.replace(recorded, verdicts=(PromiseVerdict("chat", TTFT_P95, limit, limit, 0.0),))
    factors: list[float] = []

    class Judged(Trial):
        def reports(self, plan: Plan) -> list[list[ReplayReport]]:
            return [[held if factors else missed]]

    def solve(scenario: Scenario, *_: object) -> Outcome:
        slo = scenario.traffic.classes[0].slo
        assert slo is not None
        assert slo.ttft_p95_s is not None
        factors.append(slo.ttft_p95_s / 0.4)
        return Outcome("optimal", first) if factors[-1] > 0.6 else Outcome("infeasible", None, "too strict")

    monkeypatch.setattr("solver.study.confirm.violations", lambda plan: [])
    plan = confirm(first.scenario, Outcome("optimal", first), trial=Judged(), solve=solve).plan
    assert factors == pytest.approx([0.5, 0.5**0.5], abs=0.01)
    assert plan.confirmation is not None
    assert plan.confirmation.kept


def test_a_glance_stops_as_soon_as_it_is_sure() -> None:
    """Promises that hold by far need no more requests than a verdict takes; the plan is left as it was."""
    first = cheapest().plan
    loose = first.scenario.slo.model_copy(update={"ttft_p95_s": 30.0, "tpot_p95_s": 1.0})
    easy = first.model_copy(update={"scenario": first.scenario.model_copy(update={"slo": loose})})
    plan = confirm(easy.scenario, Outcome("optimal", easy), EFFORT, trial=Glance(cpu_s=None)).plan
    assert plan.confirmation is not None
    assert EARLY <= plan.confirmation.requests < EARLY + 2000 < ARRIVALS
    assert plan.model_copy(update={"confirmation": None}) == easy


def test_a_glance_tightens_what_it_sees_missed() -> None:
    """The promise holds in the replay of the plan that comes back, and bound and gap are those of the first."""
    first = missed()
    plan = confirm(first.plan.scenario, first, EFFORT, trial=Glance(cpu_s=None)).plan
    assert plan.confirmation is not None
    assert plan.confirmation.kept
    assert plan.confirmation.derating
    assert plan.objective.bound <= first.plan.objective.bound * (1 + 1e-9)
    assert plan.objective.gap == pytest.approx(
        1 - plan.objective.bound / plan.objective.usd_per_million_output_tokens, abs=1e-9
    )
    assert not violations(plan)


def test_nobody_asks_why_tightened_promises_cannot_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ways out take several solves each; here they would be of promises that nobody made."""
    first = missed()

    def never(*_: object) -> None:
        raise AssertionError("asked why")

    monkeypatch.setattr("solver.optimize.solve.why_none", never)
    # Nothing keeps these: the plan comes back as it was, with what it missed.
    monkeypatch.setattr("solver.study.confirm._missed", lambda plan, *_: {(plan.scenario.slo, TPOT_P95): 1e-3})
    monkeypatch.setattr("solver.study.confirm.HALVINGS", 0)
    plan = confirm(first.plan.scenario, first, EFFORT, trial=Glance(cpu_s=None)).plan
    assert plan.confirmation is not None
    assert not plan.confirmation.kept
    assert plan.pools == first.plan.pools


def test_a_glance_does_not_judge_what_it_cannot_see() -> None:
    """Where those who wait for their last token are more than a glance serves, nothing is claimed."""
    first = cheapest().plan
    crowd = first.prediction.model_copy(update={"requests_per_s": 1e6})
    outcome = Outcome("optimal", first.model_copy(update={"prediction": crowd}))
    assert confirm(first.scenario, outcome, EFFORT, trial=Glance(cpu_s=None)) == outcome
    assert "would come before and after those that count" in why_not_judged(outcome.plan)
    nothing = first.scenario.model_copy(update={"slo": SLO()})
    assert why_not_judged(first.model_copy(update={"scenario": nothing})) == "nothing was promised"


def test_recording_ends_when_it_is_told_to() -> None:
    plan = cheapest().plan
    seen: list[int] = []

    def stop(recorded: int, verdicts: Sequence[PromiseVerdict]) -> bool:
        seen.append(recorded)
        return recorded >= 2000

    report = replay(plan, Run(requests=20_000, seed=1, stop=stop))
    assert seen == sorted(seen)
    assert 2000 <= report.overall.requests < 4000
    assert report.under_way == 0
    whole = replay(plan, Run(requests=20_000, seed=1))
    assert report.overall.tpot_p50_s == pytest.approx(whole.overall.tpot_p50_s, rel=0.05)
