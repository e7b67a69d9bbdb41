"""Two plans side by side on one page: their figures, what changes from one to the other, both clusters."""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike

from solver.plan import Plan
from solver.plan.diff import difference
from solver.plan.diff_words import words
from solver.plan.rivals import layout
from solver.view.amounts import percent, quantity, usd
from solver.view.colouring import colouring
from solver.view.html import document
from solver.view.markup import Markup, tag
from solver.view.scene import Scene
from solver.view.sections.tables import table
from solver.view.topology import draw_cluster
from solver.view.words import CHOICE, promises_kept, title, verdict
from topologies.units import show_seconds
from topologies.writing import write_file


def save_beside(one: Plan, other: Plan, path: str | PathLike[str], names: tuple[str, str] = ("A", "B")) -> None:
    """Write the page.

    Parameters
    ----------
    names: of both plans.

    Raises
    ------
    BadInput: the file cannot be written.
    """
    write_file(path, render_beside(one, other, names))


def render_beside(one: Plan, other: Plan, names: tuple[str, str] = ("A", "B")) -> str:
    """The page as text."""
    plans = one, other
    scenes = [Scene.of(plan) for plan in plans]
    costs = [plan.objective.usd_per_million_output_tokens for plan in plans]
    rows = [dict(_figures(scene)) for scene in scenes]
    every = list(dict.fromkeys(key for row in rows for key in row))
    drawn = (
        tag("figure", tag("figcaption", f"{name}: {title(scene)}"), _cluster(scene))
        for name, scene in zip(names, scenes, strict=True)
    )
    changes = (tag("li", line) for line in words(difference(one, other)))
    return document(
        f"{names[0]} beside {names[1]}",
        tag(
            "section",
            tag("h1", f"{names[0]} beside {names[1]}"),
            tag("p", _verdict(names, costs) + _other_prices(scenes), class_="verdict"),
            table(("figure", *names), [(key, *(row.get(key, "") for row in rows)) for key in every], "Both plans"),
            id="answer",
        ),
        tag("section", tag("h2", f"From {names[0]} to {names[1]}"), tag("ul", changes)),
        tag("section", tag("h2", "Both clusters"), tag("div", drawn, class_="beside")),
    )


def _cluster(scene: Scene) -> Markup:
    drawing = draw_cluster(scene, colouring(scene, "pool"))
    return tag("div", drawing.svg(role="img", aria_label=title(scene)), class_="scroll", tabindex=0)


def _prices(scene: Scene) -> Iterator[str]:
    """Devices in use, with what an hour of each costs on which terms."""
    for name in sorted({pool.device for pool in scene.plan.pools}):
        rent = scene.instance.rent(name)
        yield f"{name.upper()} {usd(rent.usd_per_hour)} ({rent.origin.partition(',')[0]})"


def _other_prices(scenes: list[Scene]) -> str:
    """A warning where both plans pay different prices for a kind of device."""
    one, other = ({pool.device for pool in scene.plan.pools} for scene in scenes)
    unlike = [name.upper() for name in sorted(one & other) if len({s.instance.usd_per_hour(name) for s in scenes}) > 1]
    return f" Their prices of {' and '.join(unlike)} are not the same." if unlike else ""


def _verdict(names: tuple[str, str], costs: list[float]) -> str:
    least, most = sorted(costs)
    if not least or most / least - 1 < 5e-5:
        return "Both cost the same per output token."
    cheaper = names[0] if costs[0] < costs[1] else names[1]
    return f"{cheaper} is {most / least:.3g} times cheaper per output token."


def _figures(scene: Scene) -> Iterator[tuple[str, str]]:
    """What a plan is compared by."""
    plan = scene.plan
    o, p = plan.objective, plan.prediction
    yield "per million output tokens", usd(o.usd_per_million_output_tokens)
    yield "no plan under", usd(o.bound)
    yield "verdict", verdict(scene)
    yield "per hour", usd(o.usd_per_hour)
    yield "devices in use", f"{plan.devices:,}"
    yield "devices billed", f"{scene.billed:,}"
    yield "prices per device-hour", ", ".join(_prices(scene))
    yield "output tokens/s", quantity(round(p.output_tokens_per_s))
    yield "layout", layout(plan)
    for name, latency in p.classes.items():
        yield f"{name}: TTFT p95", show_seconds(latency.ttft_p95_s)
        yield f"{name}: TPOT p95", show_seconds(latency.tpot_p95_s)
    for kept in promises_kept(scene):
        yield f"{kept.request_class}: {kept.what} to spare", percent(kept.spare)
    untried = [rests.mechanism for pool in plan.pools for rests in pool.rests_on if not rests.runs]
    yield "rests on what no measured run had", ", ".join(dict.fromkeys(untried)) or "nothing"
    for rule in plan.binding:
        if rule.rule in CHOICE:
            yield f"why so ({rule.rule})", rule.because
