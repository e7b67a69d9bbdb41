"""Unified replicas: prompts are prefilled in chunks, beside the running sequences or before they go on."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import TYPE_CHECKING

from solver.cost.pool.queueing import crowdedness
from solver.simulate.decode import Batch, context_of
from solver.simulate.pace import Pace
from solver.simulate.requests import ServedRequest
from solver.simulate.train import Room, Train

if TYPE_CHECKING:
    import simpy

    from solver.simulate.meters import PoolMeter


@dataclass(frozen=True)
class Chunking:
    """How prompts share the steps of a rank.

    Attributes
    ----------
    tokens: most prompt tokens of one pass; passes: that a step may carry (one a pipeline stage).
    first_token: time to the first token of a lone prompt over its engine steps.
    mixed: whether running sequences get their next token in the same step, else they wait for its end.
    """

    tokens: float
    passes: int
    first_token: float
    mixed: bool


class UnifiedRank(Train):
    """One attention rank. Its steps are its own; decode keeps pace with the fullest rank of the replica.

    Parameters
    ----------
    peers: all ranks of the replica, this one included once it exists.
    stalled: chance that a prompt on one rank stalls another one.
    first, finished: told of requests whose first, and last, token is out.
    """

    def __init__(
        self,
        env: simpy.Environment,
        pace: Pace,
        room: Room,
        chunking: Chunking,
        peers: list[UnifiedRank],
        stalled: float,
        random: Random,
        meter: PoolMeter,
        first: Callable[[ServedRequest], None],
        finished: Callable[[ServedRequest], None],
    ) -> None:
        self._pace, self._chunking, self._peers = pace, chunking, peers
        self._stalled, self._random = stalled, random
        self._first, self._finished = first, finished
        self._order = count()
        self._step = 0
        self._debt_s = 0.0
        #: Whether the step under way has no running sequences in it, and how long they have waited by now.
        self._waits, self._waited_s = False, 0.0
        self.batch = Batch(room)
        peers.append(self)
        self.drop()
        super().__init__(env, room, meter)

    def drop(self) -> None:
        """Forget all work."""
        self.batch = Batch(self.batch.room)
        self.prompts: deque[ServedRequest] = deque()
        self._chunked: list[ServedRequest] = []
        self._joining: list[ServedRequest] = []
        self._ends: list[tuple[int, int, ServedRequest]] = []

    def ready(self, request: ServedRequest) -> None:
        """A prompt may board the next step."""
        self.held.add(request)
        self.prompts.append(request)
        self.rouse()

    @property
    def running(self) -> int:
        """Sequences past their prompt."""
        return len(self.batch.running) - len(self._chunked)

    @property
    def company(self) -> float:
        """Sequences past their prompt on all ranks of the replica."""
        return float(sum(peer.running for peer in self._peers))

    def board(self) -> tuple[int, float]:
        """A step with chunks of prompts where any can be admitted, else steps until the next sequence ends."""
        if self.batch.steps_until_full < 1:
            self._evict()
        self._admit()
        decoding = self.running
        fullest = max(peer.running for peer in self._peers)
        context = self.batch.tokens / len(self.batch.running) if self.batch.running else 0.0
        base_s = self._pace.decode_s(fullest, context)
        self._waits = bool(self._chunked) and not self._chunking.mixed
        if self._chunked:
            stall_s = self._passes(decoding)
            debt_s, self._debt_s = self._debt_s, 0.0
            return 1, stall_s + debt_s + (0.0 if self._waits else base_s)
        while self._ends and self._ends[0][2].finish_step != self._ends[0][0]:
            heapq.heappop(self._ends)
        if not self._ends:
            self._debt_s = 0.0
            return 0, 0.0
        steps = max(min(self._ends[0][0] - self._step, self.batch.steps_until_full), 1)
        step_s = self._pace.decode_s(fullest, context + (steps - 1) / 2) + self._debt_s / steps
        self._debt_s = 0.0
        return steps, step_s

    def _admit(self) -> None:
        """Reserve the cache of as many prompts, first come first served, as a step could begin."""
        ahead = sum(request.compute - request.done for request in self._chunked)
        while self.prompts and ahead < self._chunking.tokens * self._chunking.passes:
            request = self.prompts[0]
            if not self.batch.fits(request):
                return
            self.prompts.popleft()
            self.batch.add(request, request.context)
            self._chunked.append(request)
            ahead += request.compute

    def _passes(self, decoding: int) -> float:
        """Fill the passes of one step with prompts; how long they stall the running sequences."""
        chunking, peers = self._chunking, self._peers
        company = 0.0
        if len(peers) > 1:
            company = sum(1 for peer in peers if peer is not self and (peer.prompts or peer._chunked)) / (
                len(peers) - 1
            )
        offset = stall = 0.0
        for _ in range(chunking.passes):
            taken, keys, ended = self._fill()
            if not taken:
                break
            chunk = self._pace.chunk(taken, keys / taken, decoding, company)
            for request in ended:
                request.latency_s += chunk.latency_s
                request.lag_s = (chunking.first_token - 1) * crowdedness(self.company) * request.latency_s
                request.alone_s += request.latency_s + request.lag_s
                request.spent_s = self.env.now + offset + chunk.latency_s + request.lag_s
                self._joining.append(request)
            for request in self._chunked:
                if 0 < request.done < request.compute:
                    request.latency_s += chunk.occupied_s
            offset += chunk.occupied_s
            stall += chunk.stall_s
        self._stall_peers(stall)
        return stall

    def _fill(self) -> tuple[float, float, list[ServedRequest]]:
        """Prompt tokens of one pass, their keys in all, and the prompts that end with it."""
        free, keys = self._chunking.tokens, 0.0
        ended = []
        for request in self._chunked:
            part = min(request.compute - request.done, free)
            if part <= 0:
                continue
            keys += part * (request.cached + request.done + part / 2)
            request.done += part
            free -= part
            if request.done >= request.compute:
                ended.append(request)
            if free <= 0:
                break
        return self._chunking.tokens - free, keys, ended

    def _stall_peers(self, stall_s: float) -> None:
        if self._stalled:
            for peer in self._peers:
                if peer is not self and self._random.random() < self._stalled:
                    peer._debt_s += stall_s

    def _evict(self) -> None:
        """Drop the caches of the youngest sequences; they are computed again, first of all prompts."""
        while self.batch.steps_until_full < 1 and len(self.batch.running) > 1:
            request = next(reversed(self.batch.running))
            if request in self._chunked:
                self._chunked.remove(request)
                self.batch.remove(request, request.context)
                request.done = request.latency_s = 0.0
            else:
                request.generated = request.arrival.output_tokens - (request.finish_step - self._step)
                self.batch.remove(request, context_of(request))
                request.finish_step = -1
                request.again()
            self.prompts.appendleft(request)
            self.meter.preempted += 1

    def arrive(self, steps: int, step_s: float) -> None:
        """Everybody who was in the steps has got so many tokens; prompts that ended have their first."""
        decoding = self.running
        if self._waits:
            self._waited_s += step_s if decoding else 0.0
            self.meter.ran(steps, step_s, decoding)
        else:
            self._step += steps
            self.batch.grow(steps, decoding)
            self.meter.steps(steps, step_s, decoding, 1, self._waited_s)
            self._waited_s = 0.0
        self.meter.filled(self.batch.bytes)
        while self._ends and self._ends[0][0] <= self._step:
            end, _, request = heapq.heappop(self._ends)
            if request.finish_step == end:
                request.generated = request.arrival.output_tokens
                self._leave(request)
        joining, self._joining = self._joining, []
        for request in joining:
            self._chunked.remove(request)
            self._begin(request)

    def _begin(self, request: ServedRequest) -> None:
        """The first token (after a loss: the next one) is out; the rest follow from the next step on."""
        request.generated += 1
        self.batch.grow(1, 1)
        if request.first_s < 0:
            request.first_s = request.spent_s
        self._first(request)
        request.finish_step = self._step + request.left
        if request.left <= 0:
            self._leave(request)
        else:
            heapq.heappush(self._ends, (request.finish_step, next(self._order), request))

    def _leave(self, request: ServedRequest) -> None:
        self.batch.remove(request, context_of(request))
        self.held.discard(request)
        self._finished(request)

    def fail(self) -> list[ServedRequest]:
        """Stop; running sequences keep what the client has."""
        for request in self.batch.running:
            if request not in self._chunked:
                request.generated = request.arrival.output_tokens - (request.finish_step - self._step)
        return super().fail()
