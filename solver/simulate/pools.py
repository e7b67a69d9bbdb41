"""Pools: replicas behind a router that sends every request to the least loaded rank."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np

from solver.cost.pool.priced import PricedPool
from solver.cost.pool.queueing import crowdedness
from solver.plan import Pool
from solver.simulate.decode import DecodeReplica
from solver.simulate.meters import PoolMeter
from solver.simulate.pace import Pace
from solver.simulate.prefill import PrefillReplica
from solver.simulate.requests import ServedRequest
from solver.simulate.train import Room, Train, later
from solver.simulate.unified import Chunking, UnifiedRank

if TYPE_CHECKING:
    import simpy

#: What a request that waits for its prompt counts in running ones: so much that prompts go where nobody prefills.
WAITING_WEIGHT = 16.0
#: A session's own rank may hold so many more requests than the least loaded one before the router lets its cache go.
AFFINITY = 1.5


class PoolAtWork(ABC):
    """One pool at work.

    Attributes
    ----------
    trains: what steps by itself: replicas, or every rank of a unified one.
    load: of every attention rank, in the router's own unit; infinite where it failed (ranks,).
    failures: how often every rank has failed (ranks,). link_free_s: when its links are free again (ranks,) [s].
    parked: requests for which no replica is up.
    """

    def __init__(self, env: simpy.Environment, pool: Pool, priced: PricedPool) -> None:
        self.env, self.pool, self.priced = env, pool, priced
        self.meter = PoolMeter()
        self.room = room_of(priced, pool.limits.max_sequences)
        self.ranks = pool.parallelism.dp
        self.pace = Pace(priced, min(pool.limits.max_sequences, 1e5), float(pool.limits.max_length))
        self.load = np.zeros(pool.replicas * self.ranks)
        self.parked: deque[ServedRequest] = deque()
        self.trains: list[Any] = []
        grid = np.unique(np.r_[0.0, np.geomspace(16, pool.limits.max_length * 1.1, 40)])
        self._transfer = grid, np.array([float(priced.replicas.transfer_s(tokens)[0]) for tokens in grid])
        self.link_free_s = np.zeros(len(self.load))
        self.failures = np.zeros(len(self.load), dtype=int)

    @property
    def name(self) -> str:
        """The plan's name for it."""
        return self.pool.name

    def transfer_s(self, tokens: float) -> float:
        """Seconds that the KV cache of so many tokens takes on the links of one rank group of this pool."""
        return float(np.interp(tokens, *self._transfer))

    def choose(self, preferred: int | None = None) -> int | None:
        """The least loaded rank, or the preferred one where that is hardly busier; None if none is up."""
        rank = int(self.load.argmin())
        if not np.isfinite(self.load[rank]):
            return None
        if preferred is not None and self.load[preferred] <= AFFINITY * self.load[rank] + WAITING_WEIGHT:
            return preferred
        return rank

    def fail(self, replica: int) -> list[ServedRequest]:
        """Stop a replica; gives back the requests that it held."""
        lost = [request for train in self._of(replica) for request in train.fail()]
        self.load[self._slice(replica)] = np.inf
        self.failures[self._slice(replica)] += 1
        return lost

    def recover(self, replica: int) -> list[ServedRequest]:
        """Start a replica again; gives back the requests that wait for one."""
        self.load[self._slice(replica)] = 0.0
        for train in self._of(replica):
            train.start()
        waiting, self.parked = list(self.parked), deque()
        return waiting

    def _slice(self, replica: int) -> slice:
        return slice(replica * self.ranks, (replica + 1) * self.ranks)

    def _of(self, replica: int) -> list[Train]:
        each = len(self.trains) // self.pool.replicas
        return self.trains[replica * each : (replica + 1) * each]

    @property
    @abstractmethod
    def waiting(self) -> int:
        """Requests that have not boarded."""

    @property
    def running(self) -> int:
        """Requests that are being served."""
        return max(sum(len(train.held) for train in self.trains) - self.waiting, 0)

    @property
    @abstractmethod
    def stored(self) -> float:
        """Share of the KV caches in use."""


