"""The form: what it shows is the plan's scenario, and what is edited becomes that field and no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import plans
import pytest
from packaged_plans import SCENARIOS, solved

from solver.cost.instance import Instance
from solver.errors import BadInput
from solver.live.form import edited, fields
from solver.plan import Plan
from solver.study.proposed import proposed_pools
from solver.workload import Scenario

HERE = Path(".")


def form_of(plan: Plan) -> dict[str, str]:
    return {entry.name: entry.text for entry in fields(plan, Instance.of(plan.scenario))}


def edit(plan: Plan, **texts: str) -> Scenario:
    shown = fields(plan, Instance.of(plan.scenario))
    return edited(plan.scenario, shown, {name.replace("__", "."): text for name, text in texts.items()}, HERE)


def leaf(scenario: Scenario, name: str) -> Any:
    """The value at a path with dots; None where nothing stands."""
    here: Any = scenario.model_dump(mode="json", by_alias=True)
    for key in name.split("."):
        here = here[int(key)] if isinstance(here, list) else here.get(key)
    return here


@pytest.mark.parametrize("name", SCENARIOS)
def test_an_untouched_form_asks_for_the_same_scenario(name: str) -> None:
    plan = solved(name)
    shown = fields(plan, Instance.of(plan.scenario))
    assert edited(plan.scenario, shown, form_of(plan), HERE) == plan.scenario
    assert len({entry.name for entry in shown}) == len(shown)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("slo.ttft_p95", "1500 ms", 1.5),
        ("slo.tpot_p95", "", None),
        ("slo.e2e_p95", "30s", 30.0),
        ("traffic.classes.0.requests_per_s", "45.5", 45.5),
        ("cluster.nodes", "2", 2),
        ("constraints.max_devices", "6", 6),
        ("prices.b200", "3.5", 3.5),
    ],
)
def test_an_edit_changes_its_field_alone(name: str, text: str, value: object) -> None:
    plan = solved(plans.SMALL)
    wanted = edit(plan, **{name: text})
    assert leaf(wanted, name) == value
    texts = {
        entry.name: entry.text for entry in fields(plan.model_copy(update={"scenario": wanted}), Instance.of(wanted))
    }
    assert {key for key, old in form_of(plan).items() if texts[key] != old} == {name}


def test_the_pools_that_the_plan_has_can_be_pinned_as_the_form_offers_them() -> None:
    plan = solved(plans.NVL72)
    instance = Instance.of(plan.scenario)
    offered = next(entry.hint for entry in fields(plan, instance) if entry.name == "constraints.pools")
    assert [(pool.role, pool.replicas, pool.device) for pool in proposed_pools(offered, instance)] == [
        (pool.role, pool.replicas, pool.device) for pool in plan.pools
    ]
    wanted = edit(plan, constraints__pools=offered, constraints__other_pools="none")
    assert not wanted.constraints.other_pools
    for pin, pool in zip(wanted.constraints.pools, plan.pools, strict=True):
        assert all(getattr(pool.parallelism, name) == degree for name, degree in pin.parallelism.items())
    assert form_of(plan.model_copy(update={"scenario": wanted}))["constraints.pools"] == offered


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("slo.tpot_p95", "30", "TPOT p95 30: say 30ms or 30s"),
        ("slo.tpot_p95", "soon", "tpot_p95"),
        ("traffic.classes.0.requests_per_s", "many", "assistant, requests/s: 'many' is not a number"),
        ("traffic.classes.0.requests_per_s", "-1", "requests_per_s"),
        ("traffic.classes.0.requests_per_s", "nan", "requests_per_s"),
        ("traffic.classes.0.requests_per_s", "", "assistant, requests/s must not be empty; it was 30"),
        ("cluster.nodes", "0", "nodes"),
        ("cluster.nodes", "1.5", "nodes: '1.5' is not a whole number"),
        ("prices.b200", "free", "b200, USD/h: 'free' is not a number"),
        ("constraints.pools", "decode two", "pinned pools: 'two'"),
        ("constraints.pools", "encode tp2", "pinned pools 'encode tp2' starts with no role"),
        ("constraints.other_pools", "none", "no pool is pinned"),
        ("constraints.other_pools", "perhaps", "'perhaps' is none of allowed, none"),
        ("llm.config", "gpt-oss-20b", "the form has no field 'llm.config'"),
    ],
)
def test_what_is_wrong_is_one_line(name: str, text: str, said: str) -> None:
    with pytest.raises(BadInput) as refused:
        edit(solved(plans.SMALL), **{name: text})
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
