"""The most that a pool serves within a promise, in each role, and what no load within it exceeds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from solver.cost.pool.lockstep import RankGroup
from solver.cost.pool.mix import Mix
from solver.cost.pool.operating_point import WIDTH, Rows, best_load, bracket, smallest
from solver.cost.pool.promise import Promise
from solver.cost.pool.serving import Service, Stretch, decode_at, prefill_at, sequences_that_fit, unified_at
from solver.cost.pool.waiting import Moments
from solver.cost.steps.replicas import Replicas
from solver.replica import Role

Floats = NDArray[np.float64]

#: Below this utilisation a promise is treated as broken: nobody rents a replica to serve so little.
LEAST_UTILISATION = 1e-3
#: A queue this full has no stable wait worth promising.
MOST_UTILISATION = 0.98


@dataclass(frozen=True)
class Fullest:
    """The best operating point of every row that keeps a promise.

    Attributes
    ----------
    service: that point; its batch and its requests/s are 0 where none keeps the promise.
    reach: requests/s of one replica that no point which keeps it exceeds (R,).
    """

    service: Service
    reach: Floats


def least_load(pool: Replicas, role: Role) -> Floats:
    """The smallest load worth asking about: one sequence on the whole replica, a thousandth of the time (R,)."""
    return np.full(len(pool), LEAST_UTILISATION) if role == "prefill" else LEAST_UTILISATION / pool.work.dp


@dataclass(frozen=True)
class PricedRows:
    """Pools of one role, ready to be asked for any rows at any load.

    Attributes
    ----------
    replicas: replicas of every row's pool (R,).
    prompts_per_step: prompts that share one prefill step on a rank (R,).
    stretch: how much longer than predicted they are taken to be; None = as predicted.
    """

    role: Role
    pool: Replicas
    replicas: Floats
    mix: Mix
    prompts_per_step: Floats
    stretch: Stretch | None = None

    def at(self, rows: Rows, load: Floats) -> Service:
        """Some rows, each at a load: mean running sequences of a rank, or share of the time that prefill is busy."""
        found = self._at(rows, load)
        return found if self.stretch is None else found.stretched(self.stretch.rows(rows))

    def _at(self, rows: Rows, load: Floats) -> Service:
        every = np.array_equal(rows, np.arange(len(self.pool)))
        pool = self.pool if every else self.pool.rows(rows)
        if self.role == "decode":
            return decode_at(pool, self.replicas[rows], self.mix, load)
        if self.role == "unified":
            return unified_at(pool, self.replicas[rows], self.mix, load)
        group, full = self._ranks if every else (self._ranks[0].rows(rows), self._ranks[1].rows(rows))
        return prefill_at(pool, group, full, self.replicas[rows], self.mix, load)

    @cached_property
    def _ranks(self) -> tuple[RankGroup, Moments]:
        """Ranks of the prefill replicas, and their services when all are full: the same whatever the load."""
        group = RankGroup.of(self.pool, self.mix, self.prompts_per_step)
        return group, group.full_service()

    def requests_per_s(self, rows: Rows, load: Floats) -> Floats:
        """What one replica of each row serves."""
        return self.at(rows, load).requests_per_s

    def serving(self, requests_per_s: Floats, limit: Floats) -> Service:
        """Every row at the smallest load at which a replica serves so many requests/s (R,), or nearly; within a limit of
        running sequences (R,)."""
        least = least_load(self.pool, self.role)
        top = np.full(len(self.pool), MOST_UTILISATION) if self.role == "prefill" else np.maximum(limit, least)
        load = smallest(self.requests_per_s, requests_per_s, least, top)
        return self.at(np.arange(len(self.pool)), load)


def prompts_held(pp: Floats | int, prompts_per_step: Floats | int) -> Floats:
    """Prompts whose KV cache a prefill rank holds: those in every pipeline stage, and those being handed over."""
    return np.asarray((pp + 1) * prompts_per_step, float)


def fullest(
    role: Role,
    pool: Replicas,
    replicas: Floats,
    mix: Mix,
    promise: Promise,
    limit: Floats,
    prompts_per_step: Floats | float = 1.0,
    stretch: Stretch | None = None,
    width: float = WIDTH,
) -> Fullest:
    """The load at which a pool serves the most requests/s of those that keep a promise.

    What runs stays within ``limit`` 99 % of the time, and the HBM holds it beside the KV caches that wait for later turns.

    Parameters
    ----------
    limit: sequences that a rank may run (R,).
    prompts_per_step: prompts that share one prefill step on a rank.
    stretch: how much longer than predicted the pools are taken to be.
    width: how far the point may lie below the last that keeps the promise, as a ratio less 1.
    """
    together = np.broadcast_to(np.asarray(prompts_per_step, float), len(pool))
    pools = PricedRows(role, pool, replicas, mix, together, stretch)
    held = prompts_held(pool.work.pp, together)
    room = sequences_that_fit(pool, mix) if mix.keeps and role != "decode" else None

    def excess(rows: Rows, load: Floats) -> Floats:
        service = pools.at(rows, load)
        running = held[rows] if role == "prefill" else service.full_batch
        # Every limit as a share by which it is exceeded; the worst decides.
        over = np.maximum(service.excess(promise, mix), running / np.maximum(limit[rows], 1e-9) - 1)
        if role == "unified":
            over = np.maximum(over, service.utilisation / MOST_UTILISATION - 1)
        if room is not None:
            # Idle KV waits in the same HBM, so it counts as so many running sequences.
            idle = mix.idle_sequences(service.requests_per_s, pool.work.dp[rows])
            over = np.maximum(over, (running + idle) / np.maximum(room[rows], 1e-9) - 1)
        return over

    least = least_load(pool, role)
    top = np.full(len(pool), MOST_UTILISATION) if role == "prefill" else np.maximum(limit, least)
    allowed, everyone = bracket(excess, least, top, width), np.arange(len(pool))
    service = pools.at(everyone, allowed.kept)
    best = best_load(pools.requests_per_s, allowed, service.requests_per_s)
    if np.any(best.load != allowed.kept):
        service = pools.at(everyone, best.load)
    return Fullest(service, best.reach)
