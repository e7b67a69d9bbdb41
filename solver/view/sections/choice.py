"""The choice: the plan among the best plans of other structures, as a table and as cost against speed."""

from __future__ import annotations

from collections.abc import Iterator

from solver.plan import Plan, Rival
from solver.plan.rivals import best_and_regret, interval, layout, needs, odds, proof
from solver.view import charts as draw
from solver.view.amounts import percent, usd
from solver.view.markup import Child, Markup, tag
from solver.view.scene import Scene
from solver.view.sections.chart_row import chart_row
from solver.view.sections.tables import table
from topologies.units import show_seconds

HEADS = ("structure", "cost", "best in", "regret", "proof", "TTFT, TPOT p95", "layout", "unmeasured", "needs")
SAID = (
    "The best plan of every other structure that was asked for, under the same promises; none was replayed. Costs are per "
    "million output tokens within the promises, each with the range that holds in 80 % of the draws of what predictions may be "
    "off by. In the same draws: how often each is the cheapest, and what it is expected to cost more than the cheapest would. "
    "Times are those of all requests together, whatever their class."
)


def choice(scene: Scene) -> Markup | None:
    """What else was solved; None where nothing was asked for."""
    plan = scene.plan
    if not plan.rivals:
        return None
    chart = None
    if any(rival.tpot_p95_s for rival in plan.rivals):
        chart = chart_row([draw.choice_chart(plan)], "choice")
    return tag(
        "section",
        tag("h2", "The choice"),
        tag("p", SAID),
        tag("p", odds(plan)) if plan.odds else None,
        table(HEADS, [_ours(plan), *(tuple(_cells(plan, rival)) for rival in plan.rivals)], "The plan and its rivals"),
        chart,
        id="choice",
    )


def _ours(plan: Plan) -> tuple[Child, ...]:
    o, p = plan.objective, plan.prediction
    untried = [rests.mechanism for pool in plan.pools for rests in pool.rests_on if not rests.runs]
    return (
        draw.OURS,
        _ranged(usd(o.usd_per_million_output_tokens), o.interval_80),
        *best_and_regret(plan.odds),
        f"none under {o.bound:.4g}",
        f"{show_seconds(p.ttft_p95_s)}, {show_seconds(p.tpot_p95_s)}",
        layout(plan),
        ", ".join(dict.fromkeys(untried)) or "nothing",
        ", ".join(needs(plan)),
    )


def _cells(plan: Plan, rival: Rival) -> Iterator[Child]:
    yield rival.structure
    cost = rival.usd_per_million_output_tokens
    if cost is None or rival.ttft_p95_s is None or rival.tpot_p95_s is None:
        yield from ("", "", "", proof(rival), *[""] * (len(HEADS) - 5))
        return
    ours = plan.objective.usd_per_million_output_tokens
    over = cost / ours - 1 if ours else 0.0
    yield _ranged(f"{usd(cost)} ({'-' if over < 0 else '+'}{percent(abs(over))})", rival.interval_80)
    yield from best_and_regret(rival.odds)
    yield proof(rival)
    yield f"{show_seconds(rival.ttft_p95_s)}, {show_seconds(rival.tpot_p95_s)}"
    yield rival.layout
    yield ", ".join(rival.untried) or "nothing"
    yield ", ".join(rival.needs)


def _ranged(cost: str, low_high: tuple[float, float] | None) -> Markup:
    return tag("span", cost, tag("small", interval(low_high)) if low_high else None, class_="ranged")
