"""``rackplan check`` and ``rackplan schema``."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from pydantic import BaseModel

from solver.cli.app import AsJson, PlanFile, app
from solver.errors import CheckFailed


@app.command(epilog="Example: rackplan check plan.json")
def check(plan: PlanFile, as_json: AsJson = False) -> None:
    """Re-derive every claim of a plan from its scenario, without the optimiser."""
    from solver.check import violations
    from solver.plan import Plan

    found = violations(Plan.load(plan))
    if as_json:
        print(json.dumps({"accepted": not found, "violations": found}, indent=1))
    if found:
        raise CheckFailed(found)
    if not as_json:
        print("accepted: every claim of the plan follows from its scenario")


@app.command(epilog="Example: rackplan schema > plan.schema.json")
def schema(
    what: Annotated[str, typer.Argument(help="plan or scenario.")] = "plan",
) -> None:
    """Print the JSON Schema of plans (or of scenarios)."""
    from solver.errors import UnknownName
    from solver.plan import Plan
    from solver.workload import Scenario

    kinds: dict[str, type[BaseModel]] = {"plan": Plan, "scenario": Scenario}
    if what not in kinds:
        raise UnknownName("schema", what[:40], kinds)
    print(json.dumps(kinds[what].model_json_schema(), indent=1))
