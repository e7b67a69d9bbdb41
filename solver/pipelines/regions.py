"""Machines among which links never bind, and what passes from one such region to another."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import networkx as nx

from solver.pipelines.machines import UnlikeMachines

Cell = tuple[int, str]
"""A region and a type: machines that the stage program does not tell apart."""


@dataclass(frozen=True, eq=False)
class Regions:
    """Regions of a fleet: parts joined by links that carry the whole flow.

    Attributes
    ----------
    members: machines of each region, ascending.
    loose: machines that reach fewer than half of their region directly, over links that carry the whole flow. A pipeline
        passes them between others that reach nearly all.
    """

    fleet: UnlikeMachines
    members: tuple[tuple[int, ...], ...]
    loose: frozenset[int] = frozenset()

    @classmethod
    def of(cls, fleet: UnlikeMachines, tokens_per_s: float) -> Regions:
        """Regions for a flow: a link that carries all of it can never bind."""
        graph: nx.Graph[int] = nx.Graph()
        graph.add_nodes_from(range(len(fleet.kinds)))
        graph.add_edges_from(
            (a, b) for (a, b), link in fleet.links.items() if min(a, b) >= 0 and link.tokens_per_s >= tokens_per_s
        )
        parts = tuple(sorted(tuple(sorted(part)) for part in nx.connected_components(graph)))
        loose = frozenset(m for part in parts for m in part if 2 * graph.degree(m) < len(part) - 1)
        return cls(fleet, parts, loose)

    def available(self, region: int, loose: bool) -> dict[str, list[int]]:
        """Loose or other machines of a region by type."""
        found = {
            kind: [m for m in machines if (m in self.loose) == loose]
            for (where, kind), machines in self.cells.items()
            if where == region
        }
        return {kind: machines for kind, machines in found.items() if machines}

    @cached_property
    def cells(self) -> dict[Cell, tuple[int, ...]]:
        """Machines of each cell."""
        return {
            (region, kind): found
            for region, members in enumerate(self.members)
            for kind in self.fleet.count
            if (found := tuple(m for m in members if self.fleet.kinds[m] == kind))
        }

    @cached_property
    def _widest(self) -> dict[tuple[Cell, Cell], list[float]]:
        """For cells in different regions, what the n widest links between them carry together (n,)."""
        found: dict[tuple[Cell, Cell], list[float]] = {}
        for one, senders in self.cells.items():
            for other, receivers in self.cells.items():
                if one[0] == other[0]:
                    continue
                links = [
                    self.fleet.links[a, b].tokens_per_s
                    for a in senders
                    for b in receivers
                    if (a, b) in self.fleet.links
                ]
                sums = [0.0]
                for rate in sorted(links, reverse=True):
                    sums.append(sums[-1] + rate)
                found[one, other] = sums
        return found

    def crossing(self, sender: int, sending: dict[str, int], receiver: int, receiving: dict[str, int]) -> float:
        """At most this many tokens/s pass between so many machines of each type in two regions."""
        total = 0.0
        for kind, number in sending.items():
            for other, more in receiving.items():
                sums = self._widest[(sender, kind), (receiver, other)]
                total += sums[min(number * more, len(sums) - 1)]
        return total
