"""``rackplan solve``."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from solver.cli.app import AsJson, app
from solver.cli.promises import NOTHING, promising, slo
from solver.cli.scenario import EXAMPLE, scenario_from
from solver.cli.train import is_training, show_training
from solver.cli.users import users_given
from solver.workload.measures import Measure

if TYPE_CHECKING:
    from solver.optimize.assembly.outcome import Outcome
    from solver.plan import Plan
    from solver.study.confirm import Trial
    from solver.workload import Scenario

_Text = Annotated[str | None, typer.Option()]


@app.command(epilog=f"Example: rackplan solve deepseek-v3-2xnvl72 --tpot-p95 40ms -o plan.json. {EXAMPLE}")
@promising
def solve(
    scenario: Annotated[
        str | None,
        typer.Argument(metavar="[SCENARIO]", help="A YAML or JSON file, or the name of a packaged scenario."),
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write the plan here.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page that shows the plan.")] = None,
    llm: Annotated[str | None, typer.Option(help="Catalog name or path of a config.json.")] = None,
    as_: Annotated[
        str | None,
        typer.Option("--as", metavar="FAMILY", help="Read the config as this family, on your responsibility."),
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(help="builder:argument=value,... such as nvl72:racks=2, or a cluster file.")
    ] = None,
    prompt_tokens: Annotated[int | None, typer.Option(help="Prompt tokens of the (first) class.")] = None,
    output_tokens: Annotated[int | None, typer.Option(help="Output tokens of the (first) class.")] = None,
    requests_per_s: Annotated[float | None, typer.Option(help="Arrivals of the (first) class.")] = None,
    users: Annotated[int | None, typer.Option(help="Users at work at once, in place of a rate.")] = None,
    speed: Annotated[
        float | None, typer.Option("--tokens-per-s-per-user", help="Speed that each user is promised.")
    ] = None,
    think: Annotated[
        str | None, typer.Option(help="From the last token to a user's next prompt, such as 14s.")
    ] = None,
    promises: Mapping[Measure, str] = NOTHING,
    engine: Annotated[str | None, typer.Option(help="vllm, sglang, trtllm, auto or ideal.")] = None,
    objective: Annotated[str | None, typer.Option(help="cost or throughput.")] = None,
    calibration: Annotated[
        Path | None, typer.Option(help="Calibrations of your own, as learn or fidelity --fit writes them.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="path.to.field=value for any other field.")
    ] = None,
    time_limit: Annotated[float, typer.Option(min=0.1, help="Seconds for the whole command; with --seed, work.")] = 60.0,
    gap: Annotated[float | None, typer.Option(min=0.0, max=1.0, help="Relative gap that counts as optimal.")] = None,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Threads of the search.")] = 2,
    seed: Annotated[int | None, typer.Option(help="Repeatable search: the same plan, byte for byte.")] = None,
    alternatives: Annotated[int, typer.Option(min=0, max=20, help="Structurally different plans to add.")] = 0,
    shortlist: Annotated[
        int,
        typer.Option(min=0, max=10, help="Best plans of other structures to solve in the time left, each with its bound."),
    ] = 0,
    from_: Annotated[
        Path | None,
        typer.Option(
            "--from", help="A plan in force: its replicas stay on their devices as far as that costs nothing."
        ),
    ] = None,
    without: Annotated[
        str | None, typer.Option(help="Devices, hosts or racks that are lost, such as rack0/host3,rack1.")
    ] = None,
    confirm: Annotated[
        bool | None,
        typer.Option(
            "--confirm/--no-confirm",
            help="Replay the plan at length, and tighten promises that it misses until they hold; or not at all. Without "
            "either, one short replay, and promises that it misses are tightened twice at most.",
        ),
    ] = None,
    confirm_traces: Annotated[
        list[Path] | None,
        typer.Option("--confirm-trace", help="Confirm with this trace instead of drawn traffic (implies --confirm)."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find the cheapest layout that keeps the promises, and prove how near to the best it is."""
    from solver.cli.interrupt import interruptible
    from solver.cli.outputs import ready
    from solver.optimize.arithmetic.run import Effort
    from solver.optimize.layout.losses import without as without_devices
    from solver.optimize.solve import solve_scenario
    from solver.plan import Plan
    from solver.plan.replayed import told
    from solver.study.confirm import confirm as confirmed
    from solver.study.confirm import why_not_judged
    from solver.study.shortlist import with_rivals

    flags: dict[str, Any] = {
        "llm.config": llm,
        "llm.as": as_,
        "cluster": cluster,
        "traffic.classes.0.prompt_tokens": prompt_tokens,
        "traffic.classes.0.output_tokens": output_tokens,
        "traffic.classes.0.requests_per_s": requests_per_s,
        "traffic.classes.0.users": users_given(users, speed, think, promises) or None,
        **{f"slo.{key}": text for key, text in slo(promises).items()},
        "engine": engine,
        "objective": objective,
        "options.gap": gap,
        "calibration": None if calibration is None else str(calibration.resolve()),
    }
    given = {key: value for key, value in flags.items() if value is not None}
    if scenario is not None and is_training(scenario):
        show_training(scenario, settings or [], output, time_limit, as_json, from_, without, html)
        return
    ready([output, html], [scenario, from_, *(confirm_traces or ())])
    running = None if from_ is None else Plan.load(from_)
    wanted, folder = scenario_from(scenario, given, settings or [], running)
    if without is not None:
        wanted = without_devices(wanted, [name.strip() for name in without.split(",") if name.strip()], folder)
    effort = Effort(time_limit_s=time_limit, workers=workers, seed=seed).started()
    assert effort.clock is not None
    with _live() as progress, interruptible(effort.clock) as stopped:
        effort = replace(effort, progress=progress)
        outcome = solve_scenario(wanted, effort, folder, alternatives, running)
        if confirm is not False or confirm_traces:
            again = partial(solve_scenario, alternatives=alternatives, running=running, reasons=False)
            trial = _trial(bool(confirm or confirm_traces), confirm_traces or (), seed)
            outcome = confirmed(wanted, outcome, effort, folder, trial, again)
        if shortlist and outcome.found is not None:
            outcome = replace(outcome, found=with_rivals(outcome.found, shortlist, effort, folder))
    if outcome.found is None and html is not None:
        _save_refusal(wanted, folder, outcome, html)
    plan = outcome.plan
    if output is not None:
        plan.save(output)
    if html is not None:
        from solver.view import html as page

        page.save(plan, html)
    if as_json:
        sys.stdout.write(plan.dumps())
    else:
        print(outcome)
        if plan.confirmation is not None:
            print(f"  {told(plan.confirmation)}")
        elif confirm is not False:
            print(f"  not replayed: {why_not_judged(plan)}")
        if plan.rivals:
            print(_rivals(plan))
    if stopped.status:
        print(f"rackplan: interrupted; this is the best plan so far, gap {plan.objective.gap:.2%}", file=sys.stderr)
        raise typer.Exit(stopped.status)


def _save_refusal(scenario: Scenario, folder: Path, outcome: Outcome, path: Path) -> None:
    """Write the page of a scenario without a plan."""
    from solver.cost.instance import Instance
    from solver.view.refused import render_refusal
    from topologies.writing import write_file

    refusal = outcome.refusal
    rules, ways = (refusal.rules, refusal.ways) if refusal else ((), ())
    write_file(path, render_refusal(Instance.of(scenario, folder), outcome.reason, rules, ways))


def _trial(thorough: bool, traces: Sequence[Path], seed: int | None) -> Trial:
    """How the plan is replayed."""
    from solver.study.confirm import CPU_S, Glance, Trial

    return Trial(traces=tuple(traces)) if thorough else Glance(cpu_s=CPU_S if seed is None else None)


def _rivals(plan: Plan) -> str:
    """The best plans of other structures, as a table."""
    from solver.plan.rivals import HEADS, apart_or_together, odds, table

    rows = [HEADS, *table(plan)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    told = [line for line in (apart_or_together(plan), odds(plan)) if line]
    return "\n".join([*told, "Best plans of other structures, not replayed:", *(f"  {line}" for line in lines)])


def _live() -> Any:
    from solver.cli.progress import Live

    return Live(sys.stderr)
