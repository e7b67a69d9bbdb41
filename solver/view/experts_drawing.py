"""Load of the expert ranks of a pool, layer by layer, as a heat map."""

from __future__ import annotations

from collections.abc import Sequence

from solver.view.drawn import Drawn
from solver.view.experts import PoolExperts
from solver.view.markup import Markup, number, tag
from solver.view.palette import HEAT

LEFT = 84
TOP = 18
WIDTH = 1120
#: Height of the rows when there are few, and the total when there are many.
ROW, MOST_HEIGHT = 22, 420


def draw_experts(experts: PoolExperts) -> Drawn:
    """Layers down, ranks across, the colour from the coolest to the hottest rank."""
    rows = [experts.loads[index] for _, index in experts.rows]
    height = min(ROW, MOST_HEIGHT / len(rows))
    width = min(56.0, (WIDTH - LEFT) / experts.ranks)
    paths = [tag("path", class_=f"h{step} c", d=d) for step, d in enumerate(_cells(rows, width, height)) if d]
    box = LEFT + width * experts.ranks, TOP + height * len(rows)
    texts = [*_layer_names([text for text, _ in experts.rows], height), *_rank_names(experts.ranks, width)]
    return Drawn(box[0] + 2, box[1] + 2, Markup("".join([*paths, *texts])))


def draw_scale() -> Drawn:
    """What the colours mean."""
    words = [f"up to {EDGES[0]:g}", *(f"over {edge:g}" for edge in EDGES)]
    parts = []
    for step, text in enumerate(words):
        x = step * 76
        parts.append(tag("path", class_=f"h{step} c", d=f"M{x} 1h16v12h-16z"))
        parts.append(tag("text", text, x=x + 21, y=11))
    return Drawn(76 * len(words), 15, Markup("".join(parts)))


def heat_of(load: float) -> int:
    """Step of the heat ramp of a rank: 0 below 0.8 of the mean, the last from 2.0 on.

    >>> heat_of(0.5), heat_of(1.0), heat_of(3.0)
    (0, 2, 7)
    """
    return sum(load > edge for edge in EDGES)


#: Loads over the mean at which the colour changes.
EDGES = (0.8, 0.95, 1.05, 1.15, 1.3, 1.5, 2.0)


def _cells(rows: Sequence[Sequence[float]], width: float, height: float) -> list[str]:
    """One path per colour: every rank's cell as a box with a hair of space."""
    paths: list[list[str]] = [[] for _ in HEAT]
    gap = 1.0 if min(width, height) > 5 else 0.0
    across, down = number(width - gap), number(height - gap)
    for row, loads in enumerate(rows):
        y = number(TOP + row * height)
        for rank, load in enumerate(loads):
            x = number(LEFT + rank * width)
            paths[heat_of(load)].append(f"M{x} {y}h{across}v{down}h-{across}z")
    return ["".join(boxes) for boxes in paths]


def _layer_names(names: Sequence[str], height: float) -> list[Markup]:
    every = max(1, round(11 / height))
    shown = [
        (row, f"layer{'' if name.isdigit() else 's'} {name}") for row, name in enumerate(names) if row % every == 0
    ]
    return [tag("text", name, class_="host", x=LEFT - 6, y=TOP + (row + 0.5) * height + 3.5) for row, name in shown]


def _rank_names(ranks: int, width: float) -> list[Markup]:
    every = max(1, round(24 / width))
    return [
        tag("text", rank, class_="tier middle", x=LEFT + (rank + 0.5) * width, y=TOP - 5)
        for rank in range(0, ranks, every)
    ]
