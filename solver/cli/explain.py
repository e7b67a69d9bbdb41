"""``rackplan explain``: why a plan costs what it costs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from solver.cli.app import AsJson, PlanFile, app
from solver.cli.train import is_training_plan_file

if TYPE_CHECKING:
    from rich.status import Status


@app.command(epilog="Example: rackplan explain plan.json")
def explain(
    plan: PlanFile,
    time_limit: Annotated[float, typer.Option(min=0.1, help="Seconds for everything together.")] = 30.0,
    as_json: AsJson = False,
) -> None:
    """Say what binds, from where on promises and load change the cost, what hardware is worth, and which plan came second.

    Lines come as they are found (on the error stream), what is worth most comes first in the end.
    """
    from rich.console import Console

    from solver.optimize.arithmetic.run import Effort
    from solver.plan import Plan
    from solver.study.explain import explain as explained

    if is_training_plan_file(plan):
        from solver.optimize.training.worth import explain_training
        from solver.training.plan import load_training

        with Console(stderr=True).status("pricing") as status:
            told = explain_training(load_training(plan), time_limit, lambda what: status.update(f"pricing {what}"))
        print(json.dumps(told.to_json(), indent=1) if as_json else told)
        return
    wanted = Plan.load(plan)
    with Console(stderr=True).status("pricing") as status:
        found = explained(wanted, Effort(time_limit_s=time_limit), lambda line: _tell(status, line))
    print(json.dumps(found.to_json(), indent=1) if as_json else found)


def _tell(status: Status, line: str) -> None:
    status.console.print(f"found: {line}", highlight=False, soft_wrap=True)
