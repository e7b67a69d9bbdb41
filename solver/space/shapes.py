"""Replica shapes worth asking about: degrees of parallelism and how they lie over scale-up domains."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from solver.cost.network.fleet import Fleet
from solver.llm import LLM
from solver.replica import Parallelism
from solver.space.engines import EngineRules

#: Pipeline depths that are tried: deeper ones gain nothing that fewer, fuller stages do not.
MOST_STAGES = 16
#: Scale-up domains that one replica may spread over.
MOST_FRAGMENTS = 64


@dataclass(frozen=True, order=True)
class Footprint:
    """What one replica takes from the cluster: ``fragments`` distinct scale-up domains, ``size`` devices in each.

    A replica that fits into one domain has one fragment.
    """

    device: str
    size: int
    fragments: int

    @property
    def devices(self) -> int:
        """Devices of one replica."""
        return self.size * self.fragments


class Balance(Protocol):
    """How evenly recorded expert loads lie over ``ep`` ranks with so many spare copies of a replica."""

    def spares(self, ep: int) -> Sequence[int]:
        """Numbers of spare copies worth asking about; with each the copies divide evenly."""

    def imbalance(self, ep: int, redundant: int) -> float:
        """Hottest rank over the mean that a placement reaches."""

    def least(self, ep: int, redundant: int) -> float:
        """Hottest rank over the mean that no placement undercuts."""


def most_replicas(fleet: Fleet, footprint: Footprint) -> int:
    """Replicas of this footprint that fit when nothing else runs: each domain holds at most one fragment of each."""
    fragments = sum(c.count * (c.size // footprint.size) for c in fleet.classes)
    able = sum(c.count for c in fleet.classes if c.size >= footprint.size)
    return fragments // footprint.fragments if able >= footprint.fragments else 0


@dataclass(frozen=True, order=True)
class Shape:
    """Degrees, where they lie, and the spare expert copies that let them divide."""

    parallelism: Parallelism
    footprint: Footprint
    redundant: int

    @property
    def exchange_domains(self) -> int:
        """Scale-up domains that the expert group of one stage spreads over; with stages each lies inside one."""
        return self.footprint.fragments if self.parallelism.pp == 1 else 1


def shapes(llm: LLM, engine: EngineRules, fleet: Fleet, balance: Balance | None = None) -> Iterator[Shape]:
    """All shapes that could lie on a fleet's domains, legal or not; each once, in a fixed order.

    Parameters
    ----------
    balance: of recorded expert loads; without it a shape has no more spare copies than it needs to divide.
    """
    largest = max(fleet.domain_sizes)
    for tp in _tensor_parallel(llm, largest):
        for stage, fragments in _stages(llm, tp, fleet.domain_sizes, fleet.domains, fleet.host_size):
            for pp in _depths(llm, stage, fragments, largest, fleet.domains):
                footprint = _footprint(fleet.device.name, stage, fragments, pp, largest)
                if footprint.fragments > min(fleet.domains, MOST_FRAGMENTS):
                    continue
                for shape in _with_experts(llm, engine, tp, stage, pp, fragments):
                    for spare in _spare_copies(llm, engine, shape, fragments, balance):
                        yield Shape(shape, footprint, spare)


def _tensor_parallel(llm: LLM, largest: int) -> list[int]:
    """Divisors of the attention heads that fit into a domain."""
    heads = math.gcd(*(layer.attention.heads for layer, _ in llm.layer_kinds))
    return [tp for tp in range(1, min(heads, largest) + 1) if heads % tp == 0]


def _stages(llm: LLM, tp: int, domain_sizes: tuple[int, ...], domains: int, host: int) -> Iterator[tuple[int, int]]:
    """Ranks of a pipeline stage, and the domains they spread over: (tp x dp, fragments)."""
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
        for fragments in range(2, min(domains, MOST_FRAGMENTS) + 1):
            if size * fragments <= max(llm.experts, 1) * 2:
                yield size * fragments, fragments


def _worth(size: int, experts: int, domain_sizes: tuple[int, ...], host: int) -> bool:
    """Sizes that divide the experts or a domain, or fill hosts."""
    return experts % size == 0 or any(d % size == 0 for d in domain_sizes) or (size % host == 0 and size % 8 == 0)


def _depths(llm: LLM, stage: int, fragments: int, largest: int, domains: int) -> Iterator[int]:
    """Numbers of pipeline stages: 1, or a few when a stage lies inside one domain."""
    yield 1
    if fragments > 1:
        return
    for pp in (2, 3, 4, 6, 8, 12, 16):
        if pp <= min(len(llm.layers), MOST_STAGES) and stage * pp <= largest * domains:
            yield pp


def _footprint(device: str, stage: int, fragments: int, pp: int, largest: int) -> Footprint:
    """Whole stages per domain, as many as fit and divide the pipeline evenly."""
    if fragments > 1:
        return Footprint(device, stage // fragments, fragments)
    together = max(count for count in range(1, pp + 1) if pp % count == 0 and (count * stage <= largest or count == 1))
    return Footprint(device, stage * together, pp // together)


def _with_experts(llm: LLM, engine: EngineRules, tp: int, stage: int, pp: int, fragments: int) -> Iterator[Parallelism]:
    """The ways in which a stage's ranks can share the experts; across domains only whole experts travel well."""
    if not llm.experts:
        yield Parallelism(tp=tp, pp=pp)
        return
    if fragments > 1:
        yield Parallelism(tp=tp, dp=stage // tp, ep=stage)
        return
    degrees = (
        [1, stage] if engine.expert_parallel == "none_or_all" else [d for d in range(1, stage + 1) if stage % d == 0]
    )
    for ep in sorted(set(degrees)):
        yield Parallelism(tp=tp, pp=pp, dp=stage // tp, ep=ep, moe_tp=stage // ep)


def _spare_copies(
    llm: LLM, engine: EngineRules, shape: Parallelism, fragments: int, balance: Balance | None
) -> Sequence[int]:
    """Numbers of spare copies: the fewest that divide evenly over the ranks, where the engine needs that; more only
    where recorded loads say what they buy."""
    if shape.ep == 1:
        return (0,)
    if balance is not None:
        return balance.spares(shape.ep)
    if engine.experts_divide == "with_redundancy" and fragments == 1:
        return (0,)
    return (-llm.experts % shape.ep,)
