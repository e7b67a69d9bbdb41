"""Colours that survive colour-blindness, grey print and both themes.

Kinds get Okabe and Ito's hues (jfly, 2008; without yellow and black, which vanish on one of the themes) and a letter besides;
orders get ramps whose lightness alone tells the order.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

#: For pools and replicas, in turn, and the ink that is legible on each.
KINDS = (
    ("#0072B2", "#fff"),
    ("#E69F00", "#000"),
    ("#009E73", "#000"),
    ("#CC79A7", "#000"),
    ("#56B4E9", "#000"),
    ("#D55E00", "#000"),
)
#: For stages and ranks: Nuñez, Anderton and Renslow's cividis (PLOS ONE 2018) in ten steps.
ORDER = (
    ("#00224E", "#fff"),
    ("#123570", "#fff"),
    ("#3B496C", "#fff"),
    ("#575D6D", "#fff"),
    ("#707173", "#fff"),
    ("#8A8678", "#000"),
    ("#A59C74", "#000"),
    ("#C3B369", "#000"),
    ("#E1CC55", "#000"),
    ("#FEE838", "#000"),
)
#: For loads, on a light and on a dark page: from nothing to full.
HEAT = ("#E9ECEF", "#F8D9A8", "#F6BF70", "#EFA244", "#DD8220", "#B9620B", "#8A4306", "#552604")
HEAT_DARK = ("#2B3238", "#70471F", "#8A5016", "#A8600F", "#CF7818", "#EE9B3F", "#FBC381", "#FFE9CC")
#: Shares of its bandwidth at which a link passes from one heat to the next.
HEAT_STEPS = (0.0, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9)

#: The grounds of drawings on paper; a page has its own, by theme.
PAPER = {
    "ink": "#1b1f24",
    "faint": "#5b646d",
    "rule": "#aab2ba",
    "ground": "#fff",
    "unused": "#e9ecef",
    "broken": "#d0d4d8",
    "edge": "#0003",
    "idle": "#c9d0d6",
    **{f"h{step}": fill for step, fill in enumerate(HEAT)},
    **{f"on{step}": "#000" if step < 5 else "#fff" for step in range(len(HEAT))},
}
#: The same on a dark page.
NIGHT = {
    "ink": "#e8ebee",
    "faint": "#a3adb7",
    "rule": "#4b545d",
    "ground": "#15191d",
    "unused": "#2a3138",
    "broken": "#3b434b",
    "edge": "#fff5",
    "idle": "#4a545d",
    **{f"h{step}": fill for step, fill in enumerate(HEAT_DARK)},
    **{f"on{step}": "#fff" if step < 4 else "#000" for step in range(len(HEAT_DARK))},
}
#: How drawings use them.
DRAWING_RULES = """
svg:not(.marks) text{font:10px system-ui,"DejaVu Sans",sans-serif;fill:var(--ink)}
.d rect{stroke:var(--edge);stroke-width:.5}.d text{font-size:9px;text-anchor:middle}
.u rect{fill:var(--ground);stroke:var(--faint);stroke-dasharray:2 2;stroke-width:.8}
.x rect{fill:var(--broken);stroke:var(--faint)}.x path{stroke:var(--ink);stroke-width:1.5;fill:none}
.b rect,path.b{fill:var(--idle)}path.u{fill:var(--unused)}path.x{fill:var(--ink)}
.around{fill:none;stroke:var(--ink);stroke-width:1.5;stroke-linecap:square;pointer-events:none}
.frame{fill:none;stroke:var(--rule)}svg:not(.marks) :is(.host,.tier){fill:var(--faint)}.host{text-anchor:end}
svg:not(.marks) .title{font-size:13px;font-weight:600}
.node rect{stroke:var(--faint)}.node text,.middle{text-anchor:middle}.edge{fill:none}
svg:not(.marks) .node .key{text-anchor:start;fill:var(--ink)}
.tier-hbm{fill:#0072B2}.tier-dram{fill:#56B4E9}.tier-flash{fill:#E69F00}
svg:not(.marks) .tier-hbm text{fill:#fff}svg:not(.marks) :is(.tier-dram,.tier-flash) text{fill:#000}
.cold{fill:none;stroke:var(--rule);stroke-width:.7}
"""


def colour_rules(ways: Iterable[str]) -> str:
    """CSS rules of kinds and order for each way to colour devices, and of heat.

    A device bears a class for each way, such as ``pool-p0`` and ``stage-q3``; ``data-by`` above it says which one counts.
    """
    rules = []
    for way in ways:
        if way == "load":
            for index in range(len(HEAT)):
                here = f"[data-by=load] .load-h{index}"
                rules.append(f"{here}{{fill:var(--h{index})}}{here} text{{fill:var(--on{index})}}")
            continue
        kinds = KINDS if way in ("pool", "replica") else ORDER
        letter = "p" if kinds is KINDS else "q"
        for index, (fill, ink) in enumerate(kinds):
            here = f"[data-by={way}] .{way}-{letter}{index}"
            rules.append(f"{here}{{fill:{fill}}}{here} text{{fill:{ink}}}")
    rules += [
        f"path.h{i}.c{{fill:var(--h{i})}}.edge.h{i}{{stroke:var(--h{i})}}"
        f".n{i} rect{{fill:var(--h{i})}}svg:not(.marks) .n{i} text{{fill:var(--on{i})}}"
        for i in range(len(HEAT))
    ]
    return "".join(rules)


def theme_rules() -> str:
    """The grounds as variables that follow the theme of the page."""
    pairs = (f"--{name}:light-dark({day},{NIGHT[name]});" for name, day in PAPER.items())
    return ":root{" + "".join(pairs) + "}"


def on_paper(drawing: str) -> str:
    """Rules with every variable replaced by its colour on white, for programs that know no variables."""
    return re.sub(r"var\(--(\w+)\)", lambda match: PAPER[match[1]], drawing)


def heat_step(share: float) -> int:
    """Step of the heat ramp for a link that is so full.

    >>> heat_step(0), heat_step(0.03), heat_step(0.5), heat_step(1.2)
    (0, 1, 4, 7)
    """
    return 0 if share <= 0 else sum(share > step for step in HEAT_STEPS)


def kind(index: int) -> str:
    """Number of the colour of the index-th pool or replica, as the end of a CSS class."""
    return f"p{index % len(KINDS)}"
