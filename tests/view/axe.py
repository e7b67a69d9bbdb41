"""axe-core in a page that a browser shows: what hinders people who read by keyboard, screen reader or strong contrast."""

from __future__ import annotations

from importlib.resources import files

from chromium import Chromium

#: Everything is open and lies on one plain ground: axe judges neither what is closed nor text over a gradient.
LAID_OPEN = """
for (const part of document.querySelectorAll("details")) part.open = true;
for (const box of document.querySelectorAll(".scroll")) box.style.background = "none";
"""
#: Frames are pages of their own, judged by themselves.
FOUND = """
axe.run({resultTypes: ["violations"], iframes: false}).then(({violations}) =>
  violations.flatMap(({id, help, nodes}) => nodes.map(node => `${id}: ${help}: ${node.html}`.slice(0, 300))))
"""


def violations(browser: Chromium) -> list[str]:
    """Rule, what it asks for, and the element, for each violation of any weight."""
    browser.evaluate(files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8") + "; 0")
    browser.evaluate(LAID_OPEN)
    return list(browser.evaluate(FOUND))
