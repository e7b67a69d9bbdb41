"""The page: one file that needs nothing else, to look at a plan, to print it and to send it on."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from importlib.resources import files
from os import PathLike

from solver.plan import Plan
from solver.view.colouring import WAYS
from solver.view.facts import PoolFacts, facts
from solver.view.markup import Markup, tag
from solver.view.page_data import page_data
from solver.view.palette import DRAWING_RULES, colour_rules, theme_rules
from solver.view.scene import Scene
from solver.view.sections.about import alternatives, provenance
from solver.view.sections.answer import answer
from solver.view.sections.charts import charts
from solver.view.sections.choice import choice
from solver.view.sections.cluster import cluster
from solver.view.sections.experts import experts
from solver.view.sections.floor import floor
from solver.view.sections.idle_kv import idle_kv
from solver.view.sections.network import network
from solver.view.sections.pools import pools
from solver.view.sections.promises import promises
from solver.view.sections.ranks import ranks
from solver.view.words import title
from topologies.writing import write_file

__all__ = ["Inline", "brief", "document", "render", "save"]

#: The page may run its own script and nothing else, and may fetch nothing at all.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


def save(plan: Plan, path: str | PathLike[str]) -> None:
    """Write the page.

    Raises
    ------
    BadInput: the file cannot be written.
    """
    write_file(path, render(plan))


def render(plan: Plan) -> str:
    """The page as text."""
    scene = Scene.of(plan)
    about_ranks = facts(scene)
    return _page(
        scene,
        (
            answer(scene),
            choice(scene),
            floor(scene),
            cluster(scene),
            pools(scene),
            promises(scene),
            charts(scene),
            network(scene),
            experts(scene),
            idle_kv(scene),
            alternatives(scene),
            ranks(scene, about_ranks),
            provenance(scene),
        ),
        about_ranks,
    )


def brief(plan: Plan) -> str:
    """The page's answer, topology and table of ranks alone."""
    scene = Scene.of(plan)
    about_ranks = facts(scene)
    return _page(scene, (answer(scene), cluster(scene), ranks(scene, about_ranks)), about_ranks)


def document(name: str, *sections: Markup | None) -> str:
    """A page of its own with sections that need no script."""
    body = tag("body", tag("main", sections))
    return "<!doctype html>\n" + tag("html", _head(name), body, lang="en") + "\n"


def _page(scene: Scene, sections: tuple[Markup | None, ...], about_ranks: dict[str, PoolFacts]) -> str:
    body = tag(
        "body",
        tag("button", "Light or dark", type="button", id="theme"),
        tag("main", sections),
        page_data(scene, about_ranks),
        tag("script", Markup(_asset("page.js"))),
    )
    return "<!doctype html>\n" + tag("html", _head(title(scene)), body, lang="en") + "\n"


@dataclass(frozen=True)
class Inline:
    """The page inside a notebook, in a frame of its own so that neither's style reaches the other.

    Attributes
    ----------
    height: of the frame [pixels]. whole: the whole page, or the answer, the topology and the ranks.
    """

    plan: Plan
    height: int = 800
    whole: bool = True

    def _repr_html_(self) -> str:
        page = escape(render(self.plan) if self.whole else brief(self.plan))
        return f'<iframe srcdoc="{page}" style="width:100%;height:{self.height}px;border:0"></iframe>'


def _head(name: str) -> Markup:
    rules = (theme_rules(), DRAWING_RULES, colour_rules(WAYS), _asset("page.css"))
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("title", f"{name} - rackplan"),
        tag("style", Markup("".join(rules))),
    )


def _asset(name: str) -> str:
    return files("solver.view").joinpath("assets", name).read_text(encoding="utf-8")
