"""What there is to tell about a rank: its layers, its experts and its memory, shared by all alike ranks of a pool."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from solver.plan import Memory, Placed, Pool
from solver.view.amounts import ranges
from solver.view.experts import PoolExperts, expert_rank, experts_of, slots_of
from solver.view.ledgers import stage_ledgers
from solver.view.scene import Scene


@dataclass(frozen=True)
class PoolFacts:
    """The facts of a pool's ranks.

    Attributes
    ----------
    ledgers: memory of a rank of each stage.
    experts: the expert maps; None for a pool without.
    """

    pool: Pool
    ledgers: tuple[Memory, ...]
    experts: PoolExperts | None

    def layers(self, stage: int) -> str:
        """First and last layer of a stage."""
        first, last = self.pool.stages[stage].layers
        return f"{first}–{last}"

    def used_bytes(self, stage: int) -> float:
        """Memory that a rank of a stage takes [bytes]."""
        return self.ledgers[stage].used_bytes

    def expert_rank(self, rank: int) -> int | None:
        """Expert-parallel rank of a rank; None for a pool without experts."""
        return None if self.experts is None else expert_rank(self.pool, rank)

    @cached_property
    def held(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Layers that share an expert map, and the experts that each expert rank holds there."""
        if self.experts is None:
            return ()
        e = self.experts
        by_rank = [tuple(ranges([*slots_of(slots, e.ranks, rank)]) for rank in range(e.ranks)) for slots in e.maps]
        return tuple((ranges([*layers]), held) for layers, held in zip(e.layers, by_rank, strict=True))

    def experts_told(self, rank: int) -> str:
        """The experts of a rank in a few words."""
        where = self.expert_rank(rank)
        if where is None:
            return ""
        if len(self.held) == 1:
            return self.held[0][1][where]
        return f"rank {where} of {len(self.held)} maps"


def facts(scene: Scene) -> dict[str, PoolFacts]:
    """The facts of every pool."""
    maps = {found.pool: found for found in experts_of(scene.plan)}
    return {pool.name: PoolFacts(pool, stage_ledgers(scene, pool), maps.get(pool.name)) for pool in scene.plan.pools}


def by_replica(scene: Scene) -> dict[tuple[str, int], list[Placed]]:
    """Ranks of each replica, stage by stage, pools in the plan's order."""
    found: dict[tuple[str, int], list[Placed]] = {}
    order = sorted(scene.plan.placement, key=lambda r: (scene.numbers[r.pool], r.replica, r.stage, r.rank))
    for rank in order:
        found.setdefault((rank.pool, rank.replica), []).append(rank)
    return found
