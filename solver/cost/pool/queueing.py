"""Queues as textbooks have them: the chance to wait, and how full a decode batch gets.

Replicas of a pool share one router, so their ranks form one queue with many servers. All functions broadcast over numpy
arrays. Times in seconds, rates in 1/s.

Source: Erlang C; Halfin and Whitt 1981; Little's law.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_Number = TypeVar("_Number", float, Floats)

#: Quantile of decode occupancy that must fit in the KV cache and in the engine's limit on running sequences.
FULL = 0.99

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
    at_c = np.ones_like(a)
    # Rows leave the recursion when it has reached their number of servers.
    row = np.flatnonzero(c <= _EXACT_SERVERS)
    row = row[np.argsort(c.flat[row], kind="stable")]
    few, offered, blocked = c.flat[row], a.flat[row], np.ones(len(row))
    for k in range(1, int(few.max(initial=0)) + 1):
        done = np.searchsorted(few, k)
        at_c.flat[row[:done]] = blocked[:done]
        few, offered, row = few[done:], offered[done:], row[done:]
        blocked = offered * blocked[done:] / (k + offered * blocked[done:])
    at_c.flat[row] = blocked
    rho = np.minimum(a / c, 1.0)
    exact = at_c / np.maximum(1 - rho * (1 - at_c), 1e-300)
    beta = (1 - rho) * np.sqrt(c)
    density = np.exp(-(beta**2) / 2) / math.sqrt(2 * math.pi)
    many = density / (density + beta * _normal_cdf(beta)) if np.any(c > _EXACT_SERVERS) else exact
    return np.where(a >= c, 1.0, np.where(c <= _EXACT_SERVERS, exact, many))


def _normal_cdf(x: Floats) -> Floats:
    erf: Floats = np.vectorize(math.erf, otypes=[float])(x / math.sqrt(2))
    return 0.5 * (1 + erf)


def occupancy_quantile(mean: Floats, ranks: Floats, quantile: float) -> Floats:
    """Quantile of the sequences on one rank of a pool whose router keeps ranks level.

    The pool's total is Poisson (infinite-server queue), spread over its ranks: ``b + z sqrt(b / ranks)``, and half a
    sequence for levelling whole sequences.

    Parameters
    ----------
    mean: mean sequences per rank b.
    ranks: ranks of the pool, over what the batch swings more than Poisson (:attr:`solver.cost.pool.crowd.Crowd.swings`).
    """
    return mean + normal_quantile(quantile) * np.sqrt(mean / ranks) + (0.5 if quantile > 0.5 else 0.0)


#: Requests beside a prompt with whom it feels half of what company costs before its first token. Set in sight of vLLM's TTFT of
#: lone requests (14 ms for Llama-3.1-8B on an H100).
HALF_FELT = 6.0


def crowdedness(others: _Number) -> _Number:
    """Share of the delays and extra steps before a first token that a prompt feels beside so many running requests.

    Schedulers overlap steps, and the host serves everybody in turn: both cost next to nothing beside one or two others.

    >>> crowdedness(np.array([0.0, 6.0])).tolist()
    [0.0, 0.5]
    """
    return others**2 / (others**2 + HALF_FELT**2)
