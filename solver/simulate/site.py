"""A plan at work: its pools, the links between them, and the way of every request through them."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from solver.check.evidence import Evidence
from solver.cost.instance import Instance
from solver.cost.network.tier_rooms import slowest_rate
from solver.plan import Plan
from solver.simulate.failures import replicas_hit
from solver.simulate.meters import NOWHERE, RequestCounts
from solver.simulate.pools import DecodePool, PoolAtWork, PrefillPool, UnifiedPool
from solver.simulate.requests import Arrival, ServedRequest
from solver.simulate.sessions import IdleSessions
from solver.simulate.train import later
from solver.workload.kv_tiers import MemoryTier

if TYPE_CHECKING:
    import simpy


class Site:
    """Requests go to a pool by the plan's shares, there to the least loaded rank, and from prefill on to decode.

    Parameters
    ----------
    finished: told of every request that has its last token.
    """

    def __init__(
        self, env: simpy.Environment, plan: Plan, instance: Instance, seed: int, finished: Callable[[ServedRequest], None]
    ) -> None:
        self.env, self.plan, self.instance = env, plan, instance
        self.ledger, self.sessions = RequestCounts(), IdleSessions(plan, seed + 2)
        self._random, self._finished = Random(seed), finished
        evidence = Evidence(plan, instance)
        self._priced = evidence.priced
        self.pools: dict[str, PoolAtWork] = {}
        self._first: dict[str, PrefillPool | UnifiedPool] = {}
        self._decode: dict[str, DecodePool] = {}
        for pool in plan.pools:
            priced = evidence.priced[pool.name]
            if pool.role == "prefill":
                self._first[pool.name] = PrefillPool(env, pool, priced, self._hand_over)
            elif pool.role == "unified":
                self._first[pool.name] = UnifiedPool(env, pool, priced, Random(seed + 1), self._end)
            else:
                self._decode[pool.name] = DecodePool(env, pool, priced, self._end)
        self.pools = {pool.name: (self._first | self._decode)[pool.name] for pool in plan.pools}
        self._served_by: dict[ServedRequest, tuple[str, int]] = {}
        self._stranded: list[ServedRequest] = []

    def arrive(self, arrival: Arrival) -> ServedRequest | None:
        """Let a request in; None if it is refused because no engine accepts its length, or no cache ever holds it."""
        self.ledger.arrived += 1
        length = arrival.prompt_tokens + arrival.output_tokens
        for pool in self._pools_of(arrival.class_name):
            most = length if pool.pool.role != "prefill" else arrival.prompt_tokens
            if length > pool.pool.limits.max_length or pool.room.needed(most + 2) > pool.room.bytes:
                self.ledger.refused += 1
                return None
        request = ServedRequest(arrival)
        self._start(request)
        return request

    def _pools_of(self, class_name: str) -> list[PoolAtWork]:
        return [self.pools[name] for shares in self.plan.routing[class_name].values() for name in shares]

    def _start(self, request: ServedRequest) -> None:
        """Send a request to the pool that prefills it."""
        arrival = request.arrival
        shares = self.plan.routing[arrival.class_name]
        pool = self._first[self._draw(shares.get("unified") or shares["prefill"])]
        preferred = None
        if request.attempt == 1:
            history = self.sessions.find(arrival, self.env.now)
            self.ledger.tiers[NOWHERE if history.tier is None else history.tier.name] += 1
            cached = min(history.cached, arrival.prompt_tokens - 1)
            request.compute, request.cached = arrival.prompt_tokens - cached, cached
            if history.tier is not None:
                request.load_s = self._load_s(pool, history.tier, arrival.shared_tokens, history.private)
            if history.rank is not None and history.rank[0] == pool.name:
                preferred = history.rank[1]
        rank = pool.take(request, preferred)
        if rank is not None:
            self._served_by[request] = pool.name, rank

    def _draw(self, shares: dict[str, float]) -> str:
        names = list(shares)
        return names[0] if len(names) == 1 else self._random.choices(names, list(shares.values()))[0]

    def _load_s(self, pool: PoolAtWork, tier: MemoryTier, shared: float, private: float) -> float:
        """Seconds to bring a session's own tokens back into the HBM of the fullest rank."""
        if tier.lies == "device":
            return 0.0
        fleet, ledger = self.instance.fleet(pool.pool.device), pool.priced.replicas.ledger
        size = (ledger.kv_bytes(shared + private) - ledger.kv_bytes(shared)).max()
        return float(size / slowest_rate(tier, fleet.device, fleet.classes))

    def _hand_over(self, source: PrefillPool, request: ServedRequest, rank: int) -> None:
        """Send a prompt's cache to a decode rank; the links of both ranks carry one cache at a time."""
        shares = self.plan.routing[request.arrival.class_name]
        attempt = request.attempt
        drawn = self._draw(shares["decode"])
        places = ((self._decode[name], self._decode[name].reserve()) for name in (drawn, *shares["decode"]))
        sink, target = next(((pool, place) for pool, place in places if place is not None), (None, None))
        if sink is None or target is None:
            source.release(request, rank)
            self._stranded.append(request)
            return
        tokens = request.context + 1
        sent_s, landed_s = source.transfer_s(tokens), sink.transfer_s(tokens)
        starts_s = max(self.env.now, float(source.link_free_s[rank]), float(sink.link_free_s[target]))
        source.link_free_s[rank], sink.link_free_s[target] = starts_s + sent_s, starts_s + landed_s
        taken_s = max(sent_s, landed_s)
        failures = int(sink.failures[target])

        def arrives() -> None:
            if request.attempt != attempt:
                if sink.failures[target] == failures:
                    sink.unreserve(target)
                return
            if sink.failures[target] != failures:
                self._hand_over(source, request, rank)
                return
            source.release(request, rank)
            self._decode_begins(sink, request, target)

        later(self.env, starts_s + taken_s - self.env.now, arrives)

    def _decode_begins(self, sink: DecodePool, request: ServedRequest, rank: int) -> None:
        """The first token is out when its cache is where the others will come from."""
        request.generated += 1
        if request.first_s < 0:
            request.first_s = self.env.now
        request.lag_s = 0.0
        if request.left <= 0:
            sink.unreserve(rank)
            self._end(request)
        else:
            sink.ready(request, rank)

    def _end(self, request: ServedRequest) -> None:
        request.end_s = self.env.now + request.lag_s
        self.ledger.finished += 1
        self.sessions.ended(request, self.env.now, self._served_by.pop(request))
        self._finished(request)

    def fail(self, vertex: str, recover_s: float | None) -> None:
        """Stop every replica with a rank on a device that is lost; its requests start over elsewhere."""
        hit = replicas_hit(self.plan, self.instance.cluster, vertex)
        lost = [request for name, replica in hit for request in self.pools[name].fail(replica)]
        for request in sorted(lost, key=lambda request: request.arrival.time_s):
            self._again(request)
        if recover_s is not None:
            later(self.env, recover_s, lambda: self._recover(hit))

    def _recover(self, hit: list[tuple[str, int]]) -> None:
        waiting = [request for name, replica in hit for request in self.pools[name].recover(replica)]
        stranded, self._stranded = self._stranded, []
        for request in waiting:
            self._start(request)
        for request in stranded:
            self._again(request)

    def _again(self, request: ServedRequest) -> None:
        self.ledger.requeued += 1
        request.again()
        self._start(request)


def stay_s(plan: Plan) -> float:
    """How long the longest of the usual requests stays by the plan's prediction [s]."""
    found = 0.0
    for request_class in plan.scenario.traffic.classes:
        figures = plan.prediction.classes[request_class.name]
        tokens = request_class.output_tokens * (1 + request_class.output_cv)
        found = max(found, figures.ttft_p95_s + tokens * figures.tpot_p95_s)
    return found if math.isfinite(found) else 0.0
