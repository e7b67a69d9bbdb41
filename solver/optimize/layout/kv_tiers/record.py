"""What the plan says of idle KV: ages, hits, bytes and money of every class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from solver.cost.pool.priced import PricedPool
from solver.cost.pool.retention import Retention, load_s, spared_devices
from solver.llm import LLM
from solver.optimize.layout.kv_tiers.keeping import Keeping, Split
from solver.optimize.layout.kv_tiers.places import Place
from solver.plan import KVTier
from solver.workload.kv_tiers import TIERS


def records(
    llm: LLM,
    pool: PricedPool,
    pool_name: str,
    device: str,
    requests_per_s: float,
    chosen: tuple[Keeping, tuple[Split, ...]],
    places: Sequence[Place],
) -> Iterator[KVTier]:
    """The record of every class whose KV a pool keeps.

    Parameters
    ----------
    requests_per_s: of the whole pool, all classes.
    """
    keeping, splits = chosen
    times = requests_per_s / sum(k.request_class.requests_per_s for k in keeping.kept)
    caches = pool.count * pool.setup.parallelism.dp
    prices = {place.name: place.usd_per_byte_hour for place in places}
    for kept, split in zip(keeping.kept, splits, strict=True):
        one = kept.request_class
        rate = one.requests_per_s * times
        ends, last = {}, 0.0
        for tier in TIERS:
            last = max(last, split.until_s.get(tier.name, 0.0))
            ends[tier.until_field] = last
        held = {name: size * times for name, size in split.bytes.items() if size > 0}
        yield KVTier(
            **{"class": one.name},
            pool=pool_name,
            **ends,
            hit_rate=kept.hit(last),
            hit_rate_by_tier={t: h / one.requests_per_s for t, h in split.hits_per_s.items() if h > 0},
            found_tokens=kept.found,
            stored_tokens=kept.stored,
            caches=kept.caches,
            write_back=keeping.write_back,
            bytes=dict(held),
            shared_bytes=caches * llm.kv_bytes(float(one.reused_tokens.shared)) if one.reused_tokens.shared else 0.0,
            bytes_per_s={t: b * times for t, b in split.bytes_per_s.items() if b > 0},
            usd_per_hour={t: size * prices.get(t, 0.0) for t, size in held.items()},
            load_s=slowest_load_s(pool, device, kept, split, places),
            spared_prefill_devices=spared_devices(pool, kept, rate * kept.hit(last)),
        )


def slowest_load_s(pool: PricedPool, device: str, kept: Retention, split: Split, places: Sequence[Place]) -> float:
    """Time to load a history from the slowest tier in which it is ever found [s]; 0 where that is HBM."""
    rates = [place.rate_of(device) for place in places if split.hits_per_s.get(place.name, 0.0) > 0]
    return max((float(load_s(pool.replicas, kept, rate)[0]) for rate in rates), default=0.0)
