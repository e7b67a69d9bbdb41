"""The answer first: what the plan costs, how good it is, what it keeps and what limits it."""

from __future__ import annotations

from solver.view.amounts import percent, quantity, usd
from solver.view.markup import Markup, tag
from solver.view.scene import Scene
from solver.view.words import CHOICE, NO_GAP, sentences, tightest, title, verdict


def answer(scene: Scene) -> Markup:
    """Heading, the figures that decide, and the whole answer in sentences."""
    return tag(
        "section",
        tag("h1", title(scene)),
        tag("p", verdict(scene), class_="verdict"),
        _figures(scene),
        tag("p", " ".join(sentences(scene))),
        tag("h2", "What limits it"),
        _binding(scene),
        _doubts(scene),
        id="answer",
    )


def _figures(scene: Scene) -> Markup:
    o, p = scene.plan.objective, scene.plan.prediction
    least = tightest(scene)
    billed = f", {scene.billed:,} billed" if scene.billed != scene.plan.devices else ""
    cards = [
        (usd(o.usd_per_million_output_tokens), "per million output tokens"),
        (percent(o.gap) if o.gap >= NO_GAP else "0%", "gap: the most that any other plan could save"),
        (usd(o.usd_per_hour), "per hour"),
        (f"{scene.plan.devices:,}", f"of {scene.healthy:,} healthy devices in use{billed}"),
        (quantity(round(p.output_tokens_per_s)), "output tokens/s"),
    ]
    if least is not None:
        cards.append(
            (percent(least.spare), f"to spare on the tightest promise, {least.what} of {least.request_class!r}")
        )
    return tag("dl", (tag("div", tag("dt", words), tag("dd", figure)) for figure, words in cards), class_="cards")


def _binding(scene: Scene) -> Markup:
    tight = [rule for rule in scene.plan.binding if rule.rule not in CHOICE]
    if not tight:
        return tag("p", "No rule is tight: the cheapest layout keeps every promise with room to spare.")
    return tag(
        "ul",
        (
            tag("li", rule.because, " ", tag("span", f"{percent(rule.slack)} left", class_="slack"))
            for rule in sorted(tight, key=lambda rule: rule.slack)
        ),
        class_="binding",
    )


def _doubts(scene: Scene) -> Markup | None:
    """Why the cost model should be trusted less here."""
    reasons = scene.plan.prediction.extrapolated
    if not reasons:
        return None
    return tag(
        "div",
        tag("strong", "Trust these predictions less than usual:"),
        tag("ul", (tag("li", reason) for reason in reasons)),
        class_="note",
    )
