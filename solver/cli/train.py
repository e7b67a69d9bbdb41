"""``rackplan train``, and training scenarios handed to ``rackplan solve``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from solver.cli.app import AsJson, app
from solver.workload.files import override, read_content


@app.command(epilog="Example: rackplan train gpt-175b.yaml --json, where the file has llm, cluster and training.")
def train(
    scenario: Annotated[str, typer.Argument(metavar="SCENARIO", help="A YAML or JSON file with a training section.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write the plan here (JSON).")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="path.to.field=value for any field.")] = None,
    time_limit: Annotated[float, typer.Option(min=0.1, help="Seconds for the search.")] = 60.0,
    as_json: AsJson = False,
) -> None:
    """Find the training layout with the fewest USD per token: parallelism, schedule, and what each stage recomputes."""
    show_training(scenario, settings or [], output, time_limit, as_json)


def is_training(source: str) -> bool:
    """Whether a scenario is about training."""
    return "training" in read_content(source)[0]


def show_training(
    source: str, settings: Sequence[str], output: Path | None, time_limit_s: float, as_json: bool
) -> None:
    """Solve a training scenario, write and print it."""
    from solver.study.training import TrainingScenario, solve_training

    content, folder = read_content(source)
    wanted = TrainingScenario.from_mapping(override(content, settings), source)
    plan = solve_training(wanted, folder, time_limit_s)
    text = json.dumps(plan.to_plain(), indent=1)
    if output is not None:
        output.write_text(text + "\n", encoding="utf-8")
    print(text if as_json else plan)
