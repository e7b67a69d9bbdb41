"""``rackplan curve``, and ``rackplan frontier``, which is the curve over speed or confidence."""

from __future__ import annotations

import csv
import inspect
import io
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from solver.cli.app import AsJson, app
from solver.cli.outputs import ready
from solver.cli.scenario import EXAMPLE, scenario_from
from solver.errors import BadInput
from topologies.writing import write_file

if TYPE_CHECKING:
    from solver.study.curve.curve import CostCurve
    from solver.study.curve.points import CostPoint

_Scenario = Annotated[
    str, typer.Argument(metavar="SCENARIO", help="A YAML or JSON file, a plan, or the name of a packaged scenario.")
]
_Settings = Annotated[
    list[str] | None, typer.Option("--set", help="path.to.field=value for any field of the scenario.")
]
_Output = Annotated[
    list[Path] | None,
    typer.Option("-o", "--output", help="Write the chart (.svg) or the table (.csv); may be given twice."),
]
_Journal = Annotated[
    Path | None, typer.Option(help="File in which solved points are kept; a curve that was stopped goes on from it.")
]
_TimeLimit = Annotated[float, typer.Option(min=0.1, help="Seconds for each search.")]
_Workers = Annotated[int, typer.Option(min=1, max=256, help="Points solved at once.")]
_Seed = Annotated[int | None, typer.Option(help="Repeatable search.")]
_Points = Annotated[int, typer.Option(min=2, max=1000, help="Points, where no values are given.")]
_SpeedRatio = Annotated[float, typer.Option(help="Over speed: price a tier so many times as fast.")]
_PriceRatio = Annotated[float, typer.Option(help="Over speed: say how fast a tier of so many times the price is.")]


@app.command(
    epilog="Example: rackplan curve deepseek-v3-2xnvl72 --over speed --set objective=throughput -o speed.svg. "
    "solve decides a layout, explain varies one plan by tenths, curve varies one quantity beside its closed form, sweep "
    f"runs any grid. {EXAMPLE}"
)
def curve(
    scenario: _Scenario,
    over: Annotated[
        str,
        typer.Option(help="speed, batch, context, experts, domain, demand, confidence, hold, or batch,context for a map."),
    ],
    points: _Points = 8,
    values: Annotated[str | None, typer.Option(help="Values instead, such as 32,64,128.")] = None,
    speed_ratio: _SpeedRatio = 2.5,
    price_ratio: _PriceRatio = 6.0,
    output: _Output = None,
    settings: _Settings = None,
    journal: _Journal = None,
    time_limit: _TimeLimit = 60.0,
    workers: _Workers = 2,
    seed: _Seed = None,
    as_json: AsJson = False,
) -> None:
    """Vary one quantity: every point from the engine, with its floor, its bound and the lecture's closed form beside it.

    Batch and context hold the decoding layout of the best plan; every other point is solved anew, and billed as solve
    bills it.
    """
    drawn = _Drawn(scenario, settings or [], output or [], as_json)
    drawn.show(over, points, _numbers(values), (speed_ratio, price_ratio), journal, (time_limit, workers, seed))


def _options_of(whole: Callable[..., None], *settled: str, **other: Any) -> inspect.Signature:
    """The options of a command, without those that are settled and with some other defaults or other options."""
    given = inspect.signature(whole, eval_str=True).parameters
    kept = [option.replace(kind=option.KEYWORD_ONLY) for name, option in given.items() if name not in settled]

    def changed(option: inspect.Parameter) -> inspect.Parameter:
        new = other.get(option.name, option)
        return new if isinstance(new, inspect.Parameter) else option.replace(default=new)

    return inspect.Signature([changed(option) for option in kept])


def frontier(over: str, **given: Any) -> None:
    """Least cost per token at every speed a user may get, or at every confidence in the promises: short for curve --over."""
    if over not in ("speed", "confidence"):
        raise BadInput(f"frontier --over {over[:40]!r}: speed or confidence; curve varies everything else")
    curve(over=over, **given)


_OVER = inspect.Parameter(
    "over",
    inspect.Parameter.KEYWORD_ONLY,
    default="speed",
    annotation=Annotated[str, typer.Option(help="speed or confidence: what a faster user, or a surer promise, costs.")],
)
vars(frontier)["__signature__"] = _options_of(curve, "values", points=20, over=_OVER)
app.command(epilog=f"Example: rackplan frontier deepseek-v3-2xnvl72 --points 20 -o frontier.svg. {EXAMPLE}")(frontier)


