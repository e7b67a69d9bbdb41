"""The floor beneath a plan's cost, and what stands between: derived from the plan alone, as the witness prices it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from solver.check.evidence import Evidence
from solver.cost.instance import Instance
from solver.cost.pool.waterfall import CAUSES, Waterfall, waterfall
from solver.plan import Plan

#: What is paid for beside pools at work, and every cause in words.
IDLE, MEMORY = "whole hosts", "memory"
WORDS: Mapping[str, str] = {
    "arithmetic": "matrix products at the devices' peak: the floor, which a full batch of short contexts would reach",
    "batch": "weights read for a batch of this size",
    "KV cache": "KV caches read",
    "attention": "arithmetic of attention over the context",
    "GEMM kernels": "what matrix products reach of the peaks",
    "attention kernels": "what attention reaches of the peaks, and how well arithmetic and reading overlap",
    "uneven experts": "experts loaded unevenly: the fullest rank is waited for",
    "network": "collectives between devices",
    "launches": "launches of kernels, scheduler and sampler",
    "waiting": "prefill kept free so that prompts need not queue",
    MEMORY: "memory beside the devices in which idle KV waits",
    IDLE: "devices that are billed and run nothing",
}


@dataclass(frozen=True)
class CostFloor:
    """What a million output tokens cost by cause [USD]; the parts add up to the plan's cost.

    Attributes
    ----------
    parts: by cause, from the floor upwards.
    by_pool: the same of every pool at work.
    steps: what every pool's step is made of [s].
    saving: what another plan could cost less, at most: cost less bound [USD].
    """

    parts: dict[str, float]
    by_pool: dict[str, dict[str, float]]
    steps: dict[str, dict[str, float]]
    saving: float

    @property
    def cost(self) -> float:
        """All parts together."""
        return math.fsum(self.parts.values())

    @property
    def floor(self) -> float:
        """The first part: arithmetic alone."""
        return self.parts["arithmetic"]

    def lines(self) -> list[str]:
        """A sentence for every part, the floor first, and one for what another plan could save."""
        told = [
            f"{usd:.4g} USD, {usd / self.cost:.1%}: {WORDS[name]} ({name})."
            for name, usd in self.parts.items()
            if abs(usd) > 5e-4 * self.cost
        ]
        largest = max((name for name in self.parts if name != "arithmetic"), key=lambda name: self.parts[name])
        return [
            *told,
            f"The cost is {self.cost / self.floor:.3g} times its floor, most of it {largest}; another plan saves at most "
            f"{self.saving:.4g} USD, the gap.",
        ]


def cost_floor(plan: Plan, instance: Instance | None = None) -> CostFloor:
    """Take a plan's cost apart."""
    return floor_beneath(Evidence(plan, instance or Instance.of(plan.scenario)))


def floor_beneath(evidence: Evidence) -> CostFloor:
    """As :func:`cost_floor`, with a plan that is priced already."""
    plan = evidence.plan
    usd_per_rate = 1e6 / (3600 * plan.prediction.output_tokens_per_s)
    falls = {pool.name: _fall(evidence, pool.name) for pool in plan.pools}
    by_pool = {}
    for pool in plan.pools:
        rent = evidence.instance.usd_per_hour(pool.device)
        requests = pool.replicas * float(evidence.services[pool.name].requests_per_s[0])
        each = falls[pool.name].device_s
        by_pool[pool.name] = {cause: requests * each[cause] * rent * usd_per_rate for cause in CAUSES}
    parts = {cause: math.fsum(pool[cause] for pool in by_pool.values()) for cause in CAUSES}
    parts[MEMORY] = math.fsum(math.fsum(tier.usd_per_hour.values()) for tier in plan.kv_tiers) * usd_per_rate
    cost = plan.objective.usd_per_million_output_tokens
    parts[IDLE] = cost - math.fsum(parts.values())
    steps = {name: fall.step_s for name, fall in falls.items()}
    return CostFloor(parts, by_pool, steps, cost - plan.objective.bound)


def _fall(evidence: Evidence, name: str) -> Waterfall:
    pool = evidence.plan.pool(name)
    return waterfall(evidence.priced[name], evidence.services[name], evidence.instance.fleet(pool.device).device)
