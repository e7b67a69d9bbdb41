"""``rackplan where``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from solver.cli.app import AsJson, PlanFile, app


@app.command(epilog="Example: rackplan where plan.json --layer 30 --expert 17")
def where(
    plan: PlanFile,
    layer: Annotated[int, typer.Option(help="Layer, counted from 0.")],
    expert: Annotated[int | None, typer.Option(help="Expert of that layer, counted from 0.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say which devices hold a layer, or one of its experts."""
    from solver.plan import Plan
    from solver.view.where import holders

    found = holders(Plan.load(plan), layer, expert)
    if as_json:
        print(json.dumps([rank.model_dump() for rank in found], indent=1))
        return
    for rank in found:
        print(f"{rank.device}: {rank.pool}, replica {rank.replica}, stage {rank.stage}, rank {rank.rank}")
