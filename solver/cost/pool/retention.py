"""Idle KV that is kept for later turns: what it spares, the HBM it takes from running sequences, the time to load it.

A class's requests either find their session's history (a hit) or not; both are entries of the mix that a pool serves.
Idle KV grows with the requests served, as running sequences do, so the two share a rank's HBM at every load alike.
Loading runs beside computation and delays only the request that waits for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from solver.cost.pool.latency import RequestLatency, Statistics
from solver.cost.pool.mix import Mix
from solver.cost.pool.priced import PricedPool
from solver.cost.pool.serving import Service
from solver.cost.steps.replicas import Replicas
from solver.llm import LLM
from solver.workload import RequestClass

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Retention:
    """What one class's idle KV comes to, wherever it waits.

    Attributes
    ----------
    found: private tokens that a hit finds.
    stored: private tokens that every request leaves behind.
    again: chance that such a token is ever looked for where it lies.
    caches: caches among which a session's next turn may land; 1 where it returns to its own.

    The share of stays still waiting at age u is ``1 - again F(u)`` with F the distribution of the time between turns:
    those that never return wait until they are dropped. Bytes follow by Little's law.
    """

    request_class: RequestClass
    found: int
    stored: int
    again: float
    caches: int = 1

    @classmethod
    def of(cls, one: RequestClass, output_kept: bool, caches: int = 1) -> Retention:
        """What a class leaves behind.

        Parameters
        ----------
        output_kept: generated tokens stay with the prompt: in unified pools, and where decode pools send them back.
        """
        reuse = one.reused_tokens
        found = reuse.private - (0 if output_kept else one.generated_tokens)
        stored = max(found, one.prompt_tokens - reuse.shared + (one.output_tokens if output_kept else 0))
        return cls(one, found, stored, one.return_fraction * found / stored / caches, caches)

    def hit(self, age_s: float) -> float:
        """Chance that a request finds its session's history where it is dropped at an age."""
        idle = self.request_class.idle_s
        if idle is None or self.found <= 0:
            return 0.0
        return self.request_class.return_fraction * idle.returned_by(age_s) / self.caches

    def waiting(self, age_s: float) -> float:
        """Share of what was left behind that was not used again within an age."""
        idle = self.request_class.idle_s
        return 1.0 if idle is None else 1 - self.again * idle.returned_by(age_s)

    def held_s(self, age_s: float) -> float:
        """Mean time that a token waits where it is dropped at an age: the integral of :meth:`waiting` [s]."""
        idle = self.request_class.idle_s
        return age_s if idle is None else age_s - self.again * (age_s - idle.away_s(age_s))

    def bytes_per_token(self, llm: LLM) -> float:
        """KV bytes of a private token, over the whole replica once [bytes]."""
        one = self.request_class
        shared, end = float(one.reused_tokens.shared), float(one.prompt_tokens + one.output_tokens)
        return (llm.kv_bytes(end) - llm.kv_bytes(shared)) / (end - shared)


def mix_of(kept: Sequence[Retention], hbm_s: Sequence[float], drop_s: Sequence[float]) -> Mix:
    """The mix of classes whose idle KV is kept: shared prefixes are always found, private ones with the chance of a hit.

    Parameters
    ----------
    hbm_s, drop_s: ages at which each class's idle KV leaves HBM, and at which it is dropped [s].
    """
    classes = [k.request_class for k in kept]
    finds = []
    for one, age in zip(kept, drop_s, strict=True):
        shared, chance = float(one.request_class.reused_tokens.shared), one.hit(age)
        finds.append(((1 - chance, shared), *([(chance, shared + one.found)] if chance > 0 else [])))
    mix = Mix.of(classes, finds)
    rate = np.array([c.requests_per_s for c in classes])
    idle = [k.stored * k.held_s(age) for k, age in zip(kept, hbm_s, strict=True)]
    return replace(
        mix,
        idle_token_s=float(np.dot(rate, idle) / rate.sum()),
        resident_tokens=float(sum(c.reused_tokens.shared for c in classes)),
    )


def spared_s(pool: Replicas, kept: Retention) -> tuple[Floats, Floats]:
    """What a hit spares on a replica that serves nobody else (R,): time to the first token, and time it is taken [s]."""
    one = kept.request_class
    shared, prompt = float(one.reused_tokens.shared), float(one.prompt_tokens)
    miss = pool.prompt_s(prompt - shared, shared)
    hit = pool.prompt_s(max(prompt - shared - kept.found, 1.0), shared + kept.found)
    return np.asarray(miss[0] - hit[0]), np.asarray(miss[1] - hit[1])


def load_s(pool: Replicas, kept: Retention, bytes_per_s: float) -> Floats:
    """Time to load the history of a hit onto the fullest rank, at the bandwidth of one device's part of the tier (R,)."""
    shared = float(kept.request_class.reused_tokens.shared)
    size = pool.ledger.kv_bytes(shared + kept.found) - pool.ledger.kv_bytes(shared)
    return np.asarray(size.max(axis=1) / bytes_per_s)


def spared_devices(pool: PricedPool, kept: Retention, hits_per_s: float) -> float:
    """Devices that hits keep free: the time that prefill would have taken them."""
    taken = float(spared_s(pool.replicas, kept)[1][0])
    shape = pool.setup.parallelism
    return hits_per_s * taken * shape.devices / shape.dp


def by_class(service: Service, mix: Mix, classes: int, load: Sequence[float]) -> Service:
    """An operating point whose latencies are per class again, hits and misses taken together.

    Parameters
    ----------
    load: time to load a hit's history, by class [s].
    """
    if not mix.keeps:
        return service
    members = [_entries(mix, c) for c in range(classes)]
    latency = service.latency

    def slowest(of: Statistics) -> Statistics:
        return lambda share: _by_member(of(share), members)

    def first(share: float | None) -> Floats:
        if service.first is None:
            return slowest(latency.first)(share)
        return np.stack([service.first.of(entries, share, delay) for entries in members], axis=1)

    delay = np.array([load[c] if hit else 0.0 for c, hit in zip(mix.member, mix.is_hit, strict=True)])

    def later_tokens(share: float | None) -> Floats:
        return mix.later_tokens(share)[[entries[0] for entries in members]]

    told = RequestLatency(first, slowest(latency.later), slowest(latency.gap), later_tokens)
    return replace(service, latency=told)


def _by_member(table: Floats, members: Sequence[Sequence[int]]) -> Floats:
    """The slowest entry of each class (R, classes)."""
    return np.stack([table[:, entries].max(axis=1) for entries in members], axis=1)


def _entries(mix: Mix, position: int) -> list[int]:
    return [entry for entry, member in enumerate(mix.member) if member == position]
