"""Replica shapes worth asking about: degrees of parallelism and how they lie over scale-up domains."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple, Protocol

from solver.cost.network.fleet import Fleet
from solver.engines import EngineRules
from solver.llm import LLM
from solver.replica import Parallelism, Role, Setup

#: Pipeline depths that are tried: deeper ones gain nothing that fewer, fuller stages do not.
MOST_STAGES = 16
#: Scale-up domains that one replica, and one tensor-parallel group, may spread over.
MOST_DOMAINS, MOST_TENSOR_DOMAINS = 64, 4


class Fragment(NamedTuple):
    """A replica's part in one scale-up domain: ``hosts`` hosts, ``per_host`` devices of each."""

    hosts: int
    per_host: int

    @property
    def size(self) -> int:
        """Devices."""
        return self.hosts * self.per_host


@dataclass(frozen=True, order=True)
class Footprint:
    """What one replica takes: ``domains`` scale-up domains, ``hosts`` hosts in each, ``per_host`` devices of each host."""

    device: str
    domains: int
    hosts: int
    per_host: int

    @property
    def fragment(self) -> Fragment:
        """The part in each domain."""
        return Fragment(self.hosts, self.per_host)

    @property
    def size(self) -> int:
        """Devices in each domain."""
        return self.hosts * self.per_host

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
    held = [(c.count, most_fragments(c.profile.devices_per_host, footprint.fragment)) for c in fleet.classes]
    able = sum(count for count, most in held if most)
    return sum(count * most for count, most in held) // footprint.domains if able >= footprint.domains else 0


