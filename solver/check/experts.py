"""Every expert is somewhere, and its copies are on different ranks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from solver.check.evidence import Evidence
from solver.plan import ExpertMap, Pool


def every_expert_present(evidence: Evidence) -> Iterator[str]:
    """A pool with expert parallelism has one map for every layer with experts; other pools have none."""
    llm, plan = evidence.instance.llm, evidence.plan
    given = Counter((m.pool, m.layer) for m in plan.experts)
    wanted = {
        (pool.name, number)
        for pool in plan.pools
        if pool.parallelism.ep > 1
        for number, layer in enumerate(llm.layers)
        if layer.ffn.experts
    }
    for pool_name, layer in sorted(wanted - given.keys())[:3]:
        yield f"pool {pool_name} has no expert map for layer {layer}"
    for pool_name, layer in sorted(given.keys() - wanted)[:3]:
        yield f"an expert map is given for layer {layer} of pool {pool_name}, which has none"
    for pool_name, layer in sorted(place for place, count in given.items() if count > 1)[:3]:
        yield f"layer {layer} of pool {pool_name} has two expert maps"
    pools = {pool.name: pool for pool in plan.pools}
    for expert_map in plan.experts:
        if (expert_map.pool, expert_map.layer) in wanted:
            yield from _map(llm.layers[expert_map.layer].ffn.experts, pools[expert_map.pool], expert_map)


def _map(experts: int, pool: Pool, expert_map: ExpertMap) -> Iterator[str]:
    where = f"layer {expert_map.layer} of pool {pool.name}"
    slots = expert_map.physical_to_logical
    if len(slots) != experts + pool.redundant_experts:
        yield f"{where} has {len(slots)} slots for {experts} experts and {pool.redundant_experts} redundant ones"
        return
    missing = sorted(set(range(experts)) - set(slots))
    if missing:
        yield f"{where} has no copy of expert {missing[0]}"
    if any(expert >= experts for expert in slots):
        yield f"{where} names expert {max(slots)}; the last is {experts - 1}"
    per_rank, extra = divmod(len(slots), pool.parallelism.ep)
    if extra:
        return
    for rank in range(pool.parallelism.ep):
        held = slots[rank * per_rank : (rank + 1) * per_rank]
        if len(set(held)) < len(held):
            yield f"rank {rank} holds two copies of one expert in {where}"
            return
