"""Idle sessions: what one that returns still finds, and in which tier."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from random import Random

from solver.plan import KVTier, Plan
from solver.simulate.requests import Arrival, ServedRequest
from solver.workload.kv_tiers import MemoryTier, tier_of

#: Sessions remembered at most; beyond that the one that ended first is forgotten.
MOST_SESSIONS = 1_000_000


@dataclass(frozen=True)
class History:
    """What a prompt finds of its session and of shared prefixes.

    Attributes
    ----------
    cached: tokens found, private: those of them that are the session's own.
    tier: where these lie; None where they are gone.
    rank: where the session was served last: pool and rank.
    """

    cached: int
    private: int = 0
    tier: MemoryTier | None = None
    rank: tuple[str, int] | None = None


class IdleSessions:
    """Histories of idle sessions, held for the ages that the plan decides; without tiers nothing is found."""

    def __init__(self, plan: Plan, seed: int) -> None:
        self._records = {record.request_class: record for record in plan.kv_tiers}
        self._private = {c.name: c.reused_tokens.private for c in plan.scenario.traffic.classes}
        self._random = Random(seed)
        self._ended: OrderedDict[int | str, tuple[float, tuple[str, int]]] = OrderedDict()

    def find(self, arrival: Arrival, now_s: float) -> History:
        """What an arrival reuses."""
        record = self._records.get(arrival.class_name)
        if record is None:
            return History(0)
        rank: tuple[str, int] | None = None
        age_s = arrival.idle_s
        if age_s is None and arrival.session is not None:
            seen = self._ended.get(arrival.session)
            if seen is not None:
                age_s, rank = now_s - seen[0], seen[1]
        if age_s is None or not arrival.private_tokens:
            return History(arrival.shared_tokens, rank=rank)
        tier = next((tier_of(name) for name, until_s in record.until_s.items() if age_s < until_s), None)
        if tier is None or not self._lands_there(record, tier):
            return History(arrival.shared_tokens, rank=rank)
        private = self._kept(record, arrival)
        return History(arrival.shared_tokens + private, private, tier, rank)

    def _lands_there(self, record: KVTier, tier: MemoryTier) -> bool:
        """Whether the router sends the turn where its history lies: to one of the caches among which sessions land."""
        return tier.lies == "shared storage" or record.caches == 1 or self._random.random() < 1 / record.caches

    def _kept(self, record: KVTier, arrival: Arrival) -> int:
        """Private tokens of a prompt that were kept: without those that decode pools generated and did not send back."""
        usual = self._private[arrival.class_name]
        return round(arrival.private_tokens * record.found_tokens / usual) if usual else arrival.private_tokens

    def ended(self, request: ServedRequest, now_s: float, rank: tuple[str, int]) -> None:
        """A session is idle from now on."""
        session = request.arrival.session
        if session is None or request.arrival.class_name not in self._records:
            return
        self._ended[session] = now_s, rank
        self._ended.move_to_end(session)
        if len(self._ended) > MOST_SESSIONS:
            self._ended.popitem(last=False)
