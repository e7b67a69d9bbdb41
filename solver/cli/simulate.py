"""``rackplan simulate``."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from solver.cli.app import AsJson, PlanFile, app
from solver.cli.outputs import ready
from solver.errors import BadInput

_RATE = re.compile(r"x?(?P<multiple>\d+(\.\d*)?|\.\d+)$")


@app.command(epilog="Example: rackplan simulate plan.json --rate x1.2 --fail rack0@600s -o replay.html")
def simulate(
    plan: PlanFile,
    trace: Annotated[Path | None, typer.Option(help="Replay the arrivals of this trace.")] = None,
    format_: Annotated[
        str, typer.Option("--format", help="Format of the trace: mooncake, azure, burstgpt, bailian, plain or auto.")
    ] = "auto",
    rate: Annotated[str, typer.Option(help="Multiple of the planned traffic, such as x1.2.")] = "x1",
    fail: Annotated[
        list[str] | None,
        typer.Option(help="What fails when: rack0@600s, or rack0/host3@10min+300s if it recovers after 300 s."),
    ] = None,
    minutes: Annotated[float | None, typer.Option(min=0.01, max=1e6, help="Minutes to record.")] = None,
    requests: Annotated[
        int | None, typer.Option(min=1, help="Requests to record (default 20,000; a whole trace).")
    ] = None,
    diurnal: Annotated[float, typer.Option(min=0.0, max=0.99, help="Relative swing of the rate over a day.")] = 0.0,
    period: Annotated[str, typer.Option(help="Length of that day.")] = "24h",
    seed: Annotated[int, typer.Option(min=0, help="Another seed draws other requests.")] = 0,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write charts here (.html).")] = None,
    as_json: AsJson = False,
) -> None:
    """Serve requests one by one with a plan's pools: do the promises hold when requests really arrive?"""
    from solver.plan import load
    from solver.simulate import Failure, Run, replay
    from solver.traces import Reading
    from topologies import units

    ready([output], [plan, trace])
    wanted = load(plan)
    multiple = _multiple(rate)
    if output is not None and output.suffix.lower() not in (".html", ".htm"):
        raise BadInput(f"-o {output}: charts are written as HTML; the name must end in .html")
    with _progress() as progress:
        run = Run(
            requests=requests or (20_000 if trace is None else 100_000_000),
            seconds=None if minutes is None else minutes * 60,
            seed=seed,
            rate=multiple,
            failures=tuple(Failure.parse(text) for text in fail or ()),
            trace=trace,
            reading=Reading(format=format_),
            day=diurnal,
            period_s=units.seconds(period),
            progress=progress,
        )
        report = replay(wanted, run)
    if output is not None:
        from solver.simulate.charts import save

        save(report, output)
    if as_json:
        sys.stdout.write(json.dumps(report.to_plain(), indent=1) + "\n")
    else:
        print(report)


def _multiple(text: str) -> float:
    """``x1.2`` as a number.

    Raises
    ------
    BadInput
    """
    found = _RATE.match(text.strip())
    if not found:
        raise BadInput(f"--rate {text[:40]!r}: write a multiple of the planned traffic, such as x1.2")
    return float(found["multiple"])


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr while it is a terminal: requests so far, and in all."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(file=sys.stderr), disable=not sys.stderr.isatty(), transient=True) as bar:
        task = bar.add_task("requests", total=None)
        yield lambda done, whole: bar.update(task, completed=done, total=whole)