class _Drawn:
    """A curve as a command shows it."""

    def __init__(self, source: str, settings: Sequence[str], outputs: Sequence[Path], as_json: bool) -> None:
        for output in outputs:
            if output.suffix not in (".svg", ".csv"):
                raise BadInput(f"-o {output}: a curve is written as .svg or .csv")
        ready(outputs, [source])
        self.scenario, self.folder = scenario_from(source, {}, settings)
        self.plan = _plan(source) if not settings else None
        self.outputs, self.as_json = outputs, as_json

    def show(
        self,
        over: str,
        points: int,
        values: Sequence[float],
        tiers: tuple[float, float],
        journal: Path | None,
        effort: tuple[float, int, int | None],
    ) -> None:
        """Compute, write and print it."""
        from solver.optimize.arithmetic.run import Effort
        from solver.study.curve.curve import curve as computed
        from solver.study.curve.solving import Solves

        if min(tiers) <= 1:
            raise BadInput(f"a fast tier is faster and dearer: both ratios must exceed 1, not {tiers[0]:g} and {tiers[1]:g}")
        ready([journal])
        limit, workers, seed = effort
        solves = Solves(self.folder, Effort(time_limit_s=limit, workers=workers, seed=seed), journal, _report)
        priced = tiers if over == "speed" and not values else None
        found = computed(self.scenario, over, points, values, solves, self.plan, priced)
        for output in self.outputs:
            write_file(output, _svg(found, self.scenario.llm.config) if output.suffix == ".svg" else _csv(found))
        print(json.dumps(_plain(found), indent=1) if self.as_json else "\n".join(_words(found)))


def _plan(source: str) -> Any:
    """The plan that a file holds, whose layout is then held; None where it holds a scenario."""
    from solver.plan import Plan
    from solver.workload.files import read_content

    content, _ = read_content(source)
    return Plan.load(source) if {"schema_version", "scenario"} <= content.keys() else None


def _numbers(text: str | None) -> list[float]:
    try:
        return [float(part) for part in text.split(",")] if text else []
    except ValueError:
        raise BadInput(f"--values {text!r:.60}: write numbers with commas between, such as 32,64,128") from None


def _report(done: int, count: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done} of {count} points", end="\n" if done == count else "", file=sys.stderr, flush=True)


def _svg(found: CostCurve, llm: object) -> str:
    from solver.view.lines import lines, svg

    name = llm if isinstance(llm, str) else "LLM"
    return svg(lines(found.lines(), f"{name}: cost over {found.over}", found.title, "USD per million output tokens"))


def _rows(found: CostCurve) -> list[dict[str, Any]]:
    """Points as rows of one table."""
    rows = []
    for point in found.points:
        plain = point.plain()
        causes = {f"usd_{name.replace(' ', '_')}": usd for name, usd in plain.pop("causes").items()}
        del plain["difference"]
        rows.append({**plain, **causes})
    return rows


def _csv(found: CostCurve) -> str:
    rows, text = _rows(found), io.StringIO()
    columns = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _words(found: CostCurve) -> Iterator[str]:
    """A table, what speed costs, and what should be known."""
    yield f"over {found.over}: {found.title}"
    if found.over == "batch,context":
        yield from _map(found)
    else:
        yield f"{'at':>12}  USD/Mtok    bound    floor  lecture  difference, and layout"
        yield from (_line(point) for point in found.points)
    if found.tiers is not None:
        yield from found.tiers.lines()
    yield from (f"note: {note}" for note in found.notes)


def _line(point: CostPoint) -> str:
    money = [_short(value) for value in (point.usd, point.bound, point.floor, point.lecture)]
    largest = sorted(point.difference.items(), key=lambda part: -abs(part[1]))[:2]
    named = ", ".join(f"{name} {usd:+.2g}" for name, usd in largest if point.usd and abs(usd) > 0.005 * point.usd)
    told = f"{named}{'; ' if named else ''}{point.layout}" if point.usd is not None else f"no plan: {point.because}"
    return f"{point.at:12,.4g}  {'  '.join(f'{text:>7}' for text in money)}  {told}"


def _short(value: float | None) -> str:
    return "-" if value is None or value == float("inf") else f"{value:.4g}"


def _map(found: CostCurve) -> Iterator[str]:
    """TPOT in ms by context and batch; a dash where the HBM ends."""
    batches = list(dict.fromkeys(point.at for point in found.points))
    yield "TPOT [ms] by context (down) and batch (across); - where the HBM does not hold it"
    yield f"{'':>10}" + "".join(f"{batch:10,.0f}" for batch in batches)
    for start in range(0, len(found.points), len(batches)):
        row = found.points[start : start + len(batches)]
        cells = (f"{point.figures['tpot_s'] * 1e3:10.3g}" if point.usd is not None else f"{'-':>10}" for point in row)
        yield f"{row[0].figures['context']:10,.0f}" + "".join(cells)


def _plain(found: CostCurve) -> dict[str, Any]:
    """JSON with no infinity in it."""
    points = [replace(p, bound=None if p.bound == float("inf") else p.bound).plain() for p in found.points]
    plain: dict[str, Any] = {"over": found.over, "title": found.title, "points": points, "notes": list(found.notes)}
    if found.tiers is not None:
        tiers = found.tiers
        served, beyond = tiers.within.served, tiers.within.beyond
        plain["tiers"] = {
            "standard_tokens_per_s": tiers.standard.at,
            "speed_ratio": tiers.speed_ratio,
            "dearer_between": tiers.dearer,
            "price_ratio": tiers.price_ratio,
            "fastest_tokens_per_s": served.at if served else None,
            "out_of_reach_tokens_per_s": beyond.at if beyond else None,
        }
    return plain
