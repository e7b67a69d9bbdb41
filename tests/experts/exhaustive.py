"""Every placement of a tiny layer, one by one: what the searches must equal."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt


def placements(experts: int, ranks: int, slots: int) -> Iterator[npt.NDArray[np.int64]]:
    """All slots (ranks, slots) that hold every expert, copies on distinct ranks; ranks in any one order."""
    contents = list(itertools.combinations(range(experts), slots))
    for chosen in itertools.combinations_with_replacement(contents, ranks):
        placed = np.array(chosen)
        if len(np.unique(placed)) == experts:
            yield placed


def hottest(loads: npt.NDArray[np.float64], placed: npt.NDArray[np.int64]) -> float:
    """Load of the hottest rank, an expert's load split evenly over its copies."""
    total = [0.0] * len(placed)
    copies = {expert: int((placed == expert).sum()) for expert in range(len(loads))}
    for rank, experts in enumerate(placed.tolist()):
        total[rank] = sum(loads[expert] / copies[expert] for expert in experts)
    return max(total)


def least_hottest(loads: npt.NDArray[np.float64], ranks: int, slots: int) -> float:
    """The optimum."""
    return min(hottest(loads, placed) for placed in placements(len(loads), ranks, slots))


def all_counts(experts: int, places: int, most: int) -> Iterator[npt.NDArray[np.int64]]:
    """All ways to give every expert one to ``most`` copies that fill the places."""
    for cuts in itertools.combinations(range(1, places), experts - 1):
        counts = np.diff(np.array((0, *cuts, places)))
        if counts.max() <= most:
            yield counts


def sharings(things: Sequence[int], size: int) -> Iterator[list[tuple[int, ...]]]:
    """All ways to cut things into unordered parts of one size."""
    if not things:
        yield []
        return
    for companions in itertools.combinations(things[1:], size - 1):
        rest = [thing for thing in things[1:] if thing not in companions]
        for others in sharings(rest, size):
            yield [(things[0], *companions), *others]
