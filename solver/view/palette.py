"""Colours that survive colour-blindness, grey print and both themes.

Kinds get Okabe and Ito's hues (jfly, 2008; without yellow and black, which vanish on one of the themes) and a letter besides;
orders get ramps whose lightness alone tells the order.
"""

from __future__ import annotations

from collections.abc import Sequence

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
HEAT_DARK = ("#2B3238", "#53351A", "#7A430F", "#A3590D", "#CF7818", "#EE9B3F", "#FBC381", "#FFE9CC")
#: Shares of its bandwidth at which a link passes from one heat to the next.
HEAT_STEPS = (0.0, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9)

#: What a standalone drawing needs besides the rules of :func:`colour_rules`.
DRAWING_RULES = """
text{font:10px system-ui,"DejaVu Sans",sans-serif;fill:#1b1f24}
.d rect{stroke:#0003;stroke-width:.5}.d text{font-size:9px;text-anchor:middle}
.u rect{fill:#fff;stroke:#8a939c;stroke-dasharray:2 2;stroke-width:1}.u text{fill:#5b646d}
.x rect{fill:#d0d4d8;stroke:#5b646d}.x path{stroke:#1b1f24;stroke-width:1.5;fill:none}
.small .u rect{fill:#e6e9ec;stroke:none}.small .frame{stroke-width:3}
.frame{fill:none;stroke:#aab2ba}.host{fill:#5b646d;text-anchor:end}.title{font-size:13px;font-weight:600}
.node rect{fill:#f6f7f8;stroke:#5b646d}.node text{text-anchor:middle}.tier{fill:#5b646d}.edge{fill:none}
.middle{text-anchor:middle}
.cold{fill:none;stroke:#c3c9cf;stroke-width:.7}
"""


def colour_rules(heat: Sequence[str] = HEAT) -> str:
    """CSS rules of kinds (``p0``...), order (``q0``...) and heat (``h0``...)."""
    rules = [f".p{i} rect{{fill:{fill}}}.p{i} text{{fill:{ink}}}" for i, (fill, ink) in enumerate(KINDS)]
    rules += [f".q{i} rect{{fill:{fill}}}.q{i} text{{fill:{ink}}}" for i, (fill, ink) in enumerate(ORDER)]
    rules += [f"path.h{i}.c{{fill:{fill}}}.edge.h{i}{{stroke:{fill}}}" for i, fill in enumerate(heat)]
    return "".join(rules)


def heat_step(share: float) -> int:
    """Step of the heat ramp for a link that is so full.

    >>> heat_step(0), heat_step(0.03), heat_step(0.5), heat_step(1.2)
    (0, 1, 4, 7)
    """
    return 0 if share <= 0 else sum(share > step for step in HEAT_STEPS)


def page_rules() -> str:
    """The same rules for a page, where the heat follows its theme."""

    def ramp(fills: Sequence[str]) -> str:
        return ":root{" + "".join(f"--h{i}:{fill};" for i, fill in enumerate(fills)) + "}"

    dark = f"@media screen and (prefers-color-scheme:dark){{{ramp(HEAT_DARK)}}}"
    return ramp(HEAT) + dark + colour_rules([f"var(--h{i})" for i in range(len(HEAT))])


def kind(index: int) -> str:
    """CSS class of the index-th pool or replica."""
    return f"p{index % len(KINDS)}"
