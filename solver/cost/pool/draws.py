"""A plan under every draw of what its predictions may be off by: latencies, promises kept, and what is served within them.

A replica that surprises takes ``e^t`` times as long for everything, and its first tokens ``e^v`` times longer still. Time has
no other scale in a pool: at a rate r it then is where it would have been at ``r e^t``, with all latencies ``e^t`` times as
long (Little's law holds by itself). So one table of a pool over loads prices it under all draws.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from solver.cost.pool.latency import RequestLatency, Statistics
from solver.cost.pool.prediction import Latencies, Part, class_latencies, overall
from solver.cost.pool.priced import PricedPool
from solver.cost.pool.serving import Service
from solver.cost.surprises import DRAWS
from solver.replica import Role
from solver.workload import SLO, RequestClass
from solver.workload.measures import MEASURES, TPOT_P95, TTFT_P95

Floats = NDArray[np.float64]

#: Loads of the table of a pool, in proportion, and the heaviest over the lightest: more where the plan asks for less.
LOADS, SPAN = 128, 128.0
#: Multiples of the planned traffic of which the largest that keeps its promises is looked for.
MULTIPLES = np.linspace(1.0, 0.3, 36)
#: A promise that is missed by less than this share is kept.
SLACK = 1e-6


@dataclass(frozen=True)
class DrawnPool:
    """A pool of a plan, and how it surprises.

    Attributes
    ----------
    share: of the requests of its promise that it serves in its role. sequences: that a rank is allowed to run.
    requests_per_s: of each replica.
    surprises: t and v (2, DRAWS), as :meth:`solver.cost.instance.Instance.surprises` draws them.
    by_class: latencies by class of an operating point, histories loaded.
    """

    role: Role
    share: float
    priced: PricedPool
    sequences: float
    requests_per_s: float
    surprises: Floats
    by_class: Callable[[Service], Service]

    def under(self, multiple: float) -> tuple[Service, NDArray[np.bool_]]:
        """The pool in every world at a multiple of its rate, and whether it can serve so much at all (DRAWS,)."""
        longer, first = np.exp(self.surprises[0]), np.exp(self.surprises.sum(axis=0))
        rates, latency = self._table
        asked = np.log(multiple * self.requests_per_s * longer)
        place = np.clip(np.searchsorted(rates, asked), 1, len(rates) - 1)
        step = np.clip((asked - rates[place - 1]) / (rates[place] - rates[place - 1]), 0.0, 1.0)[:, None]

        def at(logarithm: Statistics, slower: Floats) -> Statistics:
            def told(share: float | None) -> Floats:
                values = logarithm(share)
                between = values[place - 1] * (1 - step) + values[place] * step
                return np.asarray(np.exp(between) * slower[:, None])

            return told

        drawn = RequestLatency(
            at(latency.first, first), at(latency.later, longer), at(latency.gap, longer), latency.later_tokens
        )
        nothing = np.zeros(DRAWS)
        return Service(nothing, nothing, nothing, nothing, nothing, drawn), asked <= rates[-1] + 1e-9

    def surprising(self, surprises: Floats) -> DrawnPool:
        """The same pool with other surprises."""
        found = replace(self, surprises=surprises)
        found.__dict__["_table"] = self._table
        return found

    @cached_property
    def _table(self) -> tuple[Floats, RequestLatency]:
        """Logarithms of growing rates (L,), and of latencies at them (L, C)."""
        rates, service = self.priced.over_loads(self.sequences, SPAN, LOADS)
        if (lighter := float(rates[0]) / self.requests_per_s) > 1:
            rates, service = self.priced.over_loads(self.sequences, 2 * lighter * SPAN, LOADS)
        latency = self.by_class(service).latency
        # Queues that never end serve nobody.
        ends = np.all([np.isfinite(latency(m)).all(axis=1) for m in (TTFT_P95, TPOT_P95)], axis=0)
        stable = max(int(np.argmin(ends)) if not ends.all() else len(ends), 2)

        def logarithm(of: Statistics) -> Statistics:
            return cache(lambda share: np.log(np.maximum(of(share)[:stable], 1e-12)))

        first, later, gap = (logarithm(of) for of in (latency.first, latency.later, latency.gap))
        return np.log(rates[:stable]), RequestLatency(first, later, gap, latency.later_tokens)


@dataclass(frozen=True)
class DrawnGroup:
    """The classes that share pools, with their promises, rates [1/s] and pools."""

    classes: Sequence[RequestClass]
    slos: Sequence[SLO]
    rates: Sequence[float]
    pools: Sequence[DrawnPool]


@dataclass(frozen=True)
class Worlds:
    """What a plan does in every world.

    Attributes
    ----------
    classes: latencies of each class, with arrays (DRAWS,). rates: its requests/s.
    kept: whether all promises hold (DRAWS,).
    served: the largest share of the traffic with which they do (DRAWS,); ``MULTIPLES`` ends it below.
    """

    classes: Mapping[str, Latencies]
    rates: Mapping[str, float]
    kept: NDArray[np.bool_]
    served: Floats

    @property
    def confidence(self) -> float:
        """Share of the worlds in which all promises hold."""
        return float(self.kept.mean())

    def interval_80(self, name: str, value: float, request_class: str | None = None) -> tuple[float, float]:
        """The range of a predicted figure that holds in 80 % of the worlds.

        Parameters
        ----------
        value: of a rate, what is predicted; latencies have their own.
        request_class: whose; of all without.
        """
        measure = next((m for m in MEASURES if m.field == name), None)
        if measure is not None:
            latencies = self.overall if request_class is None else self.classes[request_class]
            return _middle_80(latencies[measure])
        return _middle_80(value * self.served)

    def cost_80(self, usd: float) -> tuple[float, float]:
        """The range of a cost by what is served that holds in 80 % of the worlds."""
        return _middle_80(usd / self.served)

    @cached_property
    def overall(self) -> Latencies:
        """Latencies over all classes."""
        return overall(self.classes, self.rates)


def _middle_80(values: Floats) -> tuple[float, float]:
    low, high = np.quantile(values, (0.1, 0.9))
    return float(low), float(high)


def worlds(groups: Sequence[DrawnGroup]) -> Worlds:
    """A plan in every world."""
    served = np.full(DRAWS, MULTIPLES[-1])
    first: dict[str, Latencies] = {}
    for multiple in MULTIPLES:
        kept, classes = _at(groups, float(multiple), complete=not first)
        if not first:
            first, whole = classes, kept
        served = np.where(kept, np.maximum(served, multiple), served)
        if kept.all():
            break
    rates = {c.name: rate for group in groups for c, rate in zip(group.classes, group.rates, strict=True)}
    return Worlds(first, rates, whole, served)


def _at(
    groups: Sequence[DrawnGroup], multiple: float, complete: bool
) -> tuple[NDArray[np.bool_], dict[str, Latencies]]:
    """Whether every promise is kept at a multiple of the traffic (DRAWS,), and the latencies: all, or those promised."""
    kept, found = np.ones(DRAWS, bool), {}
    for group in groups:
        parts = []
        for pool in group.pools:
            service, able = pool.under(multiple)
            kept &= able
            parts.append(Part(pool.role, pool.share, service))
        for position, (request_class, slo) in enumerate(zip(group.classes, group.slos, strict=True)):
            measures = MEASURES if complete else [measure for measure, _ in slo.promised]
            latencies = class_latencies(parts, position, request_class, measures)
            found[request_class.name] = latencies
            for measure, limit in slo.promised:
                kept &= latencies[measure] <= limit * (1 + SLACK)
    return kept, found
