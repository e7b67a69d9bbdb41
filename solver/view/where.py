"""Which devices hold a layer, or one of its experts."""

from __future__ import annotations

from collections.abc import Iterator

from solver.errors import BadInput
from solver.plan import Placed, Plan, Pool
from solver.view.experts import expert_rank, experts_of, slots_of


def holders(plan: Plan, layer: int, expert: int | None = None) -> list[Placed]:
    """The ranks that hold a layer, or one expert of it; ranks that share an expert's matrices all count.

    Raises
    ------
    BadInput: no such layer, no experts in it, or no such expert; names what there is.
    """
    last = max(stage.layers[1] for pool in plan.pools for stage in pool.stages)
    if not 0 <= layer <= last:
        raise BadInput(f"layer {layer}: this LLM has layers 0 to {last}")
    if expert is not None and layer not in {found.layer for found in plan.experts}:
        raise BadInput(f"layer {layer} has no experts that pools deal out to ranks; leave --expert out")
    ranks = {pool.name: _expert_ranks(plan, pool, layer, expert) for pool in plan.pools}
    return list(_holding(plan, layer, ranks))


def _expert_ranks(plan: Plan, pool: Pool, layer: int, expert: int | None) -> set[int | None] | None:
    """Expert-parallel ranks that hold an expert; None where every rank of the layer's stage holds all of them."""
    known = next((found for found in experts_of(plan) if found.pool == pool.name), None)
    numbers = [] if known is None else [n for n, layers in enumerate(known.layers) if layer in layers]
    if expert is None or known is None or not numbers:
        return None
    slots = known.maps[numbers[0]]
    if expert not in slots:
        raise BadInput(f"expert {expert}: layer {layer} has experts 0 to {max(slots)}")
    return {rank for rank in range(known.ranks) if expert in slots_of(slots, known.ranks, rank)}


def _holding(plan: Plan, layer: int, ranks: dict[str, set[int | None] | None]) -> Iterator[Placed]:
    for placed in plan.placement:
        pool = plan.pool(placed.pool)
        first, last = pool.stages[placed.stage].layers
        wanted = ranks[pool.name]
        if first <= layer <= last and (wanted is None or expert_rank(pool, placed.rank) in wanted):
            yield placed
