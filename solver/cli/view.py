"""``rackplan view``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from solver.cli.app import PlanFile, app
from solver.cli.outputs import ready
from solver.cli.train import is_training_plan_file
from solver.errors import BadInput

if TYPE_CHECKING:
    from solver.view.figures import Figure

#: What a file name should not hold; names of pools may hold anything.
_SAFE = re.compile(r"[^\w.-]+")


@app.command(epilog="Example: rackplan view plan.json -o plan.html --svg topology.svg --by replica")
def view(
    plan: PlanFile,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write a page that shows the plan.")] = None,
    svg: Annotated[Path | None, typer.Option("--svg", help="Write the topology as SVG.")] = None,
    png: Annotated[Path | None, typer.Option("--png", help="Write the topology as PNG.")] = None,
    figures: Annotated[
        Path | None, typer.Option("--figures", metavar="DIR", help="Write every figure as SVG into a folder.")
    ] = None,
    beside: Annotated[
        Path | None, typer.Option("--beside", metavar="B", help="Another plan, to be shown side by side with this one.")
    ] = None,
    by: Annotated[
        str, typer.Option("--by", help="What colours of the figures tell: pool, replica, stage, rank or load.")
    ] = "pool",
) -> None:
    """Draw a plan: one page that needs nothing else, or figures for papers."""
    from solver.plan import Plan
    from solver.view import figures as draw
    from solver.view import html
    from solver.view.beside import save_beside

    if not any((output, svg, png, figures)):
        raise BadInput("nothing to write: name a page with -o plan.html, or a figure with --svg, --png or --figures")
    if beside is not None and (output is None or svg or png or figures):
        raise BadInput("two plans side by side are a page: name one with -o both.html, and no other drawing")
    if by != "pool" and not any((svg, png, figures)):
        raise BadInput("--by colours figures; a page lets its reader choose: leave it out, or add --svg, --png or --figures")
    ready([output, svg, png], [plan, beside])
    if beside is not None and (is_training_plan_file(plan) or is_training_plan_file(beside)):
        raise BadInput("a training plan is not shown beside another; rackplan diff compares two of them")
    if is_training_plan_file(plan):
        _training_page(plan, output)
        return
    wanted = Plan.load(plan)
    if beside is not None and output is not None:
        save_beside(wanted, Plan.load(beside), output, _names(plan, beside))
        return
    if output:
        html.save(wanted, output)
    if svg or png:
        topology = draw.topology(wanted, by)
        for target, kind in ((svg, ".svg"), (png, ".png")):
            if target:
                topology.save(_ending(target, kind))
    if figures:
        _save_all(draw.figures(wanted, by), figures)


def _names(one: Path, other: Path) -> tuple[str, str]:
    """Plans by their files, by their places where the files are named alike."""
    return (one.stem, other.stem) if one.stem != other.stem else (f"A ({one})", f"B ({other})")


def _training_page(plan: Path, output: Path | None) -> None:
    """The page of a training plan.

    Raises
    ------
    BadInput: no page is asked for.
    """
    from solver.training.plan import load_training
    from solver.view.training import save_training_page

    if output is None:
        raise BadInput("a training plan is drawn as a page: name one with -o plan.html")
    save_training_page(load_training(plan), output)


def _ending(target: Path, kind: str) -> Path:
    """The file, if its name ends as its option says.

    Raises
    ------
    BadInput: it does not.
    """
    if target.suffix.lower() != kind:
        raise BadInput(f"--{kind[1:]} {target}: the name must end in {kind}")
    return target


def _save_all(drawn: dict[str, Figure], folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{folder}: cannot be made: {error.strerror}") from None
    for name, figure in drawn.items():
        figure.save(folder / f"{_SAFE.sub('_', name)}.svg")
