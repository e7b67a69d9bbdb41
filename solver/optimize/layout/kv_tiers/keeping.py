"""One way to keep a promise's idle KV, and the ways to divide each class's waiting time among the tiers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement
from typing import Literal, get_args

from solver.cost.pool.mix import Mix
from solver.cost.pool.retention import Retention, mix_of
from solver.llm import LLM
from solver.optimize.layout.kv_tiers.places import Place
from solver.replica import Role
from solver.workload.kv_tiers import HBM, KVTierName

#: What a tier must have room for: what waits there, and what goes in and out each second.
TierAmount = Literal["bytes", "bytes_per_s"]
TIER_AMOUNTS: tuple[TierAmount, ...] = get_args(TierAmount)


@dataclass(frozen=True)
class Split:
    """One class's ages, and what they come to at the class's full rate.

    Attributes
    ----------
    until_s: age at which KV leaves each tier; tiers that are not used end where the one before does.
    bytes, hits_per_s, bytes_per_s: by tier: what waits there, hits on it, and what is loaded from and written to it.
    """

    until_s: Mapping[KVTierName, float]
    bytes: Mapping[KVTierName, float]
    hits_per_s: Mapping[KVTierName, float]
    bytes_per_s: Mapping[KVTierName, float]

    def amount(self, what: TierAmount) -> Mapping[KVTierName, float]:
        """What waits in every tier, or what goes in and out of it."""
        return self.bytes if what == "bytes" else self.bytes_per_s


@dataclass(frozen=True)
class Keeping:
    """A way to keep idle KV that pools are priced for.

    Attributes
    ----------
    group: index of the promise; role: the side on which its KV waits.
    kept: by class, what is left behind and found.
    hbm_s, drop_s: by class, the age at which it leaves HBM and the age at which it is dropped [s].
    write_back: decode pools send generated tokens to the prefill side.
    caches: most caches that the pool may have, among which sessions land at random; 0 = any number.
    splits: by class, the ways to divide the time between those ages.
    """

    group: int
    role: Role
    kept: tuple[Retention, ...]
    hbm_s: tuple[float, ...]
    drop_s: tuple[float, ...]
    write_back: bool
    caches: int
    splits: tuple[tuple[Split, ...], ...]

    @cached_property
    def mix(self) -> Mix:
        """What pools of the role serve then."""
        return mix_of(self.kept, self.hbm_s, self.drop_s)


def splits(
    one: Retention, llm: LLM, hbm_s: float, drop_s: float, grid: Sequence[float], places: Sequence[Place]
) -> list[Split]:
    """Every way to divide a class's waiting time from ``hbm_s`` to ``drop_s`` among some tiers, in their order."""
    names = [place.name for place in places]
    if not names:
        return [_split(one, llm, [HBM.name], [drop_s])] if hbm_s == drop_s else []
    if hbm_s == drop_s:
        return [_split(one, llm, [HBM.name, *names], [drop_s] * (len(names) + 1))]
    ages = [hbm_s, *(age for age in grid if hbm_s < age < drop_s), drop_s]
    inner = combinations_with_replacement(ages, len(names) - 1)
    return [_split(one, llm, [HBM.name, *names], [hbm_s, *ends, drop_s]) for ends in inner]


def _split(one: Retention, llm: LLM, names: Sequence[KVTierName], ends: Sequence[float]) -> Split:
    rate, per_token = one.request_class.requests_per_s, one.bytes_per_token(llm)
    held: dict[KVTierName, float] = {}
    hits: dict[KVTierName, float] = {}
    moved: dict[KVTierName, float] = {}
    start = 0.0
    for name, end in zip(names, ends, strict=True):
        held[name] = rate * one.stored * per_token * (one.held_s(end) - one.held_s(start))
        hits[name] = rate * (one.hit(end) - one.hit(start))
        written = rate * one.stored * per_token * one.waiting(start) if end > start else 0.0
        moved[name] = 0.0 if name == HBM.name else written + hits[name] * one.found * per_token
        start = end
    return Split(dict(zip(names, ends, strict=True)), held, hits, moved)
