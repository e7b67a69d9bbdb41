"""Promises with confidence: kept at once in as many draws as was asked for, under a bound that no such plan undercuts."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from solver.check import violations
from solver.cost.instance import Instance
from solver.cost.surprises import DRAWS
from solver.optimize.arithmetic.run import Effort
from solver.optimize.assembly.outcome import Outcome
from solver.optimize.solve import solve_scenario
from solver.replica import Setup
from solver.space.certainty import _bold, _safe
from solver.workload import Scenario

SCENARIO: dict[str, Any] = {
    "llm": {"config": "llama-3.1-8b"},
    "cluster": {"builder": "hgx", "nodes": 2, "device": "h100"},
    "traffic": {"classes": [{"name": "chat", "prompt_tokens": 1000, "output_tokens": 200, "requests_per_s": 100}]},
    "slo": {"ttft_p95": "2s", "tpot_p95": "30ms"},
    "billing": "device",
    "constraints": {"forbid": ["pp"], "max_tp": 2},
}


@functools.cache
def at(confidence: float, disaggregate: bool = False, ttft: str = "2s") -> Outcome:
    options = {"slo_confidence": confidence, "disaggregate": disaggregate}
    changed = {"options": options, "slo": {"ttft_p95": ttft, "tpot_p95": "30ms"}}
    return solve_scenario(Scenario.from_mapping(SCENARIO | changed, "test"), Effort(workers=1, seed=1))


@pytest.mark.parametrize(("confidence", "disaggregate"), [(0.8, False), (0.95, False), (0.8, True)])
def test_all_promises_hold_at_once_as_often_as_asked(confidence: float, disaggregate: bool) -> None:
    plan = at(confidence, disaggregate).plan
    assert plan.prediction.confidence >= confidence
    assert violations(plan) == []
    assert plan.objective.bound <= plan.objective.usd_per_million_output_tokens


def test_certainty_costs_and_its_bound_grows() -> None:
    plans = [at(confidence).plan for confidence in (0.5, 0.8, 0.95)]
    costs = [plan.objective.usd_per_million_output_tokens for plan in plans]
    assert costs == sorted(costs)
    assert costs[0] < costs[2]
    # No plan that is surer may lie below the bound of a less sure one.
    for less, more in ((0, 1), (1, 2), (0, 2)):
        assert plans[less].objective.bound <= costs[more] * (1 + 1e-9)


def test_nothing_is_drawn_for_columns_where_nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    known = Instance.surprises

    def counted(self: Instance, device: str, setups: Sequence[Setup], *outputs: Sequence[str]) -> Any:
        asked.append(len(setups))
        return known(self, device, setups, *outputs)

    monkeypatch.setattr(Instance, "surprises", counted)
    plain = solve_scenario(Scenario.from_mapping(SCENARIO, "test"), Effort(workers=1, seed=1)).plan
    assert set(asked) == {1}, "only pools of finished plans"
    monkeypatch.undo()
    assert plain.objective.usd_per_million_output_tokens <= at(0.8).plan.objective.usd_per_million_output_tokens


def test_what_cannot_be_kept_so_surely_is_said() -> None:
    outcome = at(0.99, False, "120ms")
    assert outcome.found is None
    assert outcome.status == "unknown"


def test_the_bold_corners_are_kept_by_all_that_keep_enough_draws() -> None:
    rng = np.random.default_rng(3)
    surprises = rng.standard_normal((2, 5, DRAWS)) * 0.2 + 0.3
    safe = _safe(surprises, 0.8)
    for corner in _bold(surprises, 0.8, later=False):
        beyond = np.exp(surprises) >= np.array([corner.time, corner.first])[..., None] * (1 - 1e-12)
        # Any set of a share 0.8 of the draws must have one in common with these.
        assert np.all(beyond.all(axis=0).sum(axis=1) + np.ceil(0.8 * DRAWS) > DRAWS)
        assert np.all(corner.time <= safe.time)
