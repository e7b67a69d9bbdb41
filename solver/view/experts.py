"""Which experts each rank holds, layer by layer, and how much of the load that gives it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from solver.plan import Plan, Pool
from solver.view.amounts import ranges


@dataclass(frozen=True)
class PoolExperts:
    """The expert maps of a pool, alike layers together.

    Attributes
    ----------
    ranks: expert-parallel ranks of a replica.
    maps: distinct maps, each by slot; successive runs of slots belong to successive ranks.
    layers: the layers that have each map.
    """

    pool: str
    ranks: int
    maps: tuple[tuple[int, ...], ...]
    layers: tuple[tuple[int, ...], ...]

    @cached_property
    def rows(self) -> tuple[tuple[str, int], ...]:
        """Runs of successive layers with one map, as text, and which map that is."""
        by_layer = sorted((layer, index) for index, layers in enumerate(self.layers) for layer in layers)
        runs: list[tuple[list[int], int]] = []
        for layer, index in by_layer:
            if runs and runs[-1][1] == index and runs[-1][0][-1] == layer - 1:
                runs[-1][0].append(layer)
            else:
                runs.append(([layer], index))
        return tuple((ranges(layers), index) for layers, index in runs)

    @cached_property
    def loads(self) -> tuple[tuple[float, ...], ...]:
        """Load of each rank under each map, over the mean, where every expert is as busy and copies share evenly."""
        return tuple(rank_loads(slots, self.ranks) for slots in self.maps)

    @cached_property
    def hottest(self) -> float:
        """The busiest rank of any layer over the mean."""
        return max(max(loads) for loads in self.loads)


def experts_of(plan: Plan) -> tuple[PoolExperts, ...]:
    """The expert maps of every pool that has any."""
    found = []
    for pool in plan.pools:
        alike: dict[tuple[int, ...], list[int]] = {}
        for expert_map in plan.experts:
            if expert_map.pool == pool.name:
                alike.setdefault(expert_map.physical_to_logical, []).append(expert_map.layer)
        if alike:
            layers = tuple(tuple(sorted(numbers)) for numbers in alike.values())
            found.append(PoolExperts(pool.name, pool.parallelism.ep, tuple(alike), layers))
    return tuple(found)


def slots_of(slots: Sequence[int], ranks: int, rank: int) -> Sequence[int]:
    """Experts in the slots of one rank.

    >>> slots_of([0, 1, 2, 3, 0, 1], 3, 2)
    [0, 1]
    """
    each = -(-len(slots) // ranks)
    return slots[rank * each : (rank + 1) * each]


def rank_loads(slots: Sequence[int], ranks: int) -> tuple[float, ...]:
    """Load of each rank over the mean, for experts that are equally busy.

    >>> rank_loads([0, 1, 2, 0], 2)
    (1.0, 1.0)
    """
    copies: Mapping[int, int] = Counter(slots)
    shares = [sum(1 / copies[expert] for expert in slots_of(slots, ranks, rank)) for rank in range(ranks)]
    return tuple(share * ranks / len(copies) for share in shares)


def expert_rank(pool: Pool, rank: int) -> int:
    """Expert-parallel rank of an attention rank of a stage.

    Ranks that share an expert's matrices follow each other, except in TensorRT-LLM, which deals out expert ranks first.
    """
    degrees = pool.parallelism
    return rank % degrees.ep if pool.engine == "trtllm" else rank // degrees.moe_tp
