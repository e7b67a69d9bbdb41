"""``rackplan learn``: runs of one's own taken into the calibrations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from solver.cli.app import AsJson, app
from solver.cli.outputs import ready
from topologies.writing import write_file

if TYPE_CHECKING:
    from solver.plan import Plan
    from solver.study.learning.update import Learned


@app.command(
    epilog="Example: rackplan learn bench/ -o ours.calibration.json --plan plan.json, then rackplan solve mine.yaml "
    "--calibration ours.calibration.json"
)
def learn(
    results: Annotated[
        list[Path],
        typer.Argument(
            metavar="RESULTS...",
            help="Folders that rackplan measure wrote, with what the load testers and engines (*.log) wrote into them; single "
            "files beside their expected.json; tables of runs as fidelity reads them.",
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Calibrations that know the runs, written here.")],
    calibration: Annotated[
        Path | None,
        typer.Option(help="Learn on from these calibrations instead of the packaged ones; runs that they know stay known."),
    ] = None,
    plan: Annotated[Path | None, typer.Option(help="Solve its scenario again, and say whether the decision changes.")] = None,
    believe: Annotated[bool, typer.Option("--believe", help="Take runs that contradict everything known, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Teach the calibrations what your runs showed: a few move what these runs share, many move the fitted numbers.

    Runs that contradict everything that is known are named and left out unless they are believed.
    """
    from solver.plan import Plan
    from solver.study.fidelity.runs import Runs
    from solver.study.learning.files import content_of, earlier
    from solver.study.learning.results import read_results
    from solver.study.learning.update import learn as learned_from

    ready([output], [*results, calibration, plan])
    planned = None if plan is None else Plan.load(plan)
    start, before = ({}, ()) if calibration is None else earlier(calibration)
    runs, logs = read_results(results)
    found = learned_from(Runs(runs.source, (*before, *runs.runs), runs.skipped), start, logs, believe)
    write_file(output, json.dumps(content_of(found, start), indent=1) + "\n")
    decision = None if planned is None else _decision(planned, content_of(found, start))
    if as_json:
        print(json.dumps(_plain(found, runs.skipped, decision), indent=1))
        return
    print("\n".join([*_lines(found, len(before)), *(f"left out: {line}" for line in runs.skipped)]))
    if decision is not None:
        print(decision["told"])
    print(f"{output}: rackplan solve --calibration {output} plans with it")


def _decision(plan: Plan, calibration: dict[str, Any]) -> dict[str, Any]:
    """What is best now, beside what was."""
    from solver.optimize.solve import solve_scenario

    scenario = plan.scenario.model_copy(update={"calibration": calibration})
    outcome = solve_scenario(scenario)
    if outcome.found is None:
        return {"changes": True, "told": f"the decision changes: {outcome.reason}"}

    def pools(of: Plan) -> list[str]:
        return [f"{pool.role} {pool.replicas} x ({pool.parallelism.shape()}) {pool.device}" for pool in of.pools]

    costs = [each.objective.usd_per_million_output_tokens for each in (plan, outcome.found)]
    cost = f"{costs[0]:.4g} USD per million output tokens before, {costs[1]:.4g} now"
    if pools(plan) == pools(outcome.found):
        return {"changes": False, "told": f"the decision stays: {', '.join(pools(plan))}; {cost}"}
    told = f"the decision changes: {', '.join(pools(plan))} before, {', '.join(pools(outcome.found))} now; {cost}"
    return {"changes": True, "told": told}


def _lines(found: Learned, before: int) -> list[str]:
    """What changed."""
    own = f", {before} of them known before" if before else ""
    lines = [f"{len(found.runs)} runs of your own{own}"]
    lines += [
        f"  {label}: predicted TPOT x {factor:.3f}; one standard deviation of it was {was:.1%} and is {now:.1%}"
        for label, (factor, was, now) in found.shifts.items()
    ]
    lines += [f"  {label} x {factor:.3f}" for label, factor in sorted(found.moved.items())]
    lines += [f"  {line}" for line in found.memory]
    kept = {run.id for run in found.runs}
    for question in found.questioned:
        lines.append(f"questioned{'' if question.run.id in kept else ' and left out (--believe takes it)'}: {question}")
    return lines


def _plain(found: Learned, skipped: tuple[str, ...], decision: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "runs": [run.id for run in found.runs],
        "questioned": [
            {"id": q.run.id, "figure": q.output, "factor": q.off, "deviations": q.deviations} for q in found.questioned
        ],
        "left_out": list(skipped),
        "shifts": {
            label: {"tpot_factor": factor, "deviation_before": was, "deviation_after": now}
            for label, (factor, was, now) in found.shifts.items()
        },
        "numbers": dict(found.moved),
        "memory": list(found.memory),
        "decision": decision,
    }
