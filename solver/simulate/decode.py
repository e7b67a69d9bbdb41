"""Decode replicas: continuous batching over data-parallel ranks that step together."""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from solver.simulate.pace import Pace
from solver.simulate.requests import ServedRequest
from solver.simulate.train import Room, Train, later

if TYPE_CHECKING:
    import simpy

    from solver.simulate.meters import PoolMeter


class Batch:
    """Running sequences of one rank and the KV cache that they fill.

    Attributes
    ----------
    running: sequences in the order in which they boarded.
    tokens: of all their contexts; bytes: of their caches.
    left: tokens that they have still to generate.
    """

    def __init__(self, room: Room) -> None:
        self.room = room
        self.running: dict[ServedRequest, None] = {}
        self.tokens = self.bytes = 0.0
        self.left = 0

    def fits(self, request: ServedRequest) -> bool:
        """Whether one more sequence, and what is kept for all beside the next token of each, have room."""
        room, sequences = self.room, len(self.running) + 1
        kept = max(sequences, sequences * room.kept_tokens + room.kept_output * (self.left + request.left))
        needed = self.bytes + room.needed(context_of(request)) + kept * room.token_bytes
        return sequences <= room.sequences and needed <= room.bytes

    def add(self, request: ServedRequest, context: int) -> None:
        """Let a sequence aboard."""
        self.running[request] = None
        self.tokens += context
        self.bytes += self.room.needed(context)
        self.left += request.left

    def remove(self, request: ServedRequest, context: int) -> None:
        """A sequence has ended, or must wait."""
        del self.running[request]
        self.tokens -= context
        self.bytes -= self.room.needed(context)
        self.left -= request.left
        if not self.running:
            self.tokens = self.bytes = 0.0

    def grow(self, steps: int, sequences: int) -> None:
        """So many of the sequences have got so many tokens."""
        self.tokens += sequences * steps
        self.bytes += sequences * steps * self.room.token_bytes
        self.left -= sequences * steps

    @property
    def steps_until_full(self) -> int:
        """Steps that the caches can still grow by."""
        growth = len(self.running) * self.room.token_bytes
        return math.floor((self.room.bytes - self.bytes) / growth + 1e-9) if growth > 0 else 1 << 30


class DecodeReplica(Train):
    """One replica; every step lasts as long as its fullest rank needs.

    Parameters
    ----------
    ranks: attention data-parallel ranks.
    finished: told of every request that has its last token.
    """

    def __init__(
        self,
        env: simpy.Environment,
        pace: Pace,
        room: Room,
        ranks: int,
        meter: PoolMeter,
        finished: Callable[[ServedRequest, int], None],
        reload_s: Callable[[float], float],
    ) -> None:
        self._pace, self._finished, self._reload_s = pace, finished, reload_s
        self._ranks = ranks
        self._order = count()
        self._step = 0
        self.drop_with(room)
        super().__init__(env, room, meter)

    def drop_with(self, room: Room) -> None:
        """Start with empty ranks."""
        self.batches = [Batch(room) for _ in range(self._ranks)]
        self.waiting: list[deque[ServedRequest]] = [deque() for _ in range(self._ranks)]
        self._queued = 0
        self._ends: list[tuple[int, int, ServedRequest, int]] = []

    def drop(self) -> None:
        """Forget all work."""
        self.drop_with(self.room)

    def ready(self, request: ServedRequest, rank: int) -> None:
        """The KV cache of a request has arrived on a rank."""
        self.held.add(request)
        self.waiting[rank].append(request)
        self._queued += 1
        self.rouse()

    def board(self) -> tuple[int, float]:
        """Let aboard whose cache has room; the first to end, or the first full cache, ends the stretch."""
        if self._queued:
            for rank, queue in enumerate(self.waiting):
                while queue and self.batches[rank].fits(queue[0]):
                    self._admit(queue.popleft(), rank)
        pressed = [rank for rank, batch in enumerate(self.batches) if batch.steps_until_full < 1]
        for rank in pressed:
            self._evict(rank)
        while self._ends and self._ends[0][2].finish_step != self._ends[0][0]:
            heapq.heappop(self._ends)
        if not self._ends:
            return 0, 0.0
        steps = min(self._ends[0][0] - self._step, *(batch.steps_until_full for batch in self.batches), 1 << 30)
        ahead = (steps - 1) / 2
        step_s = max(
            self._pace.decode_s(len(batch.running), batch.tokens / len(batch.running) + ahead)
            for batch in self.batches
            if batch.running
        )
        return steps, step_s

    def _admit(self, request: ServedRequest, rank: int) -> None:
        self._queued -= 1
        self.batches[rank].add(request, context_of(request))
        request.finish_step = self._step + request.left
        heapq.heappush(self._ends, (request.finish_step, next(self._order), request, rank))

    def _evict(self, rank: int) -> None:
        """Send the youngest sequences to the host's memory until a step fits; they come back first, after reloading."""
        batch = self.batches[rank]
        while batch.steps_until_full < 1 and len(batch.running) > 1:
            request = next(reversed(batch.running))
            self._sync(request)
            batch.remove(request, context_of(request))
            request.finish_step = -1
            self.meter.preempted += 1
            later(self.env, self._reload_s(context_of(request)), partial(self._back, request, rank, request.attempt))

    def _back(self, request: ServedRequest, rank: int, attempt: int) -> None:
        if request.attempt == attempt and request in self.held:
            self.waiting[rank].appendleft(request)
            self._queued += 1
            self.rouse()

    def _sync(self, request: ServedRequest) -> None:
        request.generated = request.arrival.output_tokens - (request.finish_step - self._step)

    def arrive(self, steps: int, step_s: float) -> None:
        """Everybody has got so many tokens; who has all of them leaves."""
        self._step += steps
        running = 0
        for batch in self.batches:
            batch.grow(steps, len(batch.running))
            running += len(batch.running)
        self.meter.steps(steps, step_s, running, self._ranks)
        self.meter.filled(max(batch.bytes for batch in self.batches))
        while self._ends and self._ends[0][0] <= self._step:
            end, _, request, rank = heapq.heappop(self._ends)
            if request.finish_step != end:
                continue
            request.generated = request.arrival.output_tokens
            self.batches[rank].remove(request, context_of(request))
            self.held.discard(request)
            self._finished(request, rank)

    def fail(self) -> list[ServedRequest]:
        """Stop; running sequences keep what the client has."""
        for batch in self.batches:
            for request in batch.running:
                self._sync(request)
        return super().fail()


def context_of(request: ServedRequest) -> int:
    """Tokens in the cache now: the prompt of this attempt and what was generated since."""
    return request.context + request.generated - request.base
