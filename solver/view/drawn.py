"""A finished part of a drawing, to be put on a page or into a file of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass

from solver.view.markup import Markup, number, tag
from solver.view.palette import DRAWING_RULES, colour_rules, on_paper


@dataclass(frozen=True)
class Drawn:
    """A part of a drawing: its size in pixels and its SVG elements."""

    width: float
    height: float
    elements: Markup

    def svg(self, **attributes: str) -> Markup:
        """The part as an SVG of its own, for a page."""
        box = f"0 0 {number(self.width)} {number(self.height)}"
        size = {"width": number(self.width), "height": number(self.height), "viewBox": box}
        return tag("svg", self.elements, **attributes, **size)

    def standalone(self, *ways: str) -> str:
        """The part as a file that needs nothing else, with a margin on white; ``ways`` are the colourings in it."""
        size = {"width": number(self.width + 16), "height": number(self.height + 16)}
        box = f"-8 -8 {size['width']} {size['height']}"
        style = tag("style", Markup(plain_selectors(on_paper(DRAWING_RULES + colour_rules(ways)))))
        paper = tag("rect", x=-8, y=-8, **size, fill="#fff")
        return tag("svg", style, paper, self.elements, xmlns="http://www.w3.org/2000/svg", **size, viewBox=box)


def plain_selectors(rules: str) -> str:
    """Rules without the selectors that converters of SVG files do not know; in a file of its own there are no others' marks.

    >>> plain_selectors("svg:not(.marks) :is(.host,.tier) text{fill:#000}")
    '.host text,.tier text{fill:#000}'
    """
    alone = rules.replace("svg:not(.marks) ", "")
    return re.sub(
        r":is\(([^)]*)\)([^{]*)\{", lambda found: ",".join(one + found[2] for one in found[1].split(",")) + "{", alone
    )


def to_png(svg: str, scale: float = 2.0) -> bytes:
    """An SVG as PNG; ``scale`` is its resolution over 96 dpi."""
    import vl_convert

    return bytes(vl_convert.svg_to_png(svg, scale=scale))
