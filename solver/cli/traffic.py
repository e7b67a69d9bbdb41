"""``rackplan traffic``: what a recorded trace is like, and the classes that a scenario would plan for."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from solver.cli.app import AsJson, app
from solver.cli.outputs import ready
from solver.errors import BadInput
from topologies.writing import replacing

traffic = typer.Typer(help="Look at recorded traffic.", no_args_is_help=True)
app.add_typer(traffic, name="traffic")

#: Endings of the files that a chart can be written to.
CHARTS = (".html", ".svg", ".png")


@traffic.command(epilog="Example: rackplan traffic show conversation.jsonl --classes 4 -o traffic.html")
def show(
    file: Annotated[
        Path,
        typer.Argument(
            help="A trace, plain or .gz: Mooncake, Qwen-Bailian, Azure, BurstGPT, Splitwise, Vidur, LiteLLM, aiperf, guidellm, "
            "vLLM or SGLang bench results, OpenTelemetry GenAI spans, t/in/out, or CSV or JSON of any names (--columns)."
        ),
    ],
    format: Annotated[str, typer.Option(help="Format of the trace; told from its first lines if auto.")] = "auto",
    classes: Annotated[str, typer.Option(help="Request classes to form: a number, or auto.")] = "auto",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write charts here: .html, .svg or .png.")
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(help="Names of a trace's columns: prompt=NAME,output=NAME,arrival=NAME and session, class."),
    ] = None,
    time_unit: Annotated[
        str, typer.Option(help="Unit of times: s, ms, us, ns; auto tells it from the format.")
    ] = "auto",
    as_json: AsJson = False,
) -> None:
    """Show arrivals, lengths, reuse, idle times and request classes of a trace."""
    from solver.traces import Reading, charts, describe, summarise, to_json

    wanted = _count(classes)
    if output is not None and output.suffix.lower() not in CHARTS:
        raise BadInput(f"-o {output}: charts are written as {', '.join(CHARTS)}")
    ready([output], [file])
    with progress(file) as report:
        summary = summarise(file, Reading(format=format, columns=columns, time_unit=time_unit, progress=report))
    told = to_json(summary, wanted) if as_json else describe(summary, wanted)
    if output is not None:
        _save(charts(summary, wanted), output)
    print(json.dumps(told, indent=1) if as_json else told)


def _count(classes: str) -> int | str:
    """A number of classes, or ``auto``.

    Raises
    ------
    BadInput: neither.
    """
    if classes == "auto":
        return classes
    if not classes.isdecimal() or len(classes) > 4:
        raise BadInput(f"--classes {classes[:20]!r}: write auto or a number, for example --classes 4")
    return int(classes)


@contextmanager
def progress(file: Path) -> Iterator[Any]:
    """A bar on stderr for a trace that is being read; nothing where stderr is not a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"reading {file.name}", total=None)
        yield lambda done, whole: bar.update(task, completed=done, total=whole)


def _save(chart: Any, path: Path) -> None:
    """Write a chart; a page carries its own scripts and needs no network."""
    with replacing(path) as place:
        if path.suffix.lower() == ".html":
            chart.save(str(place), inline=True)
        else:
            chart.save(str(place))
