"""Replica shapes worth asking about: degrees of parallelism and how they lie over scale-up domains."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from solver.cost.network.fleet import Fleet
from solver.llm import LLM
from solver.replica import Parallelism, Role, Setup
from solver.space.engines import EngineRules

#: Pipeline depths that are tried: deeper ones gain nothing that fewer, fuller stages do not.
MOST_STAGES = 16
#: Scale-up domains that one replica may spread over.
MOST_DOMAINS = 64


@dataclass(frozen=True, order=True)
class Footprint:
    """What one replica takes from the cluster: a fragment of ``size`` devices in each of ``domains`` scale-up domains."""

    device: str
    size: int
    domains: int

    @property
    def devices(self) -> int:
        """Devices of one replica."""
        return self.size * self.domains


class Balance(Protocol):
    """How evenly recorded expert loads lie over ``ep`` ranks with so many spare copies of a replica."""

    def spares(self, ep: int) -> Sequence[int]:
        """Numbers of spare copies worth asking about; with each the copies divide evenly."""

    def imbalance(self, ep: int, redundant_experts: int) -> float:
        """Hottest rank over the mean that a placement reaches."""

    def least(self, ep: int, redundant_experts: int) -> float:
        """Hottest rank over the mean that no placement undercuts."""


def most_replicas(fleet: Fleet, footprint: Footprint) -> int:
    """Replicas of this footprint that fit when nothing else runs: each domain holds at most one fragment of each."""
    fragments = sum(c.count * (c.size // footprint.size) for c in fleet.classes)
    able = sum(c.count for c in fleet.classes if c.size >= footprint.size)
    return fragments // footprint.domains if able >= footprint.domains else 0


def shapes(
    llm: LLM, engine: EngineRules, role: Role, fleet: Fleet, balance: Balance | None = None
) -> Iterator[tuple[Setup, Footprint]]:
    """All setups that could lie on a fleet's domains, legal or not, but for what they do with tokens; in a fixed order.

    Parameters
    ----------
    balance: of recorded expert loads; without it a replica has no more spare copies than it needs to divide.
    """
    largest = max(fleet.domain_sizes)
    for tp in _tensor_parallel(llm, largest):
        for stage, spread in _stages(llm, tp, fleet.domain_sizes, fleet.domains, fleet.host_size):
            for pp in _depths(llm, stage, spread, largest, fleet.domains):
                footprint = _footprint(fleet.device.name, stage, spread, pp, largest)
                if footprint.domains > min(fleet.domains, MOST_DOMAINS):
                    continue
                for degrees in _with_experts(llm, engine, tp, stage, pp, spread):
                    for spare in _spare_copies(llm, engine, degrees, spread, balance):
                        yield Setup(role, engine.name, degrees, footprint.domains, spare), footprint


def _tensor_parallel(llm: LLM, largest: int) -> list[int]:
    """Divisors of the attention heads that fit into a domain."""
    heads = math.gcd(*(layer.attention.heads for layer, _ in llm.layer_kinds))
    return [tp for tp in range(1, min(heads, largest) + 1) if heads % tp == 0]


def _stages(llm: LLM, tp: int, domain_sizes: tuple[int, ...], domains: int, host: int) -> Iterator[tuple[int, int]]:
    """Ranks of a pipeline stage, and the scale-up domains that they spread over."""
    largest = max(domain_sizes)
    if not llm.experts:
        yield tp, 1
        return
    useful = {size for size in range(tp, largest + 1, tp) if _worth(size, llm.experts, domain_sizes, host)}
    for size in sorted(useful):
        yield size, 1
    whole = {size for size in domain_sizes if size % tp == 0}
    whole |= {max((s for s in useful if llm.experts % s == 0), default=tp)} if largest > host else set()
    for size in sorted(whole):
        for spread in range(2, min(domains, MOST_DOMAINS) + 1):
            if size * spread <= max(llm.experts, 1) * 2:
                yield size * spread, spread


def _worth(size: int, experts: int, domain_sizes: tuple[int, ...], host: int) -> bool:
    """Sizes that divide the experts or a domain, or fill hosts."""
    return experts % size == 0 or any(d % size == 0 for d in domain_sizes) or (size % host == 0 and size % 8 == 0)


def _depths(llm: LLM, stage: int, spread: int, largest: int, domains: int) -> Iterator[int]:
    """Numbers of pipeline stages: 1, or a few when a stage lies inside one domain."""
    yield 1
    if spread > 1:
        return
    for pp in (2, 3, 4, 6, 8, 12, 16):
        if pp <= min(len(llm.layers), MOST_STAGES) and stage * pp <= largest * domains:
            yield pp


def _footprint(device: str, stage: int, spread: int, pp: int, largest: int) -> Footprint:
    """Whole stages per domain, as many as fit and divide the pipeline evenly."""
    if spread > 1:
        return Footprint(device, stage // spread, spread)
    together = max(count for count in range(1, pp + 1) if pp % count == 0 and (count * stage <= largest or count == 1))
    return Footprint(device, stage * together, pp // together)


def _with_experts(llm: LLM, engine: EngineRules, tp: int, stage: int, pp: int, spread: int) -> Iterator[Parallelism]:
    """The ways in which a stage's ranks can share the experts; across domains only whole experts travel well."""
    if not llm.experts:
        yield Parallelism(tp=tp, pp=pp)
        return
    if spread > 1:
        yield Parallelism(tp=tp, dp=stage // tp, ep=stage)
        return
    degrees = (
        [1, stage] if engine.expert_parallel == "none_or_all" else [d for d in range(1, stage + 1) if stage % d == 0]
    )
    for ep in sorted(set(degrees)):
        yield Parallelism(tp=tp, pp=pp, dp=stage // tp, ep=ep, moe_tp=stage // ep)


def _spare_copies(
    llm: LLM, engine: EngineRules, degrees: Parallelism, spread: int, balance: Balance | None
) -> Sequence[int]:
    """Numbers of spare copies: the fewest that divide evenly over the ranks, where the engine needs that; more only
    where recorded loads say what they buy."""
    if degrees.ep == 1:
        return (0,)
    if balance is not None:
        return balance.spares(degrees.ep)
    if engine.experts_divide == "with_redundancy" and spread == 1:
        return (0,)
    return (-llm.experts % degrees.ep,)
