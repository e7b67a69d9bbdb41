"""``rackplan diff``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from solver.cli.app import AsJson, app
from solver.cli.train import is_training_plan_file


@app.command(epilog="Example: rackplan diff before.json after.json")
def diff(
    before: Annotated[Path, typer.Argument(metavar="A", help="A plan.json.")],
    after: Annotated[Path, typer.Argument(metavar="B", help="Another plan.json.")],
    as_json: AsJson = False,
) -> None:
    """Say in words what changed from one plan to another."""
    from solver.plan import Plan
    from solver.plan.diff import difference
    from solver.plan.diff_words import words

    if is_training_plan_file(before) and is_training_plan_file(after):
        from solver.training.difference import training_difference
        from solver.training.plan import load_training

        lines = training_difference(load_training(before), load_training(after))
        print(json.dumps({"changes": lines}, indent=1) if as_json else "\n".join(lines or ["the plans are the same"]))
        return
    found = difference(Plan.load(before), Plan.load(after))
    if as_json:
        print(json.dumps(found.to_plain(), indent=1))
    else:
        print("\n".join(words(found)))
