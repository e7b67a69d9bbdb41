"""``rackplan frontier``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from solver.cli.app import AsJson, app
from solver.cli.outputs import ready
from solver.cli.scenario import EXAMPLE, scenario_from
from topologies.units import show_seconds
from topologies.writing import write_file

if TYPE_CHECKING:
    from solver.plan import Plan
    from solver.study.frontier import Frontier, PriceOfSpeed, SpeedPoint


@app.command(
    epilog=f"Example: rackplan frontier deepseek-v3-2xnvl72 --points 20 --speed-ratio 2.5 -o frontier.svg. {EXAMPLE}"
)
def frontier(
    scenario: Annotated[
        str, typer.Argument(metavar="SCENARIO", help="A YAML or JSON file, or the name of a packaged scenario.")
    ],
    points: Annotated[int, typer.Option(min=2, max=1000, help="Speeds to solve at.")] = 20,
    speed_ratio: Annotated[
        float | None, typer.Option(help="Also price a tier so many times as fast as the standard one.")
    ] = 2.5,
    price_ratio: Annotated[float, typer.Option(min=1.0, help="Say how fast a tier of so many times the price is.")] = 6,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Draw the chart here (SVG).")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="path.to.field=value for any field of the scenario.")
    ] = None,
    time_limit: Annotated[float, typer.Option(min=0.1, help="Seconds for each search.")] = 60.0,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Points solved at once.")] = 2,
    seed: Annotated[int | None, typer.Option(help="Repeatable search.")] = None,
    as_json: AsJson = False,
) -> None:
    """Least cost per token at every speed a user may get: each point is a layout of its own, with its gap."""
    from solver.optimize.arithmetic.run import Effort
    from solver.study.frontier import frontier as solve_frontier

    ready([output], [scenario])
    wanted, folder = scenario_from(scenario, {}, settings or [])
    effort = Effort(time_limit_s=time_limit, workers=workers, seed=seed)
    found = solve_frontier(wanted, folder, points, effort, speed_ratio, _report)
    if output is not None:
        _draw(found, f"{wanted.llm.config if isinstance(wanted.llm.config, str) else 'LLM'}: cost of speed", output)
    if as_json:
        print(json.dumps(_plain(found, price_ratio), indent=1))
    else:
        print("\n".join(_words(found, price_ratio)))


def _report(done: int, count: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done} of {count} points", end="\n" if done == count else "", file=sys.stderr, flush=True)


def _draw(found: Frontier, title: str, output: Path) -> None:
    from solver.view.lines import lines, svg

    chart = lines(found.curves(), title, "output tokens/s of each user", "USD per million output tokens")
    write_file(output, svg(chart))


def _words(found: Frontier, price_ratio: float) -> Iterator[str]:
    """A table, and what speed costs."""
    yield "tokens/s/user  USD/Mtok     gap  roofline  layout"
    for point in found.points:
        roofline = "-" if point.roofline is None else f"{point.roofline:.4g}"
        if point.plan is None:
            yield f"{point.tokens_per_s:13.1f}  {'no plan':>8}  {'':>6}  {roofline:>8}  {point.because}"
        else:
            yield (
                f"{point.tokens_per_s:13.1f}  {point.usd:8.4g}  {point.gap:6.2%}  {roofline:>8}  {_layout(point.plan)}"
            )
    if found.answer is not None:
        yield _answer(found.answer)
    fast = found.fastest_within(price_ratio)
    yield (
        f"{price_ratio:g} times the standard price pays for {fast.tokens_per_s / found.standard.tokens_per_s:.3g} times the "
        f"speed: {fast.tokens_per_s:.3g} tokens/s"
    )


def _answer(answer: PriceOfSpeed) -> str:
    if answer.standard.plan is None or answer.fast.plan is None:
        return str(answer)
    return f"{answer}: {_layout(answer.standard.plan)} against {_layout(answer.fast.plan)}"


def _layout(plan: Plan) -> str:
    """The pools that decode, with their batches."""
    pools = [pool for pool in plan.pools if pool.role != "prefill"]
    return ", ".join(
        f"{pool.replicas} x ({pool.parallelism.shape()}) batch {pool.batch_per_rank * pool.parallelism.dp:,.0f} "
        f"step {show_seconds(pool.step_s)}"
        for pool in pools
    )


def _plain(found: Frontier, price_ratio: float) -> dict[str, Any]:
    answer = found.answer
    return {
        "points": [_plain_point(point) for point in found.points],
        "standard_tokens_per_s": found.standard.tokens_per_s,
        "answer": None
        if answer is None
        else {
            "speed_ratio": answer.speed_ratio,
            "price_ratio": answer.price_ratio,
            "standard": _plain_point(answer.standard),
            "fast": _plain_point(answer.fast),
        },
        "fastest_within": {"price_ratio": price_ratio, "tokens_per_s": found.fastest_within(price_ratio).tokens_per_s},
    }


def _plain_point(point: SpeedPoint) -> dict[str, Any]:
    return {
        "tokens_per_s_per_user": point.tokens_per_s,
        "usd_per_million_output_tokens": point.usd,
        "bound": None if point.plan is None else point.bound,
        "gap": point.gap,
        "roofline": point.roofline,
        "because": point.because,
        "pools": []
        if point.plan is None
        else [
            {
                "role": pool.role,
                "device": pool.device,
                "parallelism": pool.parallelism.model_dump(),
                "replicas": pool.replicas,
                "batch": pool.batch_per_rank * pool.parallelism.dp,
                "step_s": pool.step_s,
            }
            for pool in point.plan.pools
        ],
    }
