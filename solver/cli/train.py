"""``rackplan train``, and training scenarios handed to ``rackplan solve``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from solver.cli.app import AsJson, app
from solver.cli.outputs import ready
from solver.errors import BadInput
from solver.workload.files import override, read_content


class _WithFields(TyperCommand):
    """A command whose help ends with every field of a training scenario; they are read when somebody asks."""

    def get_help(self, ctx: Any) -> str:
        from solver.training.fields import field_lines

        return "\n".join([super().get_help(ctx), "", "Fields of a scenario, each with an example:", *field_lines()])


@app.command(cls=_WithFields, epilog="Example: rackplan train train.yaml --set training.precision=fp8 -o plan.json")
def train(
    scenario: Annotated[
        str | None,
        typer.Argument(
            metavar="SCENARIO", help="A YAML or JSON file with llm, cluster and training; or a training plan."
        ),
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write the plan here (JSON).")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="path.to.field=value for any field.")] = None,
    time_limit: Annotated[float, typer.Option(min=0.1, help="Seconds for the search.")] = 60.0,
    from_: Annotated[
        Path | None,
        typer.Option("--from", help="A plan in force: ranks whose devices survive stay as far as they can."),
    ] = None,
    without: Annotated[
        str | None, typer.Option(help="Devices, hosts or racks that are lost, such as rack0/host3,rack1.")
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page that shows the plan.")] = None,
    as_json: AsJson = False,
) -> None:
    """Find the training layout with the fewest USD per token: parallelism, schedule, and what each stage recomputes."""
    if scenario is None and from_ is None:
        raise BadInput("name a scenario with llm, cluster and training; rackplan train --help lists what it may say")
    show_training(scenario or str(from_), settings or [], output, time_limit, as_json, from_, without, html)


def is_training(source: str) -> bool:
    """Whether a scenario, or the scenario of a plan, is about training."""
    content = read_content(source)[0]
    return "training" in content or content.get("kind") == "training"


def is_training_plan_file(path: Path) -> bool:
    """Whether a file is a training plan; what cannot be read is none, and whoever loads it says why."""
    from solver.training.plan import is_training_plan
    from solver.workload.documents import parse_json
    from solver.workload.files import MOST_BYTES, read_text

    try:
        return is_training_plan(parse_json(read_text(path, MOST_BYTES), str(path)))
    except BadInput:
        return False


def show_training(
    source: str,
    settings: Sequence[str],
    output: Path | None,
    time_limit_s: float,
    as_json: bool,
    from_: Path | None = None,
    without: str | None = None,
    html: Path | None = None,
) -> None:
    """Solve a training scenario, write and print it."""
    from solver.optimize.training.solve import solve_training, without_training
    from solver.training.plan import dump_training, is_training_plan, load_training, save_training
    from solver.training.scenario import TrainingScenario
    from solver.training.summary import summary

    ready([output, html], [source, from_])
    content, folder = read_content(source)
    if is_training_plan(content):
        content = content["scenario"]
    wanted = TrainingScenario.from_mapping(override(content, settings), source)
    if without is not None:
        wanted = without_training(wanted, [name.strip() for name in without.split(",") if name.strip()], folder)
    plan = solve_training(wanted, folder, time_limit_s, None if from_ is None else load_training(from_))
    if output is not None:
        save_training(plan, output)
    if html is not None:
        from solver.view.training import save_training_page

        save_training_page(plan, html)
    if as_json:
        sys.stdout.write(dump_training(plan))
    else:
        print(summary(plan))
        if wanted.training.reversible:
            stored = wanted.training.model_copy(update={"reversible": False})
            plain = solve_training(wanted.model_copy(update={"training": stored}), folder, time_limit_s)
            usd = plain.objective.usd_per_million_tokens
            print(
                f"the same network with layers that are not reversible: {usd:.4g} USD per million training tokens, "
                f"{usd / plan.objective.usd_per_million_tokens - 1:+.1%}"
            )
