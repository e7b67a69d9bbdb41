"""The form as HTML, beside a frame that holds the plan's page."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from solver.live.form import FormField
from solver.view.markup import Markup, tag


def shell(entries: Sequence[FormField], shown: int) -> str:
    """The page around the plan's page.

    Parameters
    ----------
    shown: number of the plan that the frame starts with.
    """
    form = tag("form", _groups(entries), id="form", autocomplete="off")
    news = (
        tag("p", "", id="problem", role="alert"),
        tag("p", "", id="progress", role="status"),
        tag("div", _button("undo", "Undo"), _button("stop", "Stop the search"), class_="buttons"),
        tag("section", tag("h2", "What has changed"), tag("ul", "", id="changes"), id="difference", hidden=True),
        tag("p", _download("scenario.yaml"), _download("plan.json"), class_="buttons"),
    )
    aside = tag("aside", tag("h1", "What if?"), form, tag("div", news, id="news"))
    frame = tag("iframe", "", src=f"/plan?{shown}", title="The plan", id="plan", data_shown=shown)
    body = tag("body", aside, tag("main", frame), tag("script", "", src="/live.js"))
    return "<!doctype html>\n" + tag("html", _head(), body, lang="en") + "\n"


def _head() -> Markup:
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", "rackplan, live"),
        tag("link", rel="icon", href="data:,"),
        tag("link", rel="stylesheet", href="/live.css"),
    )


def _groups(entries: Sequence[FormField]) -> list[Markup]:
    return [
        tag("fieldset", tag("legend", name), map(_field, members))
        for name, members in groupby(entries, lambda entry: entry.group)
    ]


def _field(entry: FormField) -> Markup:
    options = [tag("option", choice, selected=choice == entry.text) for choice in entry.choices]
    control = (
        tag("select", options, name=entry.name)
        if options
        else tag(
            "input", name=entry.name, value=entry.text, placeholder=entry.hint, title=entry.hint, spellcheck="false"
        )
    )
    return tag("label", tag("span", entry.label), control)


def _button(name: str, label: str) -> Markup:
    return tag("button", label, type="button", id=name, disabled=True)


def _download(name: str) -> Markup:
    return tag("a", name, href=f"/{name}", download=name)
