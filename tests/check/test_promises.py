"""The witness judges every promise by what the plan comes to, not by what it tells."""

from __future__ import annotations

import dataclasses
import json
from functools import cache

import pytest

from solver.check import violations
from solver.check.evidence import Evidence
from solver.check.promises import promises_are_kept
from solver.cost.instance import Instance
from solver.optimize.arithmetic.run import Effort
from solver.optimize.assembly.outcome import Outcome
from solver.optimize.solve import solve_scenario
from solver.plan import Latency, Plan
from solver.simulate.report import Figures
from solver.workload import SLO, Scenario
from solver.workload.measures import MEASURES, Measure

SCENARIO = {
    "llm": {"config": "llama-3.1-8b"},
    "cluster": {"builder": "hgx", "nodes": 1, "device": "h100", "devices_per_host": 4},
    "traffic": {"classes": [{"name": "chat", "prompt_tokens": 1000, "output_tokens": 200, "requests_per_s": 10}]},
    "billing": "device",
}


@cache
def outcome() -> Outcome:
    return solve_scenario(Scenario.from_mapping(SCENARIO, "test"), Effort(workers=1, seed=1))


def plan() -> Plan:
    return outcome().plan


def test_a_scenario_without_promises_has_a_plan_that_tells_every_measure() -> None:
    found = plan()
    assert all(found.prediction.figure(measure) for measure in MEASURES)
    assert set(found.prediction.interval_80) >= {measure.field for measure in MEASURES}
    assert "no promise" in str(outcome())


def test_what_can_be_promised_is_predicted_and_replayed() -> None:
    fields = {measure.field for measure in MEASURES}
    assert set(SLO.model_fields) == fields
    assert {field.alias for field in SLO.model_fields.values()} == {measure.key for measure in MEASURES}
    rates = {"requests_per_s", "output_tokens_per_s", "output_tokens_per_s_per_device", "interval_80"}
    assert set(Latency.model_fields) - rates == fields
    assert fields <= {field.name for field in dataclasses.fields(Figures)}


@pytest.mark.parametrize("measure", MEASURES, ids=str)
def test_every_promise_is_judged_by_itself(measure: Measure) -> None:
    figure = plan().prediction.figure(measure)
    assert figure is not None
    silent = plan().prediction.model_copy(update={measure.field: None})
    for limit, broken in ((figure * 1.01, False), (figure * 0.99, True)):
        scenario = plan().scenario.model_copy(update={"slo": SLO(**{measure.field: limit})})
        found = plan().model_copy(update={"scenario": scenario, "prediction": silent})
        said = list(promises_are_kept(Evidence(found, Instance.of(scenario))))
        assert bool(said) == broken
        assert all(line.startswith(str(measure)) for line in said)


def test_plans_from_before_there_were_so_many_measures_are_read_and_hold() -> None:
    """They tell four of them, and their scenario, whose text they are recognised by, knows promises at p95 alone."""
    content = plan().model_dump(mode="json", by_alias=True)
    told = {"ttft_p50_s", "ttft_p95_s", "tpot_p50_s", "tpot_p95_s"}
    for latency in (content["prediction"], *content["prediction"]["classes"].values()):
        for measure in MEASURES:
            if measure.field not in told:
                del latency[measure.field], latency["interval_80"][measure.field]
    assert set(content["scenario"]["slo"]) == {"ttft_p95", "tpot_p95", "itl_p95", "e2e_p95"}
    assert not violations(Plan.model_validate_json(json.dumps(content)))
