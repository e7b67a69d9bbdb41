"""``rackplan check`` and ``rackplan schema``."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from pydantic import BaseModel

from solver.cli.app import AsJson, PlanFile, app
from solver.cli.train import is_training_plan_file
from solver.errors import CheckFailed


@app.command(epilog="Example: rackplan check plan.json")
def check(plan: PlanFile, as_json: AsJson = False) -> None:
    """Re-derive every claim of a plan from its scenario, without the optimiser."""
    from solver.check import violations
    from solver.check.training import training_violations
    from solver.plan import Plan
    from solver.training.plan import load_training

    found = training_violations(load_training(plan)) if is_training_plan_file(plan) else violations(Plan.load(plan))
    if as_json:
        print(json.dumps({"accepted": not found, "violations": found}, indent=1))
    if found:
        raise CheckFailed(found)
    if not as_json:
        print("accepted: every claim of the plan follows from its scenario")


@app.command(epilog="Example: rackplan schema > plan.schema.json")
def schema(
    what: Annotated[str, typer.Argument(help="plan, scenario, training or training-plan.")] = "plan",
) -> None:
    """Print the JSON Schema of plans, of scenarios, or of those of training."""
    from solver.errors import UnknownName
    from solver.plan import Plan
    from solver.training.plan import TrainingPlan
    from solver.training.scenario import TrainingScenario
    from solver.workload import Scenario

    kinds: dict[str, type[BaseModel]] = {
        "plan": Plan,
        "scenario": Scenario,
        "training": TrainingScenario,
        "training-plan": TrainingPlan,
    }
    if what not in kinds:
        raise UnknownName("schema", what[:40], kinds)
    print(json.dumps(kinds[what].model_json_schema(), indent=1))
