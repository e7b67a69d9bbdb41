"""The page of a training plan, to look at, to print and to send on; no script, nothing fetched."""

from __future__ import annotations

from importlib.resources import files
from os import PathLike

from solver.training.plan import TrainingPlan
from solver.view.amounts import percent, quantity, usd
from solver.view.markup import Markup, tag
from solver.view.palette import DRAWING_RULES, theme_rules
from solver.view.training.links import links
from solver.view.training.memory import memory
from solver.view.training.pipeline import pipeline
from solver.view.training.placement import placement, placement_rules
from solver.view.training.stage_set import StageSet
from topologies.units import show_seconds
from topologies.writing import write_file

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def save_training_page(plan: TrainingPlan, path: str | PathLike[str]) -> None:
    """Write the page.

    Raises
    ------
    BadInput: the file cannot be written.
    """
    write_file(path, render_training(plan))


def render_training(plan: TrainingPlan) -> str:
    """The page as text."""
    scene = StageSet.of(plan)
    main = (answer(scene), placement(scene), pipeline(scene), memory(scene), links(scene), about(scene))
    return "<!doctype html>\n" + tag("html", _head(scene), tag("body", tag("main", main)), lang="en") + "\n"


def training_title(scene: StageSet) -> str:
    """What is trained, and where."""
    plan = scene.plan
    return f"Training {scene.instance.network.name} on {len(plan.placement):,} x {plan.device.upper()}"


def answer(scene: StageSet) -> Markup:
    """Heading, the figures that decide, and the layout in words."""
    plan, cost, step = scene.plan, scene.plan.objective, scene.plan.prediction
    cards = [
        (usd(cost.usd_per_million_tokens), "per million training tokens"),
        (percent(cost.gap), "gap: the most that any other layout of the space could save"),
        (show_seconds(step.step_s), "a step of the optimiser"),
        (
            percent(step.mfu_causal),
            f"MFU of the bf16 peak, causal attention ({percent(step.mfu_full)} with masked scores counted)",
        ),
        (f"{step.days:,.1f} days", f"for {quantity(plan.scenario.training.total_tokens)} tokens"),
        (usd(cost.usd), "for the run"),
    ]
    notes = tag("div", tag("ul", (tag("li", one) for one in plan.caveats)), class_="note") if plan.caveats else None
    return tag(
        "section",
        tag("h1", training_title(scene)),
        tag("p", f"{plan.degrees.layout()}, products in {plan.precision}", class_="verdict"),
        tag("dl", (tag("div", tag("dt", words), tag("dd", figure)) for figure, words in cards), class_="cards"),
        tag("p", _shares(scene)),
        notes,
        id="answer",
    )


def _shares(scene: StageSet) -> str:
    """Where the step goes."""
    step = scene.plan.prediction
    work = step.step_s - step.bubble_s - step.outside_s
    return (
        f"Of a step {percent(work / step.step_s)} is the work of the slowest stage, {percent(step.bubble_s / step.step_s)} "
        f"bubbles, {percent(step.outside_s / step.step_s)} gradients, weights and the optimiser outside of it."
    )


def about(scene: StageSet) -> Markup:
    """What the plan was made with."""
    made = scene.plan.provenance
    facts = {
        "layouts considered": f"{made.layouts:,}",
        "the bound holds over": made.bound_over,
        "kernels measured on": made.kernels,
        "framework": scene.plan.scenario.training.framework,
        "made with": ", ".join(f"{name} {version}" for name, version in made.versions.items()),
    }
    rows = [(tag("dt", name), tag("dd", value)) for name, value in facts.items()]
    return tag("section", tag("h2", "How this was found"), tag("dl", rows, class_="about"), id="about")


def _head(scene: StageSet) -> Markup:
    style = files("solver.view").joinpath("assets", "page.css").read_text(encoding="utf-8")
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("title", f"{training_title(scene)} - rackplan"),
        tag("style", Markup(theme_rules() + DRAWING_RULES + style + placement_rules(scene))),
    )
