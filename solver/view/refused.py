"""The page of a scenario that has no plan: what conflicts, what is reachable, and the cheapest way out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from solver.cost.instance import Instance
from solver.view.amounts import percent, plural
from solver.view.html import document
from solver.view.markup import Markup, tag
from solver.view.sections.tables import table

#: Width of the longest bar [em].
BAR = 14


class Way(Protocol):
    """A rule to give up: in words, what is reachable without it, and the share of it that is lost."""

    @property
    def rule(self) -> str: ...
    @property
    def offer(self) -> str: ...
    @property
    def loss(self) -> float: ...


def render_refusal(instance: Instance, reason: str, rules: Sequence[str], ways: Sequence[Way]) -> str:
    """The page as text."""
    kinds = " and ".join(plural(fleet.devices, f"{fleet.device.name.upper()} device") for fleet in instance.fleets)
    heading = f"No plan for {instance.llm.name} on {kinds}"
    first = f"Cheapest to give up: {ways[0].rule} ({ways[0].offer})." if ways else reason
    return document(
        heading,
        tag("section", tag("h1", heading), tag("p", first, class_="verdict"), _conflict(rules), id="answer"),
        _ways(ways),
    )


def _conflict(rules: Sequence[str]) -> Markup | None:
    if not rules:
        return None
    listed = tag("ul", (tag("li", rule) for rule in rules), class_="binding")
    return Markup(tag("h2", "These rules cannot all hold") + listed)


def _ways(ways: Sequence[Way]) -> Markup | None:
    """Every rule that alone stands in the way, the cheapest to give up first, with a bar for what is left of it."""
    if not ways:
        return None
    rows = ((way.rule, _then(way)) for way in ways)
    told = "The longer the bar, the less of the rule is given up"
    return tag("section", tag("h2", "Ways out, one rule at a time"), table(("give up", "then"), rows, told), id="ways")


def _then(way: Way) -> Markup:
    share = 1 - way.loss
    style = f"display:block;height:.7em;background:#0072B2;width:{BAR * max(share, 0.004):.2f}em"
    return Markup(tag("span", f"{way.offer}: {percent(share)} left") + tag("span", "", style=style))
