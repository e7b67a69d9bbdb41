"""What requests will see: latencies of every class from the pools that serve it, and of all classes together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from solver.cost.pool.queueing import normal_quantile
from solver.cost.pool.serving import Service
from solver.replica import Role

#: Half of an 80 % interval in standard deviations.
HALF_80 = normal_quantile(0.9)


@dataclass(frozen=True)
class Part:
    """One pool's part in serving a promise.

    Attributes
    ----------
    share: of the requests of the promise that this pool serves in its role.
    tpot_sigma, ttft_sigma: standard deviation of the calibration's log residuals.
    """

    role: Role
    share: float
    service: Service
    tpot_sigma: float
    ttft_sigma: float


@dataclass(frozen=True)
class Latencies:
    """Quantiles of one class [s], and how far off they may be (standard deviation of the logarithm)."""

    ttft_p50_s: float
    ttft_p95_s: float
    tpot_p50_s: float
    tpot_p95_s: float
    itl_p95_s: float
    e2e_p95_s: float
    ttft_sigma: float
    tpot_sigma: float


def class_latencies(parts: Sequence[Part], position: int, output_tokens: int) -> Latencies:
    """Latencies of the class at ``position`` in its promise's mix.

    Medians are means over the pools by share; a 95th percentile is the worst of them, since a pool with more than a
    twentieth of the requests can break the promise alone.
    """
    first = [p for p in parts if p.role in ("prefill", "unified") and p.share > 0]
    later = [p for p in parts if p.role in ("decode", "unified") and p.share > 0]

    def mean(of: Sequence[Part], name: str) -> float:
        return math.fsum(p.share * float(getattr(p.service, name)[0, position]) for p in of) / math.fsum(
            p.share for p in of
        )

    def worst(of: Sequence[Part], name: str) -> float:
        return max(float(getattr(p.service, name)[0, position]) for p in of)

    ttft, tpot = worst(first, "ttft_p95"), worst(later, "tpot_p95")
    return Latencies(
        ttft_p50_s=mean(first, "ttft_p50"),
        ttft_p95_s=ttft,
        tpot_p50_s=mean(later, "tpot_p50"),
        tpot_p95_s=tpot,
        itl_p95_s=worst(later, "itl_p95"),
        # Both at their 95th percentile at once: an upper reading of the sum's.
        e2e_p95_s=ttft + max(output_tokens - 1, 0) * tpot,
        ttft_sigma=max(p.ttft_sigma for p in first),
        tpot_sigma=max(p.tpot_sigma for p in later),
    )


def overall(classes: Mapping[str, Latencies], rates: Mapping[str, float]) -> Latencies:
    """Quantiles over the requests of all classes, each weighted by its rate."""
    names = sorted(classes)
    weights = np.array([rates[name] for name in names])
    weights = weights / weights.sum()

    def mixed(middle: str, high: str) -> tuple[float, float]:
        pairs = [(getattr(classes[n], middle), getattr(classes[n], high)) for n in names]
        return mixture_quantile(pairs, weights, 0.5), mixture_quantile(pairs, weights, 0.95)

    ttft, tpot = mixed("ttft_p50_s", "ttft_p95_s"), mixed("tpot_p50_s", "tpot_p95_s")
    return Latencies(
        *ttft,
        *tpot,
        itl_p95_s=max(c.itl_p95_s for c in classes.values()),
        e2e_p95_s=max(c.e2e_p95_s for c in classes.values()),
        ttft_sigma=max(c.ttft_sigma for c in classes.values()),
        tpot_sigma=max(c.tpot_sigma for c in classes.values()),
    )


def mixture_quantile(
    pairs: Sequence[tuple[float, float]], weights: np.ndarray[tuple[int], np.dtype[np.float64]], quantile: float
) -> float:
    """Quantile of a mixture of normal distributions given by their 50th and 95th percentiles.

    >>> mixture_quantile([(1.0, 2.0)], np.array([1.0]), 0.95)
    2.0
    """
    if len(set(pairs)) == 1:
        return pairs[0][0] if quantile == 0.5 else pairs[0][1]
    low, high = min(p for p, _ in pairs), max(h for _, h in pairs)
    spread = [max((h - p) / normal_quantile(0.95), 1e-12 * max(h, 1e-12)) for p, h in pairs]
    for _ in range(60):
        middle = (low + high) / 2
        below = sum(
            w * 0.5 * (1 + math.erf((middle - p) / (s * math.sqrt(2))))
            for (p, _), s, w in zip(pairs, spread, weights, strict=True)
        )
        low, high = (middle, high) if below < quantile else (low, middle)
    return high


def interval_80(value: float, sigma: float) -> tuple[float, float]:
    """Range of a figure that holds for 80 % of the runs that a calibration was tested on."""
    return value * math.exp(-HALF_80 * sigma), value * math.exp(HALF_80 * sigma)
