"""What requests will see: latencies of every class from the pools that serve it, and of all classes together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from solver.cost.pool.queueing import normal_quantile
from solver.cost.pool.serving import Service
from solver.replica import Role

Floats = NDArray[np.float64]



@dataclass(frozen=True)
class Part:
    """One pool's part in serving a promise.

    Attributes
    ----------
    share: of the requests of the promise that this pool serves in its role.
    """

    role: Role
    share: float
    service: Service


@dataclass(frozen=True)
class Latencies:
    """Quantiles of one class in every row (R,) [s]."""

    ttft_p50_s: Floats
    ttft_p95_s: Floats
    tpot_p50_s: Floats
    tpot_p95_s: Floats
    itl_p95_s: Floats
    e2e_p95_s: Floats

    def alone(self) -> dict[str, float]:
        """The figures of the one row that there is."""
        return {field.name: float(getattr(self, field.name)[0]) for field in fields(self)}


def class_latencies(parts: Sequence[Part], position: int, output_tokens: int) -> Latencies:
    """Latencies of the class at ``position`` in its promise's mix.

    Medians are means over the pools by share; a 95th percentile is the worst of them, since a pool with more than a
    twentieth of the requests can break the promise alone.
    """
    first = [p for p in parts if p.role in ("prefill", "unified") and p.share > 0]
    later = [p for p in parts if p.role in ("decode", "unified") and p.share > 0]

    def mean(of: Sequence[Part], name: str) -> Floats:
        values = [p.share * getattr(p.service, name)[:, position] for p in of]
        return np.asarray(sum(values) / math.fsum(p.share for p in of))

    def worst(of: Sequence[Part], name: str) -> Floats:
        return np.asarray(np.max([getattr(p.service, name)[:, position] for p in of], axis=0))

    ttft, tpot = worst(first, "ttft_p95"), worst(later, "tpot_p95")
    return Latencies(
        ttft_p50_s=mean(first, "ttft_p50"),
        ttft_p95_s=ttft,
        tpot_p50_s=mean(later, "tpot_p50"),
        tpot_p95_s=tpot,
        itl_p95_s=worst(later, "itl_p95"),
        # Both at their 95th percentile at once: an upper reading of the sum's.
        e2e_p95_s=ttft + max(output_tokens - 1, 0) * tpot,
    )


def overall(classes: Mapping[str, Latencies], rates: Mapping[str, float]) -> Latencies:
    """Quantiles over the requests of all classes, each weighted by its rate."""
    names = sorted(classes)
    weights = np.array([rates[name] for name in names])
    weights = weights / weights.sum()

    def mixed(middle: str, high: str) -> tuple[Floats, Floats]:
        low, top = (np.stack([getattr(classes[n], name) for n in names]) for name in (middle, high))
        return mixture_quantile(low, top, weights, 0.5), mixture_quantile(low, top, weights, 0.95)

    return Latencies(
        *mixed("ttft_p50_s", "ttft_p95_s"),
        *mixed("tpot_p50_s", "tpot_p95_s"),
        itl_p95_s=np.max([c.itl_p95_s for c in classes.values()], axis=0),
        e2e_p95_s=np.max([c.e2e_p95_s for c in classes.values()], axis=0),
    )


def mixture_quantile(middle: Floats, high: Floats, weights: Floats, quantile: float) -> Floats:
    """Quantile of mixtures of normal distributions given by their 50th and 95th percentiles (C, R), in every row (R,).

    >>> mixture_quantile(np.array([[1.0]]), np.array([[2.0]]), np.array([1.0]), 0.95).tolist()
    [2.0]
    """
    asked = middle if quantile == 0.5 else high
    if np.all(middle == middle[0]) and np.all(high == high[0]):
        return np.asarray(asked[0])
    low, top = middle.min(axis=0), high.max(axis=0)
    spread = np.maximum((high - middle) / normal_quantile(0.95), 1e-12 * np.maximum(high, 1e-12))
    for _ in range(60):
        between = (low + top) / 2
        below = 0.5 * (1 + _erf((between - middle) / (spread * math.sqrt(2))))
        enough = weights @ below >= quantile
        low, top = np.where(enough, low, between), np.where(enough, between, top)
        if np.all(top - low <= 1e-12 * top):
            break
    return np.asarray(top)


_erf = np.vectorize(math.erf, otypes=[float])
