"""Prefill replicas: prompts go through in chunks, one pass after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from solver.simulate.pace import Chunk, Pace
from solver.simulate.requests import ServedRequest
from solver.simulate.train import Room, Train, later

if TYPE_CHECKING:
    import simpy

    from solver.simulate.meters import PoolMeter


class PrefillReplica(Train):
    """One replica; its data-parallel ranks step prompts_per_step, and passes follow each other through its stages.

    Parameters
    ----------
    ranks: attention data-parallel ranks.
    tokens: most prompt tokens of a pass on one rank; prompts_per_step: most prompts.
    left: told of every prompt that has left the last stage.
    """

    def __init__(
        self,
        env: simpy.Environment,
        pace: Pace,
        room: Room,
        ranks: int,
        tokens: float,
        prompts_per_step: int,
        meter: PoolMeter,
        left: Callable[[ServedRequest, int], None],
    ) -> None:
        self._pace, self._tokens, self._prompts, self._left = pace, tokens, prompts_per_step, left
        self._ranks = ranks
        self.drop()
        super().__init__(env, room, meter)

    def drop(self) -> None:
        """Forget all work."""
        self.queues: list[deque[ServedRequest]] = [deque() for _ in range(self._ranks)]
        self._stored = [0.0] * self._ranks
        self._out_s = 0.0

    def ready(self, request: ServedRequest, rank: int) -> None:
        """A prompt has been sent to a rank."""
        self.held.add(request)
        self.queues[rank].append(request)
        self.rouse()

    def release(self, request: ServedRequest, rank: int) -> None:
        """The KV cache of a request has left for a decode replica."""
        self.held.discard(request)
        self._stored[rank] -= self.room.needed(request.context)
        if self.queues[rank]:
            self.rouse()

    def board(self) -> tuple[int, float]:
        """One pass over all ranks."""
        passes = [self._fill(rank) for rank in range(self._ranks)]
        tokens = [part[0] for part in passes]
        if not any(tokens):
            return 0, 0.0
        fullest = max(range(self._ranks), key=tokens.__getitem__)
        most = tokens[fullest]
        company = (sum(tokens) - most) / most / (self._ranks - 1) if self._ranks > 1 else 0.0
        chunk = self._pace.chunk(most, passes[fullest][1] / most, 0.0, company)
        for rank, (_, _, begun, ended) in enumerate(passes):
            self._send(rank, begun, ended, chunk)
        return 1, chunk.occupied_s

    def _fill(self, rank: int) -> tuple[float, float, list[ServedRequest], list[ServedRequest]]:
        """Prompt tokens of a pass on one rank, their keys in all, the prompts in it and those that end with it."""
        queue, free, keys = self.queues[rank], self._tokens, 0.0
        begun: list[ServedRequest] = []
        ended: list[ServedRequest] = []
        while queue and free > 0 and len(begun) < self._prompts:
            request = queue[0]
            if not request.done:
                needed = self.room.needed(request.context)
                if self._stored[rank] + needed > self.room.bytes:
                    break
                self._stored[rank] += needed
            part = min(request.compute - request.done, free)
            keys += part * (request.cached + request.done + part / 2)
            request.done += part
            free -= part
            begun.append(request)
            if request.done >= request.compute:
                ended.append(queue.popleft())
        return self._tokens - free, keys, begun, ended

    def _send(self, rank: int, begun: list[ServedRequest], ended: list[ServedRequest], chunk: Chunk) -> None:
        """Passes leave the last stage in the order in which they entered the first."""
        now = self.env.now
        out_s = max(now + chunk.latency_s, self._out_s + chunk.occupied_s)
        self._out_s = out_s if rank == self._ranks - 1 else self._out_s
        for request in begun:
            request.latency_s += chunk.occupied_s
        for request in ended:
            request.latency_s += chunk.latency_s - chunk.occupied_s
            later(self.env, out_s - now, partial(self._out, request, rank, request.attempt))

    def _out(self, request: ServedRequest, rank: int, attempt: int) -> None:
        if request.attempt == attempt:
            self._left(request, rank)

    def arrive(self, steps: int, step_s: float) -> None:
        """The first stage is free again."""
        self.meter.steps(steps, step_s, 1, 1)
        self.meter.filled(max(self._stored))