def most_fragments(host_sizes: Sequence[int], fragment: Fragment) -> int:
    """Fragments that one domain holds: each on distinct hosts, as many devices on each of them.

    With n fragments a host holds at most n parts, so n fit if ``sum min(n, devices // per_host) >= n hosts`` (Gale, Ryser).

    >>> most_fragments([4, 4, 4], Fragment(2, 2))
    3
    """
    parts = [size // fragment.per_host for size in host_sizes]
    count = sum(parts) // fragment.hosts
    while count and sum(min(part, count) for part in parts) < count * fragment.hosts:
        count -= 1
    return count


class ReplicaShape(NamedTuple):
    """Degrees of parallelism and how they lie over scale-up domains: ``hosts`` of each domain, ``per_host`` devices of each."""

    tp: int
    pp: int
    ep: int
    dp: int
    moe_tp: int
    cp: int
    redundant_experts: int
    domains: int
    hosts: int
    per_host: int

    @property
    def parallelism(self) -> Parallelism:
        """The degrees."""
        return Parallelism(self.tp, self.pp, self.ep, self.dp, self.moe_tp, self.cp)

    def setup(self, engine: EngineRules, role: Role) -> Setup:
        """A replica of the shape."""
        hosts, spare = self.domains * self.hosts, self.redundant_experts
        return Setup(role, engine.name, self.parallelism, self.domains, hosts, spare, engine_version=engine.version)

    def footprint(self, device: str) -> Footprint:
        """What it takes of devices of a kind."""
        return Footprint(device, self.domains, self.hosts, self.per_host)


def shapes(
    llm: LLM, fleet: Fleet, balance: Balance | None = None, context: Collection[int] = (1,)
) -> Iterator[ReplicaShape]:
    """All shapes that could lie on a fleet's domains, legal or not; in a fixed order.

    Parameters
    ----------
    balance: of recorded expert loads; without it a replica has no more spare copies than it needs to divide.
    context: context-parallel degrees.
    """
    largest = max(fleet.domain_sizes)
    for tp in _tensor_parallel(llm, largest, fleet.domains):
        for stage, spread in _stages(llm, tp, fleet.domain_sizes, fleet.domains):
            sharing = [
                (ep, dp, moe_tp, cp, spare)
                for ep, dp, moe_tp in _with_experts(llm, tp, stage, spread)
                for spare, cp in product(_spare_copies(llm, ep, balance), context)
            ]
            for pp in _depths(llm, stage, spread, largest, fleet.domains):
                size, domains = _fragment(stage, spread, pp, largest)
                if domains > min(fleet.domains, MOST_DOMAINS):
                    continue
                for per_host in _parts(size, fleet.host_size):
                    for ep, dp, moe_tp, cp, spare in sharing:
                        yield ReplicaShape(tp, pp, ep, dp, moe_tp, cp, spare, domains, size // per_host, per_host)


def _parts(size: int, host: int) -> Iterator[int]:
    """Devices of a fragment on each of its hosts, most first."""
    for per_host in range(min(size, host), 0, -1):
        if size % per_host == 0:
            yield per_host


def _tensor_parallel(llm: LLM, largest: int, domains: int) -> list[int]:
    """Divisors of the attention heads that fit into a domain, or fill a few."""
    heads = math.gcd(*(layer.attention.heads for layer, _ in llm.layer_kinds))
    across = [largest * spread for spread in range(2, min(domains, MOST_TENSOR_DOMAINS) + 1)]
    return [tp for tp in (*range(1, min(heads, largest) + 1), *across) if heads % tp == 0]


def _stages(llm: LLM, tp: int, domain_sizes: Collection[int], domains: int) -> Iterator[tuple[int, int]]:
    """Ranks of a pipeline stage, and the scale-up domains that they spread over: as few as hold them, in domains of any size
    that the fleet has, since an exchange over more is slower."""
    largest = max(domain_sizes)
    if tp > largest:
        yield tp, tp // largest
        return
    if not llm.experts:
        yield tp, 1
        return
    for size in range(tp, largest + 1, tp):
        yield size, 1
    for size in range(tp, largest + 1, tp):
        for spread in range(2, min(domains, MOST_DOMAINS, 2 * llm.experts // size) + 1):
            if any(_fewest_domains(size * spread, tp, holds) == spread for holds in domain_sizes):
                yield size * spread, spread


def _fewest_domains(stage: int, tp: int, holds: int) -> int:
    """Domains that ``stage`` ranks spread over in equal parts of whole tensor-parallel groups, where each holds so many."""
    groups = stage // tp
    return next((n for n in range(1, groups + 1) if groups % n == 0 and stage // n <= holds), 0)


def _depths(llm: LLM, stage: int, spread: int, largest: int, domains: int) -> Iterator[int]:
    """Numbers of pipeline stages that there is room for."""
    room = largest * domains if spread == 1 else stage * (min(domains, MOST_DOMAINS) // spread)
    return iter(range(1, min(len(llm.layers), MOST_STAGES, room // stage) + 1))


def _fragment(stage: int, spread: int, pp: int, largest: int) -> tuple[int, int]:
    """Devices in each domain, and domains: whole stages per domain, as many as fit and divide the pipeline evenly."""
    if spread > 1:
        return stage // spread, spread * pp
    stages = max(count for count in range(1, pp + 1) if pp % count == 0 and (count * stage <= largest or count == 1))
    return stage * stages, pp // stages


def _with_experts(llm: LLM, tp: int, stage: int, spread: int) -> Iterator[tuple[int, int, int]]:
    """The ways (ep, dp, moe_tp) in which a stage's ranks can share the experts; across domains only whole experts travel
    well."""
    if not llm.experts:
        yield 1, 1, 1
        return
    for ep in range(1, stage + 1):
        if stage % ep == 0 and (spread == 1 or ep == stage or tp == stage):
            yield ep, stage // tp, stage // ep


def _spare_copies(llm: LLM, ep: int, balance: Balance | None) -> Sequence[int]:
    """Numbers of spare copies: none, and the fewest that divide evenly over the ranks; more only where recorded loads say
    what they buy."""
    if ep == 1:
        return (0,)
    if balance is not None:
        return balance.spares(ep)
    return tuple(dict.fromkeys((0, -llm.experts % ep)))
