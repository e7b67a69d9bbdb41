"""``rackplan open``."""

from __future__ import annotations

from typing import Annotated

import typer

from solver.cli.app import PlanFile, app
from solver.cli.train import is_training_plan_file
from solver.errors import BadInput


@app.command("open", epilog="Example: rackplan open plan.json")
def open_(
    plan: PlanFile,
    time_limit: Annotated[float, typer.Option(min=0.1, help="Seconds for each edit, its replay included.")] = 60.0,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Threads of the search.")] = 2,
    seed: Annotated[int | None, typer.Option(help="Repeatable search: the same plan after the same edit.")] = None,
) -> None:
    """Serve a plan's page to this machine's browser, with a form beside it: what if promises, rates or prices change?

    Open the address that is printed; Ctrl-C ends it. The file is only read: download what is worth keeping. Needs the
    extra: pip install 'rackplan[live]'.
    """
    from solver.live.serving import serve
    from solver.optimize.arithmetic.run import Effort
    from solver.plan import Plan

    if is_training_plan_file(plan):
        raise BadInput(f"{plan}: a training plan cannot be edited live; rackplan view draws it")
    effort = Effort(time_limit_s=time_limit, workers=workers, seed=seed)
    serve(Plan.load(plan), plan.parent, effort, lambda address: print(address, flush=True))
