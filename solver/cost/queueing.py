"""Waiting: how long requests queue for prefill, and how full a decode batch gets.

Replicas of a pool share one router, so their ranks form one queue with many servers. All functions broadcast over numpy
arrays. Times in seconds, rates in 1/s.

Source: Erlang C; Lee and Longton's M/G/c correction; Little's law; PROGRAM section 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Quantile of decode occupancy that must fit in the KV cache and in the engine's limit on running sequences.
FULL = 0.99
#: Fluctuation of the batch that a request feels, averaged over its own stay, against that of one instant: sqrt(2/3),
#: for arrivals that stay a fixed time (the mean of the triangular autocorrelation over one stay).
AVERAGED = math.sqrt(2 / 3)

_EXACT_SERVERS = 256


def normal_quantile(probability: float) -> float:
    """Standard normal quantile.

    >>> round(normal_quantile(0.95), 3)
    1.645
    """
    return NormalDist().inv_cdf(probability)


def erlang_c(servers: Floats, load: Floats) -> Floats:
    """Probability that an arrival waits in M/M/c.

    Parameters
    ----------
    servers: number of servers c, whole and at least 1.
    load: offered load a = arrival rate x service time [Erlang]; at c or above every arrival waits.

    Exact (Erlang B recursion) up to 256 servers; beyond that Halfin and Whitt's limit, whose error is then below 1 %.
    """
    c, a = np.broadcast_arrays(np.asarray(servers, float), np.asarray(load, float))
    few = np.minimum(c, _EXACT_SERVERS)
    blocked, at_c = np.ones_like(a), np.ones_like(a)
    for k in range(1, int(few.max(initial=1)) + 1):
        blocked = a * blocked / (k + a * blocked)
        at_c = np.where(few == k, blocked, at_c)
    rho = np.minimum(a / c, 1.0)
    exact = at_c / np.maximum(1 - rho * (1 - at_c), 1e-300)
    beta = (1 - rho) * np.sqrt(c)
    density = np.exp(-(beta**2) / 2) / math.sqrt(2 * math.pi)
    many = density / (density + beta * _normal_cdf(beta)) if np.any(c > _EXACT_SERVERS) else exact
    return np.where(a >= c, 1.0, np.where(c <= _EXACT_SERVERS, exact, many))


def _normal_cdf(x: Floats) -> Floats:
    erf: Floats = np.vectorize(math.erf, otypes=[float])(x / math.sqrt(2))
    return 0.5 * (1 + erf)


@dataclass(frozen=True)
class Wait:
    """Wait in a queue with many servers: 0 with probability 1 - ``chance``, else exponential (R,).

    Attributes
    ----------
    chance: probability of waiting at all.
    mean: mean wait of those that wait [s]; infinite where the load is 1 or more.
    service: mean service time [s].
    """

    chance: Floats
    mean: Floats
    service: Floats

    def quantile(self, probability: float) -> Floats:
        """``max(0, mean ln(chance / (1 - q)))`` [s]."""
        with np.errstate(divide="ignore", invalid="ignore"):
            tail = np.log(self.chance / (1 - probability)) * self.mean
        return np.where(np.isinf(self.mean), np.inf, np.where(self.chance > 1 - probability, tail, 0.0))

    def behind_router(self, probability: float) -> Floats:
        """The quantile where a router sends requests at once and cannot take them back: at least the rest of a service.

        Who finds all servers busy waits for the one it was sent to, not for the first to be free [s].
        """
        return np.maximum(self.quantile(probability), residual_quantile(self.service, self.chance, probability))


def wait(
    servers: Floats, arrivals: Floats, service: Floats, service_squared: Floats, burstiness: Floats | float = 1.0
) -> Wait:
    """Wait in a pool of servers behind one queue, first come first served.

    Erlang C waits; the tail is exponential with Lee and Longton's mean, extended to arrivals of squared coefficient of
    variation v (Allen and Cunneen): ``(E[S^2] / E[S] + (v - 1) E[S]) / (2 c (1 - rho))``. Bursts also make more of them
    wait: by ``(v - 1) (1 - rho) h`` (Kraemer and Langenbach-Belz 1976, for one server).

    Parameters
    ----------
    servers: servers c.
    arrivals: arrival rate of the whole pool [1/s].
    service, service_squared: mean and mean square of the service time [s], [s^2].
    """
    rho = arrivals * service / servers
    with np.errstate(divide="ignore", invalid="ignore"):
        varied = np.maximum(service_squared / service**2 - 1, 0.0)
        mean = (service_squared / service + (np.asarray(burstiness) - 1) * service) / (2 * servers * (1 - rho))
    more = 1 + (np.asarray(burstiness) - 1) * np.maximum(1 - rho, 0.0) * _burst_weight(rho, burstiness, varied)
    chance = np.clip(erlang_c(servers, arrivals * service) * more, 0.0, 1.0)
    return Wait(chance, np.where(rho >= 1, np.inf, np.maximum(mean, 0.0)), np.asarray(service, float))


def _burst_weight(rho: Floats, burstiness: Floats | float, varied: Floats) -> Floats:
    """h of Kraemer and Langenbach-Belz, for arrivals of squared coefficient of variation v and services of ``varied``."""
    v = np.asarray(burstiness, float)
    spread = rho**2 * (4 * v + varied)
    even: Floats = (1 + v + rho * varied) / (1 + rho * (varied - 1) + spread)
    return np.where(v > 1, 4 * rho / np.maximum(v + spread, 1e-300), even)


def residual_quantile(step: Floats, busy: Floats, quantile: float) -> Floats:
    """Quantile of the wait for the step in progress to end: 0 when idle, else uniform over the step (a train's headway).

    Parameters
    ----------
    step: duration of the step in progress [s].
    busy: probability that an arrival finds one in progress.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        share = 1 - (1 - quantile) / np.maximum(busy, 1e-12)
    return step * np.clip(share, 0.0, 1.0)


def occupancy_quantile(mean: Floats, ranks: Floats, quantile: float, averaging: float = 1.0) -> Floats:
    """Quantile of the sequences on one rank of a pool whose router keeps ranks level.

    The pool's total is Poisson (infinite-server queue), spread over its ranks: ``b + z sqrt(b / ranks)``, and half a
    sequence for levelling whole sequences.

    Parameters
    ----------
    mean: mean sequences per rank b.
    ranks: ranks of the pool.
    averaging: factor on the standard deviation, :data:`AVERAGED` for what a request feels over its stay.
    """
    return mean + normal_quantile(quantile) * averaging * np.sqrt(mean / ranks) + (0.5 if quantile > 0.5 else 0.0)


def mean_for_occupancy(limit: Floats, ranks: Floats, quantile: float) -> Floats:
    """Largest mean occupancy whose quantile stays within ``limit``: the inverse of :func:`occupancy_quantile`."""
    z = normal_quantile(quantile) / np.sqrt(ranks)
    room = np.maximum(limit - 0.5, 0.0)
    root: Floats = (-z + np.sqrt(z**2 + 4 * room)) / 2
    return root**2
