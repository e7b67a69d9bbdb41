"""The places for expert replicas: ranks, slots on each rank, ranks on each node."""

from __future__ import annotations

from dataclasses import dataclass

from solver.errors import BadInput


@dataclass(frozen=True)
class SlotGrid:
    """``ranks`` x ``slots`` places for copies; ``ranks_per_node`` successive ranks share a node (0: all of them).

    A node is what the fast links span: a host with its switch, or a scale-up domain.

    >>> grid = SlotGrid(ranks=32, slots=9, ranks_per_node=8)
    >>> grid.places, grid.nodes, grid.places_per_node
    (288, 4, 72)
    """

    ranks: int
    slots: int
    ranks_per_node: int = 0

    def __post_init__(self) -> None:
        if self.ranks < 1 or self.slots < 1:
            raise BadInput(f"expert placement needs at least one rank and one slot; got {self.ranks} x {self.slots}")
        if self.ranks_per_node == 0:
            object.__setattr__(self, "ranks_per_node", self.ranks)
        if self.ranks_per_node < 1 or self.ranks % self.ranks_per_node:
            raise BadInput(
                f"{self.ranks} ranks cannot be spread over nodes of {self.ranks_per_node} ranks; "
                "the number of ranks must be a multiple of the ranks on a node"
            )

    @property
    def places(self) -> int:
        """Slots of one layer on all ranks."""
        return self.ranks * self.slots

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return self.ranks // self.ranks_per_node

    @property
    def places_per_node(self) -> int:
        """Slots of one layer on a node."""
        return self.ranks_per_node * self.slots

    def require_room(self, experts: int) -> None:
        """Refuse a grid that cannot hold every expert once, or that has more slots than distinct copies can fill."""
        if self.places < experts:
            least = -(-experts // self.ranks)
            raise BadInput(
                f"{experts} experts do not fit in {self.ranks} ranks x {self.slots} slots = {self.places} places; "
                f"the fewest slots that hold them are {least} a rank"
            )
        if self.slots > experts:
            raise BadInput(
                f"{self.slots} slots on a rank cannot hold distinct copies of {experts} experts; "
                f"use at most {experts} slots a rank"
            )
