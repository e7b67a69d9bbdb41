"""Equal-cost shortest paths on a directed graph of arcs, in arrays.

At every vertex the traffic towards a target is split evenly over all next hops that lie on a shortest path, as routers
hash flows. Hops decide, never bandwidths: a faster link draws no traffic, so raising a bandwidth never raises any
utilisation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Toward:
    """How traffic reaches the nearest of some targets.

    Attributes
    ----------
    targets: vertices where traffic leaves, each at distance zero.
    distance: hops to the nearest target, -1 where none is reached; one per vertex.
    arcs: arcs on shortest paths, farthest first.
    tails, heads: ends of those arcs.
    share: part of what is at the tail that takes the arc.
    levels: where each distance starts in ``arcs``, and the end.
    """

    targets: Ints
    distance: Ints
    arcs: Ints
    tails: Ints
    heads: Ints
    share: Floats
    levels: Ints

    def push(self, inject: Floats, loads: Floats) -> Floats:
        """Add the arc loads of traffic injected at vertices; return what arrives at each target."""
        here = inject.copy()
        for start, end in zip(self.levels[:-1], self.levels[1:], strict=True):
            flow = here[self.tails[start:end]] * self.share[start:end]
            loads[self.arcs[start:end]] += flow
            np.add.at(here, self.heads[start:end], flow)
        arrived: Floats = here[self.targets]
        return arrived

    def arrivals(self) -> Floats:
        """Part of the traffic from each vertex (row) that arrives at each target (column)."""
        part = np.zeros((len(self.distance), len(self.targets)))
        part[self.targets, np.arange(len(self.targets))] = 1.0
        for start, end in zip(self.levels[-2::-1], self.levels[:0:-1], strict=True):
            np.add.at(part, self.tails[start:end], self.share[start:end, None] * part[self.heads[start:end]])
        return part


class EqualCost:
    """A directed graph of which shortest-path trees are asked for again and again.

    Parameters
    ----------
    size: number of vertices.
    tails, heads: ends of each arc.
    """

    def __init__(self, size: int, tails: Sequence[int], heads: Sequence[int]) -> None:
        self.size = size
        self.tails: Ints = np.asarray(tails, dtype=np.int64)
        self.heads: Ints = np.asarray(heads, dtype=np.int64)
        self._known: dict[tuple[int, ...], Toward] = {}

    def toward(self, targets: tuple[int, ...]) -> Toward:
        """Shortest paths to the nearest of the targets."""
        if targets not in self._known:
            self._known[targets] = self._search(np.asarray(targets, dtype=np.int64))
        return self._known[targets]

    def _search(self, targets: Ints) -> Toward:
        distance = np.full(self.size, -1, dtype=np.int64)
        distance[targets] = 0
        level, grew = 0, True
        while grew:
            reached = self.tails[(distance[self.heads] == level) & (distance[self.tails] < 0)]
            level, grew = level + 1, bool(len(reached))
            distance[reached] = level
        arcs = np.flatnonzero((distance[self.heads] >= 0) & (distance[self.tails] == distance[self.heads] + 1))
        arcs = arcs[np.lexsort((self.heads[arcs], self.tails[arcs], -distance[self.tails[arcs]]))]
        tails, heads = self.tails[arcs], self.heads[arcs]
        fan_out = np.bincount(tails, minlength=self.size)
        steps = np.flatnonzero(np.diff(distance[tails], prepend=-1)) if len(arcs) else np.empty(0, dtype=np.int64)
        levels = np.append(steps, len(arcs)) if len(arcs) else np.zeros(1, dtype=np.int64)
        return Toward(targets, distance, arcs, tails, heads, 1.0 / fan_out[tails], levels)
