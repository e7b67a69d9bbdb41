"""What requests will see: latencies of every class from the pools that serve it, and of all classes together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solver.cost.pool.latency import end_to_end
from solver.cost.pool.queueing import normal_quantile
from solver.cost.pool.serving import Service
from solver.replica import Role
from solver.workload import RequestClass
from solver.workload.measures import MEASURES, Measure

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
    """Every measure of one class, or of all, in every row (R,) [s].

    Attributes
    ----------
    of: by measure. later_tokens: of an answer, on average, after the first.
    """

    of: Mapping[Measure, Floats]
    later_tokens: float

    def __getitem__(self, measure: Measure) -> Floats:
        return self.of[measure]

    def alone(self) -> dict[str, float]:
        """The figures of the one row that there is, by name."""
        return {measure.field: float(values[0]) for measure, values in self.of.items()}


def class_latencies(
    parts: Sequence[Part], position: int, request_class: RequestClass, measures: Sequence[Measure] = MEASURES
) -> Latencies:
    """Latencies of a class, which is at ``position`` in its promise's mix.

    Means and medians are means over the pools by share; a tail percentile is the worst of them, since a pool with more
    requests than lie beyond it can break the promise alone.
    """
    first = [p for p in parts if p.role in ("prefill", "unified") and p.share > 0]
    later = [p for p in parts if p.role in ("decode", "unified") and p.share > 0]

    def over(of: Sequence[Part], measure: Measure) -> Floats:
        values = [p.service.latency(measure)[:, position] for p in of]
        if measure.tail:
            return np.asarray(np.max(values, axis=0))
        return np.asarray(sum(p.share * each for p, each in zip(of, values, strict=True)) / math.fsum(p.share for p in of))

    def told(measure: Measure) -> Floats:
        if measure.quantity == "e2e":
            parts_s = over(first, measure.of("ttft")), over(later, measure.of("tpot"))
            return end_to_end(*parts_s, request_class.later_tokens(measure.share))
        return over(first if measure.quantity == "ttft" else later, measure)

    return Latencies({measure: told(measure) for measure in measures}, request_class.later_tokens(None))


def overall(classes: Mapping[str, Latencies], rates: Mapping[str, float]) -> Latencies:
    """All measures over the requests of all classes, each weighted by its rate; gaps by those between its tokens."""
    names = sorted(classes)
    rate = np.array([rates[name] for name in names])
    tokens = rate * [classes[name].later_tokens for name in names]

    def mixed(measure: Measure) -> Floats:
        asked = np.stack([classes[n][measure] for n in names])
        weights = tokens if measure.quantity == "itl" and tokens.any() else rate
        weights = weights / weights.sum()
        if measure.share is None:
            return np.asarray(weights @ asked)
        # Normal distributions by their medians and a percentile above: the one that is asked for, else the 95th.
        high = measure if measure.tail else Measure(measure.quantity, "p95")
        middle, top = (np.stack([classes[n][m] for n in names]) for m in (Measure(measure.quantity, "p50"), high))
        return mixture_quantile(middle, top, weights, measure.share, high.share or 0.0)

    return Latencies({measure: mixed(measure) for measure in MEASURES}, float(tokens.sum() / rate.sum()))


def mixture_quantile(middle: Floats, high: Floats, weights: Floats, quantile: float, above: float = 0.95) -> Floats:
    """Quantile of mixtures of normal distributions given by their medians and a quantile above (C, R), in every row (R,).

    >>> mixture_quantile(np.array([[1.0]]), np.array([[2.0]]), np.array([1.0]), 0.95).tolist()
    [2.0]
    """
    asked = middle if quantile == 0.5 else high
    if np.all(middle == middle[0]) and np.all(high == high[0]):
        return np.asarray(asked[0])
    low, top = middle.min(axis=0), high.max(axis=0)
    spread = np.maximum((high - middle) / normal_quantile(above), 1e-12 * np.maximum(high, 1e-12))
    for _ in range(60):
        between = (low + top) / 2
        below = 0.5 * (1 + _erf((between - middle) / (spread * math.sqrt(2))))
        enough = weights @ below >= quantile
        low, top = np.where(enough, low, between), np.where(enough, between, top)
        if np.all(top - low <= 1e-12 * top):
            break
    return np.asarray(top)


_erf = np.vectorize(math.erf, otypes=[float])
