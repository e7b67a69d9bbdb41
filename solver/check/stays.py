"""Idle KV counted afresh: hits from the time between turns, bytes by integrating how much still waits at every age.

Written beside :mod:`solver.cost.pool.retention`, not with it: the integral is taken numerically here.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from solver.cost.pool.mix import Mix
from solver.plan import KVTier
from solver.replica import Role
from solver.workload import RequestClass

#: Points of a Gauss-Legendre rule on each piece; pieces a factor of two in age.
POINTS, NODES = np.polynomial.legendre.leggauss(12)
#: Youngest age at which a piece ends [s].
YOUNGEST_S = 1e-4


@dataclass(frozen=True)
class Stay:
    """What the requests of one class leave behind and find, by the ages that the plan states."""

    request_class: RequestClass
    tier: KVTier
    role: Role

    @property
    def output_kept(self) -> bool:
        """Whether generated tokens stay with the prompt."""
        return self.role == "unified" or self.tier.write_back

    @property
    def found(self) -> int:
        """Private tokens that a hit finds."""
        one = self.request_class
        return one.reused_tokens.private - (0 if self.output_kept else one.generated_tokens)

    @property
    def stored(self) -> int:
        """Private tokens that a request leaves behind: all that is not shared."""
        one = self.request_class
        left = one.prompt_tokens - one.reused_tokens.shared + (one.output_tokens if self.output_kept else 0)
        return max(self.found, left)

    def hit(self, age_s: float) -> float:
        """Chance that a request's session comes back within an age, and to the cache that has its history."""
        idle = self.request_class.idle_s
        if idle is None or self.found <= 0:
            return 0.0
        return self.request_class.return_fraction * idle.returned_by(age_s) / self.tier.caches

    def waiting(self, age_s: float) -> float:
        """Share of the tokens left behind that still wait at an age: those found again moved on to a new stay."""
        return 1 - self.hit(age_s) * self.found / self.stored

    def held_s(self, start_s: float, end_s: float) -> float:
        """Time that a token left behind spends between two ages, on average [s]."""
        idle = self.request_class.idle_s
        corners = {start_s, end_s, *(age for age, _ in (idle.returned if idle else ()) if start_s < age < end_s)}
        age = YOUNGEST_S
        while age < end_s:
            if age > start_s:
                corners.add(age)
            age *= 2
        if idle is not None and start_s < idle.median < end_s:
            corners.add(idle.median)
        edges = sorted(corners)
        whole = 0.0
        for low, high in itertools.pairwise(edges):
            ages = (high + low) / 2 + (high - low) / 2 * POINTS
            whole += (high - low) / 2 * float(np.dot(NODES, [self.waiting(float(a)) for a in ages]))
        return whole


def served(classes: Sequence[RequestClass], stays: Sequence[Stay | None]) -> Mix:
    """The mix of a pool that keeps idle KV: hits and misses of every class, and what waits in HBM beside them."""
    finds, idle, rate = [], [], []
    for one, stay in zip(classes, stays, strict=True):
        shared = float(one.reused_tokens.shared)
        chance = 0.0 if stay is None else stay.hit(max(stay.tier.until_s.values()))
        pairs = [(1 - chance, shared)]
        if stay is not None and chance > 0:
            pairs.append((chance, shared + stay.found))
        finds.append(pairs)
        rate.append(one.requests_per_s)
        idle.append(0.0 if stay is None else stay.stored * stay.held_s(0.0, stay.tier.hbm_until_s))
    mean = math.fsum(r * i for r, i in zip(rate, idle, strict=True)) / math.fsum(rate)
    shared_tokens = float(sum(one.reused_tokens.shared for one in classes))
    return replace(Mix.of(classes, finds), idle_token_s=mean, resident_tokens=shared_tokens)
