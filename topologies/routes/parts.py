"""What domains and routes both start from, so that whoever asks for both walks the graph once."""

from __future__ import annotations

from dataclasses import dataclass

import networkx as nx

from topologies.components import Component, scale_up_components
from topologies.routes.exits import Exits


@dataclass(frozen=True)
class Parts:
    """The connected parts of a cluster's scale-up fabric, and the ways from its vertices onto the scale-out fabric."""

    components: list[Component]
    exits: Exits

    @classmethod
    def of(cls, graph: nx.Graph[str]) -> Parts:
        """Those of a checked cluster; later changes to it are not seen."""
        return cls(scale_up_components(graph), Exits(graph))
