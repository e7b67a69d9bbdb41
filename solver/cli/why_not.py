"""``rackplan why-not``: what stands against a layout that somebody proposes."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from solver.cli.app import AsJson, app
from solver.cli.scenario import EXAMPLE, scenario_from


@app.command(
    "why-not", epilog=f"Example: rackplan why-not llama-70b-16xh100 --pools 'prefill 2 x tp2; decode tp4'. {EXAMPLE}"
)
def why_not(
    scenario: Annotated[str, typer.Argument(help="A scenario, the name of a packaged one, or a plan.")],
    pools: Annotated[
        str,
        typer.Option(help="Pools, separated by semicolons: ROLE [REPLICAS x] DEGREES [on DEVICE] [chunk=N] [batch=N]."),
    ],
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="path.to.field=value for any field of the scenario.")
    ] = None,
    time_limit: Annotated[float, typer.Option(min=0.1, help="Seconds for each search.")] = 30.0,
    as_json: AsJson = False,
) -> None:
    """Say which rule a proposed layout breaks first, or what it would cost against the best plan."""
    from solver.optimize.arithmetic.run import Effort
    from solver.study.why_not import why_not as verdict_on

    wanted, folder = scenario_from(scenario, {}, settings or [])
    verdict = verdict_on(wanted, pools, Effort(time_limit_s=time_limit), folder)
    print(json.dumps(verdict.to_json(), indent=1) if as_json else verdict)
