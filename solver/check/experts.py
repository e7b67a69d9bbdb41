"""Every expert is somewhere, its copies are on different ranks, and ranks are as even as the prices assume."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from solver.check.evidence import Evidence, differs
from solver.plan import LayerMap, Pool

#: Share by which the recorded loads may lie less evenly than a pool claims.
UNEVENNESS = 0.005


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


def _map(experts: int, pool: Pool, expert_map: LayerMap) -> Iterator[str]:
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


def recorded_loads_are_balanced(evidence: Evidence) -> Iterator[str]:
    """Under the recorded loads the hottest rank over the mean is what each pool claims, over layers and workloads."""
    scenario, shares = evidence.instance.scenario, evidence.instance.expert_shares
    unread = [entry for entry in scenario.expert_loads if isinstance(entry, str)]
    if unread:
        yield f"the plan names expert loads {unread[0][:200]!r} without their content"
        return
    if shares is None:
        yield from _calibrated_imbalance(evidence)
        return
    routed = [number for number, layer in enumerate(evidence.instance.llm.layers) if layer.ffn.experts]
    asked = scenario.options.redundant_experts
    for pool in evidence.plan.pools:
        ep = pool.parallelism.ep
        if ep == 1:
            continue
        if asked not in ("auto", pool.redundant_experts):
            yield f"pool {pool.name} has {pool.redundant_experts} redundant experts; {asked} are asked for"
        maps = {m.layer: np.array(m.physical_to_logical) for m in evidence.plan.experts if m.pool == pool.name}
        real = float(np.mean([_hottest_over_mean(maps[n], shares[:, at], ep) for at, n in enumerate(routed)]))
        if real > pool.imbalance * (1 + UNEVENNESS):
            yield f"pool {pool.name} claims an imbalance of {pool.imbalance:.3f}; its maps give {real:.3f}"


def _calibrated_imbalance(evidence: Evidence) -> Iterator[str]:
    """Without recorded loads the hottest rank is as hot as the calibration says."""
    for pool in evidence.plan.pools:
        expected = evidence.calibration(pool).imbalance
        if differs(pool.imbalance, expected):
            yield (
                f"pool {pool.name} claims an imbalance of {pool.imbalance:.4g} without recorded loads; its calibration "
                f"says {expected:.4g}"
            )


def _hottest_over_mean(slots: NDArray[np.int64], shares: NDArray[np.float64], ep: int) -> float:
    """Of the ranks of one layer, mean over workloads; every copy of an expert serves an equal part.

    Parameters
    ----------
    slots: expert in each slot (slots,).
    shares: of the tokens by workload and expert (workloads, experts).
    """
    served = (shares / np.bincount(slots, minlength=shares.shape[1]))[:, slots]
    ranks = np.stack([part.sum(axis=1) for part in np.array_split(served, ep, axis=1)])
    return float((ranks.max(axis=0) / ranks.mean(axis=0)).mean())
