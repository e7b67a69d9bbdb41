"""``rackplan sweep``: one scenario at every point of a grid."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from solver.cli.app import AsJson, app
from solver.cli.outputs import ready
from solver.errors import BadInput
from topologies.writing import write_file


@app.command(epilog="Example: rackplan sweep grid.yaml -o results.csv, where grid.yaml has scenario: and set:")
def sweep(
    grid: Annotated[Path, typer.Argument(metavar="GRID.yaml", help="scenario: and set: path to a list of values.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Results, as .csv or .parquet.")] = Path("sweep.csv"),
    html: Annotated[Path | None, typer.Option("--html", help="Write a page that compares the points.")] = None,
    on: Annotated[str, typer.Option("--on", help="processes or ray.")] = "processes",
    workers: Annotated[int, typer.Option(min=1, help="Points solved at once.")] = 2,
    as_json: AsJson = False,
) -> None:
    """Solve a scenario at every point of a grid; a sweep that was stopped goes on where it was."""
    from rich.console import Console
    from rich.progress import Progress

    from solver.study.grid import Grid, write_table
    from solver.study.grid import sweep as run
    from solver.study.sweep_page import page

    if output.suffix not in (".csv", ".parquet"):
        raise BadInput(f"-o {output}: results are written as .csv or .parquet")
    places: dict[str, Literal["processes", "ray"]] = {"processes": "processes", "ray": "ray"}
    if on not in places:
        raise BadInput(f"--on {on[:40]!r}: processes or ray")
    ready([output, html], [grid])
    wanted = Grid.read(str(grid))
    journal = output.with_suffix(".journal.jsonl")
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("sweep", total=wanted.size)
        rows = run(wanted, journal, workers, places[on], lambda done, _: progress.update(bar, completed=done))
    write_table(wanted, rows, output)
    if html is not None:
        write_file(html, page(wanted, rows))
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    solved = [row for row in rows if "usd_per_million_output_tokens" in row]
    print(f"{len(rows)} points, {len(solved)} with a plan, in {output}")
    if solved:
        best = min(solved, key=lambda row: row["usd_per_million_output_tokens"])
        at = ", ".join(f"{path} {best[path]}" for path in wanted.axes)
        print(f"cheapest: {best['usd_per_million_output_tokens']:.4g} USD per million output tokens at {at}")