class PrefillPool(PoolAtWork):
    """Prefill replicas; load is prompt tokens sent and not yet out.

    Parameters
    ----------
    left: told of every prompt prefilled, and the rank that holds its cache.
    """

    def __init__(
        self, env: simpy.Environment, pool: Pool, priced: PricedPool, left: Callable[[PrefillPool, ServedRequest, int], None]
    ) -> None:
        super().__init__(env, pool, priced)
        self._left = left
        speeds = priced.replicas.speeds
        self._admission_s, self._first_token = float(speeds.admitted_s()[0]), float(speeds.first_token[0])
        self.trains: list[PrefillReplica] = [
            PrefillReplica(
                env, self.pace, self.room, self.ranks, float(pool.chunk_tokens), pool.prompts_per_step, self.meter,
                partial(self._out, replica * self.ranks),
            )
            for replica in range(pool.replicas)
        ]  # fmt: skip

    def take(self, request: ServedRequest, preferred: int | None = None) -> int | None:
        """Send a request to a rank; it is there once it is admitted and what it reuses is loaded."""
        rank = self.choose(preferred)
        if rank is None:
            self.parked.append(request)
            return None
        self.load[rank] += request.compute
        train, attempt = self.trains[rank // self.ranks], request.attempt
        train.held.add(request)

        def arrives() -> None:
            if request.attempt == attempt:
                train.ready(request, rank % self.ranks)

        request.alone_s = self._admission_s + request.load_s
        later(self.env, request.alone_s, arrives)
        return rank

    def _out(self, first: int, request: ServedRequest, rank: int) -> None:
        rank += first
        self.load[rank] -= request.compute
        attempt = request.attempt

        def seen() -> None:
            if request.attempt == attempt:
                self._left(self, request, rank)

        request.alone_s += self._first_token * request.latency_s
        later(self.env, (self._first_token - 1) * request.latency_s, seen)

    def release(self, request: ServedRequest, rank: int) -> None:
        """The cache of a request is no longer needed here."""
        self.trains[rank // self.ranks].release(request, rank % self.ranks)

    @property
    def waiting(self) -> int:
        """Prompts that have not entered a replica."""
        return sum(len(queue) for train in self.trains for queue in train.queues)

    @property
    def stored(self) -> float:
        """Share of the KV caches in use."""
        return sum(sum(train._stored) for train in self.trains) / (len(self.load) * self.room.bytes)


class DecodePool(PoolAtWork):
    """Decode replicas; load is sequences running, waiting or under way to a rank."""

    def __init__(
        self, env: simpy.Environment, pool: Pool, priced: PricedPool, finished: Callable[[ServedRequest], None]
    ) -> None:
        super().__init__(env, pool, priced)
        self._finished = finished
        self.trains: list[DecodeReplica] = [
            DecodeReplica(
                env, self.pace, self.room, self.ranks, self.meter,
                partial(self._ended, replica * self.ranks),
                self.transfer_s,
            )
            for replica in range(pool.replicas)
        ]  # fmt: skip

    def reserve(self) -> int | None:
        """The rank to which a cache shall be sent; None if none is up."""
        rank = self.choose()
        if rank is not None:
            self.load[rank] += 1
        return rank

    def ready(self, request: ServedRequest, rank: int) -> None:
        """A cache has arrived."""
        self.trains[rank // self.ranks].ready(request, rank % self.ranks)

    def unreserve(self, rank: int) -> None:
        """A request that was sent here has no more tokens to get."""
        self.load[rank] -= 1

    def _ended(self, first: int, request: ServedRequest, rank: int) -> None:
        self.load[first + rank] -= 1
        self._finished(request)

    @property
    def waiting(self) -> int:
        """Sequences whose cache has no room yet."""
        return sum(len(queue) for train in self.trains for queue in train.waiting)

    @property
    def stored(self) -> float:
        """Share of the KV caches in use."""
        used = sum(batch.bytes for train in self.trains for batch in train.batches)
        return used / (len(self.load) * self.room.bytes)


class UnifiedPool(PoolAtWork):
    """Unified replicas; load counts a waiting prompt as several running sequences."""

    def __init__(
        self,
        env: simpy.Environment,
        pool: Pool,
        priced: PricedPool,
        random: Random,
        finished: Callable[[ServedRequest], None],
    ) -> None:
        super().__init__(env, pool, priced)
        self._finished = finished
        speeds, dp = priced.replicas.speeds, self.ranks
        self._speeds, self._steps = speeds, float(speeds.admission_steps[0])
        mixed = bool(priced.replicas.mixed[0])
        chunking = Chunking(float(pool.chunk_tokens), pool.parallelism.pp, float(speeds.first_token[0]), mixed)
        stalled = (dp ** float(speeds.lockstep[0]) - 1) / (dp - 1) if dp > 1 else 0.0
        self._rank_of: dict[ServedRequest, int] = {}
        self._prompts: set[ServedRequest] = set()
        self.trains: list[UnifiedRank] = []
        for _ in range(pool.replicas):
            peers: list[UnifiedRank] = []
            for _ in range(dp):
                rank = UnifiedRank(
                    env, self.pace, self.room, chunking, peers, stalled, random, self.meter, self._begun, self._ended
                )
                self.trains.append(rank)

    def take(self, request: ServedRequest, preferred: int | None = None) -> int | None:
        """Send a request to a rank; it may board after its admission, which takes time and steps of the engine."""
        rank = self.choose(preferred)
        if rank is None:
            self.parked.append(request)
            return None
        self.load[rank] += WAITING_WEIGHT
        self._rank_of[request] = rank
        self._prompts.add(request)
        train, attempt = self.trains[rank], request.attempt
        train.held.add(request)
        batch = train.batch
        context = batch.tokens / len(batch.running) if batch.running else self.priced.mix.context
        step_s = self.pace.decode_s(max(train.running, 1), context)
        felt = crowdedness(train.company)
        admitted_s = float(self._speeds.admitted_s(felt)[0])

        def arrives() -> None:
            if request.attempt == attempt:
                train.ready(request)

        request.alone_s = admitted_s + request.load_s
        later(self.env, request.alone_s + self._steps * felt * step_s, arrives)
        return rank

    def _begun(self, request: ServedRequest) -> None:
        if request in self._prompts:
            self._prompts.remove(request)
            self.load[self._rank_of[request]] += 1 - WAITING_WEIGHT

    def _ended(self, request: ServedRequest) -> None:
        self.load[self._rank_of.pop(request)] -= 1
        self._finished(request)

    @property
    def waiting(self) -> int:
        """Prompts that have not been admitted."""
        return sum(len(train.prompts) for train in self.trains)

    @property
    def stored(self) -> float:
        """Share of the KV caches in use."""
        return sum(train.batch.bytes for train in self.trains) / (len(self.trains) * self.room.bytes)


def room_of(priced: PricedPool, most_sequences: int) -> Room:
    """The KV cache of a rank on the stage that a mean sequence fills first, in whole blocks."""
    from solver.cost.steps.memory import BLOCK_TOKENS

    ledger, context = priced.replicas.ledger, max(priced.mix.context, 1.0)
    mean = ledger.kv_bytes(np.array([context]))[0]
    present = np.flatnonzero(mean > 0)
    stage = present[int(np.argmin(ledger.kv_room[0][present] / mean[present]))]
    slope = float(ledger.kv_token[0, stage])
    fixed = float(mean[stage]) - slope * context + slope * BLOCK_TOKENS / 2
    kept = float(priced.replicas.kept_output[0]), float(priced.replicas.kept_tokens[0])
    return Room(float(ledger.kv_room[0, stage]), max(fixed, 0.0), slope, most_sequences, *kept)
