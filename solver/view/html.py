"""The page: one file that needs nothing else, to look at a plan, to print it and to send it on."""

from __future__ import annotations

from importlib.resources import files
from os import PathLike
from pathlib import Path

from solver.errors import BadInput
from solver.plan import Plan
from solver.view.colouring import colouring
from solver.view.markup import Markup, tag
from solver.view.scene import Scene
from solver.view.sections.answer import answer
from solver.view.topology import cluster_svg
from solver.view.words import title


def save(plan: Plan, path: str | PathLike[str]) -> None:
    """Write the page.

    Raises
    ------
    BadInput: the file cannot be written.
    """
    text = render(plan)
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{path}: cannot be written: {error.strerror}") from None


def render(plan: Plan) -> str:
    """The page as text."""
    scene = Scene.of(plan)
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"{title(scene)} - rackplan"),
        tag("style", Markup(_asset("page.css"))),
    )
    body = tag("body", tag("main", answer(scene), Markup(cluster_svg(scene, colouring(scene, "pool")))))
    return "<!doctype html>\n" + tag("html", head, body, lang="en") + "\n"


def _asset(name: str) -> str:
    return files("solver.view").joinpath("assets", name).read_text(encoding="utf-8")
