"""``rackplan fidelity``: how well predictions agree with measured runs, and calibrations fitted to them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from solver.cli.app import AsJson, app
from solver.cli.outputs import ready
from solver.errors import BadInput
from topologies.writing import write_file

if TYPE_CHECKING:
    from solver.study.fidelity import FidelityReport


@app.command(
    epilog="Example: rackplan fidelity runs.csv --fit ours.json, then put calibration: ours.json into a scenario."
)
def fidelity(
    data: Annotated[
        list[Path], typer.Argument(metavar="DATA...", help="Measured serving runs: CSV, one a line, or JSON records.")
    ],
    fit: Annotated[Path | None, typer.Option(help="Fit calibrations to the runs and write them here.")] = None,
    leave_out: Annotated[
        str | None, typer.Option(help="Predict each llm, device, engine, role or random fifth by a fit to the others.")
    ] = None,
    calibration: Annotated[
        Path | None, typer.Option(help="Calibrations to judge instead of the packaged ones.")
    ] = None,
    chart: Annotated[Path | None, typer.Option(help="Predicted against measured, as .svg, .png or .html.")] = None,
    tally: Annotated[
        Path | None, typer.Option(help="Count the runs by what they had, as plans ask for it, and write the counts here.")
    ] = None,
    surprises: Annotated[
        Path | None,
        typer.Option(help="With --leave-out: write here what the runs say of how far off predictions may be."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare predictions with measured runs: TPOT, TTFT and throughput by LLM, device, engine and precision."""
    from rich.console import Console

    from solver.cost.calibration import calibrations_from_json
    from solver.study.fidelity import Runs, packaged_for, predict, read_runs, report
    from solver.study.fidelity.chart import save
    from solver.study.fidelity.held_out import SPLITS, fit_runs, predict_held_out
    from solver.workload.files import parse_document, read_text

    if leave_out is not None and leave_out not in SPLITS:
        raise BadInput(f"--leave-out {leave_out[:40]!r}: one of {', '.join(SPLITS)}")
    if surprises is not None and leave_out is None:
        raise BadInput("--surprises needs --leave-out llm: spreads are those of predictions that never saw the LLM")
    ready([fit, chart, tally, surprises], [*data, calibration])
    files = [read_runs(str(path)) for path in data]
    runs = Runs.of(files)
    if tally is not None:
        from solver.study.fidelity.tally import counted

        _write(tally, counted(files))
    start, doubts = packaged_for(runs)
    if calibration is not None:
        text = read_text(calibration, 2**20)
        known = calibrations_from_json(parse_document(text, str(calibration)), str(calibration))
        start, doubts = {family: known.get(family, cal) for family, cal in start.items()}, ()
    fitted = None
    if fit is not None:
        fitted = fit_runs(runs, start)
        if fitted is None:
            raise BadInput(f"{runs.source}: no run to fit to")
        _write(fit, {"calibrations": [cal.to_json() for cal in fitted.labelled(runs.source)]})
    with Console(stderr=True).status("predicting") as status:
        if leave_out is not None:
            found = predict_held_out(runs, start, leave_out, lambda fold: status.update(f"without {fold}"))
        else:
            found = predict(runs, {**start, **(fitted.calibrations if fitted else {})})
    if surprises is not None:
        from solver.study.fidelity.surprises import content

        _write_rows(surprises, content(runs, predict(runs, start), found, start))
    judged = report(runs, found, start, leave_out)
    if chart is not None:
        save(judged, str(chart))
    if as_json:
        print(json.dumps({**judged.to_json(), "undetermined": fitted.undetermined if fitted else []}, indent=1))
        return
    print(_text(judged))
    for doubt in doubts:
        print(f"note: {doubt}")
    for line in runs.skipped:
        print(f"left out: {line}")
    if fitted is not None:
        print(f"{fit}: {len(fitted.calibrations)} calibrations; scenarios use one by calibration: {fit}")
        print(f"not determined by these runs: {', '.join(fitted.undetermined) or 'nothing'}")


def _write(path: Path, content: dict[str, Any]) -> None:
    write_file(path, json.dumps(content, indent=1) + "\n")


def _write_rows(path: Path, content: dict[str, Any]) -> None:
    """JSON with a line for each entry of each part."""

    def part(value: dict[str, Any] | list[Any]) -> str:
        if isinstance(value, dict):
            return "{\n" + ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items()) + "\n }"
        return "[\n" + ",\n".join(f"  {json.dumps(row)}" for row in value) + "\n ]"

    write_file(path, "{\n" + ",\n".join(f" {json.dumps(k)}: {part(v)}" for k, v in content.items()) + "\n}\n")


def _text(found: FidelityReport) -> str:
    from solver.study.fidelity.report import QUANTITIES, SLICES

    lines = [f"{len(found.runs.runs)} runs of {found.runs.source}"]
    for quantity, figures in found.overall.items():
        if figures.runs:
            lines.append(
                f"  {quantity:10} off by {figures.mape:.1%} on average, {figures.median:.1%} at the median; "
                f"bias {figures.bias:+.1%}, rank correlation {figures.rank:.3f}"
            )
    inside = ", ".join(f"{quantity} {share:.0%}" for quantity, share in found.covered.items() if share == share)
    lines.append(f"  inside the 80 % intervals: {inside}")
    chosen = found.choices
    if chosen.pairs:
        share = chosen.ordered / chosen.pairs
        lines.append(
            f"  pairs of layouts of one version at equal load in the right order: {share:.1%} of {chosen.pairs}"
        )
    if chosen.pairs_wide:
        share = chosen.ordered_wide / chosen.pairs_wide
        lines.append(f"    those that differ by over 20 %: {share:.1%} of {chosen.pairs_wide}")
    if chosen.choices:
        lines.append(
            f"  throughput lost by choosing layouts by prediction: {chosen.regret:.1%} in {chosen.choices} choices"
        )
    lines.append(f"  {'by LLM, device, engine, precision':46} runs   TPOT   bias   TTFT  throughput")
    for label, of in found.by["group"].items():
        tpot, ttft, rate = of["tpot"], of["ttft"], of["throughput"]
        lines.append(
            f"  {label:46} {tpot.runs:4} {tpot.mape:6.1%} {tpot.bias:+6.1%} {ttft.median:6.1%} {rate.mape:6.1%}"
        )
    for kind in SLICES:
        lines.append(f"  {'by ' + kind:46} runs   TPOT   bias   TTFT  throughput   inside 80 %: TPOT, TTFT, throughput")
        for label, of in found.by[kind].items():
            tpot, ttft, rate = of["tpot"], of["ttft"], of["throughput"]
            covered = found.covered_by[kind].get(label, {})
            shares = ", ".join(f"{covered[q]:.0%}" if q in covered else "few" for q in QUANTITIES)
            lines.append(
                f"  {label:46} {tpot.runs:4} {tpot.mape:6.1%} {tpot.bias:+6.1%} {ttft.median:6.1%} {rate.mape:6.1%}   {shares}"
            )
    worst = ", ".join(f"{run.id} ({ratio:.2f}x)" for run, ratio in found.worst()[:3])
    if worst:
        lines.append(f"  furthest off in TPOT: {worst}")
    return "\n".join(lines)
