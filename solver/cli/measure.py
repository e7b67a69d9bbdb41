"""``rackplan measure``: load tests for what a plan rests on."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from solver.cli.app import AsJson, PlanFile, app


@app.command(epilog="Example: rackplan measure plan.json -o bench")
def measure(
    plan: PlanFile,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="DIR", help="Folder to write the load tests into.")
    ] = None,
    most: Annotated[int, typer.Option("--runs", min=1, max=1000, help="Runs at most.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Say what to measure before a plan is trusted, and write it as ready load tests with the figures to expect.

    One replica of each shape by itself, for vllm, sglang, trtllm, aiperf and guidellm, with what starts it. Where the plan
    names rivals (solve --alternatives), runs are ordered by the fall of expected regret per device-hour; else by the share of
    the cost that a shape takes over the measured runs behind its least supported mechanism.
    """
    from solver.plan import Plan
    from solver.study.bench import bench, lines
    from solver.study.measure import load_tests

    wanted = Plan.load(plan)
    tests = load_tests(wanted)[:most]
    if output is not None:
        written = bench(wanted, tests)
        written.save(output)
        for warning in written.warnings:
            print(f"warning: {warning}", file=sys.stderr)
    if as_json:
        print(json.dumps([test.plain() for test in tests], indent=1))
        return
    print("\n".join(lines(tests)))
