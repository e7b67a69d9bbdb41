"""KV tiers by age: what a returning session still finds, where, and how long it takes to load."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from solver.plan import KVTier, Plan
from solver.simulate.requests import Arrival, Request

#: Sessions remembered at most; beyond that the one that ended first is forgotten.
MOST_SESSIONS = 1_000_000


@dataclass(frozen=True)
class Found:
    """What a prompt finds.

    Attributes
    ----------
    cached: tokens. tier: ``hbm``, ``dram``, ``flash`` or ``none``.
    rank: where its session was served last: pool and rank.
    """

    cached: int
    tier: str
    rank: tuple[str, int] | None = None


class Tiers:
    """Caches of idle sessions, held for the ages that the plan decides; without tiers nothing is found."""

    def __init__(self, plan: Plan) -> None:
        self._ages = {tier.request_class: _ages(tier) for tier in plan.kv_tiers}
        self._ended: OrderedDict[int | str, tuple[float, tuple[str, int]]] = OrderedDict()

    def find(self, arrival: Arrival, now_s: float) -> Found:
        """What an arrival reuses."""
        ages = self._ages.get(arrival.class_name)
        if ages is None:
            return Found(0, "none")
        rank: tuple[str, int] | None = None
        age_s = arrival.idle_s
        if age_s is None and arrival.session is not None:
            seen = self._ended.get(arrival.session)
            if seen is not None:
                age_s, rank = now_s - seen[0], seen[1]
        if age_s is None or not arrival.private_tokens:
            return Found(arrival.shared_tokens, "none", rank)
        tier = next((name for name, until_s in ages if age_s < until_s), "none")
        private = arrival.private_tokens if tier != "none" else 0
        return Found(arrival.shared_tokens + private, tier, rank)

    def ended(self, request: Request, now_s: float, rank: tuple[str, int]) -> None:
        """A session is idle from now on."""
        session = request.arrival.session
        if session is None or request.arrival.class_name not in self._ages:
            return
        self._ended[session] = now_s, rank
        self._ended.move_to_end(session)
        if len(self._ended) > MOST_SESSIONS:
            self._ended.popitem(last=False)


def _ages(tier: KVTier) -> tuple[tuple[str, float], ...]:
    return ("hbm", tier.hbm_until_s), ("dram", tier.dram_until_s), ("flash", tier.flash_until_s)
