"""Waiting: the formulas against theory where theory is exact, and against queues simulated here where it is not."""

from __future__ import annotations

import heapq
import itertools
import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from solver.cost.pool.queueing import erlang_c
from solver.cost.pool.waiting import Gathered, Moments, all_taken, gather, wait
from solver.workload.lengths import lengths

Floats = NDArray[np.float64]

#: No request makes another one longer.
NOTHING = Moments(*(np.zeros(1) for _ in range(3)))


def one(value: Any) -> Floats:
    return np.array([float(value)])


def moments(services: Floats) -> Moments:
    return Moments(*(one(np.mean(services**power)) for power in (1, 2, 3)))


def singly(services: Floats, arrivals: float, servers: int, burstiness: float = 1.0) -> Gathered:
    """Servers that take one request at a time."""
    return gather(
        one(arrivals),
        one(servers),
        alone=moments(services),
        more=one(0),
        other=NOTHING,
        together=one(1),
        burstiness=burstiness,
    )


def least_loaded(servers: int, arrivals: Floats, services: Floats) -> Floats:
    """Waits where a router sends each request to the server with the least work that is not out (N,)."""
    free, sent = np.zeros(servers), np.zeros(servers)
    under_way: list[tuple[float, int, float]] = []
    waits = np.empty(len(arrivals))
    for place, (now, service) in enumerate(zip(arrivals.tolist(), services.tolist(), strict=True)):
        while under_way and under_way[0][0] <= now:
            _, server, done = heapq.heappop(under_way)
            sent[server] -= done
        server = int(sent.argmin())
        start = max(now, free[server])
        waits[place] = start - now
        free[server] = start + service
        sent[server] += service
        heapq.heappush(under_way, (free[server], server, service))
    return waits


def mean_of(queue: Any) -> float:
    return float((queue.chance * queue.scale)[0] * math.gamma(1 + 1 / float(queue.shape[0])))


@pytest.mark.parametrize("rho", [0.3, 0.6, 0.9])
@pytest.mark.parametrize(
    "services", [np.ones(2), np.array([0.5, 1.5]), np.array([0.2] * 9 + [8.2])], ids=["same", "two", "rare"]
)
def test_one_server_is_pollaczek_and_khinchine(rho: float, services: Floats) -> None:
    gathered = singly(services, rho / services.mean(), 1)
    queue = wait(one(1), one(rho), gathered)
    expected = rho * np.mean(services**2) / (2 * services.mean() ** 2 * (1 - rho)) * services.mean()
    assert mean_of(queue) == pytest.approx(expected, rel=1e-3)
    assert float(queue.chance[0]) == pytest.approx(rho)


@pytest.mark.parametrize("servers", [1, 2, 4])
@pytest.mark.parametrize("rho", [0.4, 0.6, 0.8])
@pytest.mark.parametrize("burstiness", [1.0, 4.0])
def test_behind_a_router_as_simulated(servers: int, rho: float, burstiness: float) -> None:
    """Chance within 0.05, 95th percentile at most a quarter too low and 40 % too high, or a part of a service."""
    random, count = np.random.default_rng(7), 80_000
    services = np.minimum(random.lognormal(-0.35, 0.83, count), 3.0)
    rate = rho * servers / services.mean()
    arrivals = np.cumsum(random.gamma(1 / burstiness, burstiness / rate, count))
    waits = least_loaded(servers, arrivals, services)
    gathered = singly(services, rate / servers, servers, burstiness)
    queue = wait(one(servers), one(rho), gathered, burstiness=burstiness)
    assert float(queue.chance[0]) == pytest.approx(float((waits > 1e-9).mean()), abs=0.05)
    tolerance = (0.25 if burstiness == 1 else 0.8) * services.mean()
    simulated, predicted = np.quantile(waits, 0.95), float(queue.quantile(0.95)[0])
    assert 0.75 * simulated - tolerance <= predicted <= 1.4 * simulated + tolerance


@pytest.mark.parametrize("load", [0.3, 0.6, 0.85])
def test_batches_form_by_themselves(load: float) -> None:
    """A server that takes all who wait, each lengthening the service by ``more``: mean batch and time as simulated."""
    alone, more = 1.0, 0.6
    rate = load / more
    random = np.random.default_rng(5)
    now = 0.0
    waiting: list[float] = []
    batches, delays = [], []
    arrivals = iter(np.cumsum(random.exponential(1 / rate, 200_000)).tolist())
    following = next(arrivals)
    for _ in range(30_000):
        if not waiting:
            now = max(now, following)
        while following <= now:
            waiting.append(following)
            following = next(arrivals)
        end = now + alone + (len(waiting) - 1) * more
        batches.append(len(waiting))
        delays += [end - time for time in waiting]
        waiting, now = [], end
        while following <= now:
            waiting.append(following)
            following = next(arrivals)
    extra = Moments(one(more), one(more**2), one(more**3))
    gathered = gather(
        one(rate), one(1), alone=Moments(one(1), one(1), one(1)), more=one(more), other=extra, together=one(1e6)
    )
    assert float(gathered.taken[0]) == pytest.approx(np.mean(batches), rel=0.15)
    queue = wait(one(1), one(load), gathered, together=1e6)
    assert alone + mean_of(queue) == pytest.approx(np.mean(delays), rel=0.2)
    assert alone + float(queue.quantile(0.95)[0]) == pytest.approx(np.quantile(delays, 0.95), rel=0.25)


def test_quantile_and_tail_are_inverse() -> None:
    queue = wait(one(3), one(0.7), singly(np.array([0.5, 1.5]), 0.7, 3), step=0.4, boards=0.8)
    for probability in (0.3, 0.5, 0.8, 0.95, 0.999):
        time = queue.quantile(probability)
        if time > 0:
            assert float(queue.beyond(time)[0]) == pytest.approx(1 - probability, abs=2e-4)


def test_poisson_arrivals_wait_as_erlang_says() -> None:
    servers, rho = np.array([1.0, 3.0, 20.0, 300.0]), np.array([0.2, 0.6, 0.9, 0.95])
    assert all_taken(servers, rho) == pytest.approx(erlang_c(servers, servers * rho))
    assert (all_taken(servers, rho, 4.0) > all_taken(servers, rho)).all()
    assert (all_taken(servers, rho, 0.5) < all_taken(servers, rho)).all()


def test_an_overloaded_queue_is_endless() -> None:
    queue = wait(one(2), one(1.2), singly(np.ones(2), 1.2, 2))
    assert np.isinf(queue.quantile(0.95)).all()
    assert float(queue.beyond(one(1e9))[0]) == 1


@pytest.mark.parametrize(("cv", "most"), [(0.3, 0.0), (1.0, 0.0), (1.3, 12.0)])
def test_lengths_have_the_mean_that_they_say(cv: float, most: float) -> None:
    spread = lengths(cv, most)
    edges = np.linspace(0, 1, 41)
    parts = [spread.mean_between(low, high) for low, high in itertools.pairwise(edges.tolist())]
    assert np.mean(parts) == pytest.approx(1.0)
    assert parts == sorted(parts)
    assert parts[-1] <= max(1 + 2 * cv, most) + 1e-9
    drawn = np.minimum(spread.scale * np.random.default_rng(3).lognormal(0, spread.sigma, 400_000), spread.most)
    assert np.mean(parts[36:]) == pytest.approx(np.sort(drawn)[-40_000:].mean(), rel=0.02)


@pytest.mark.parametrize("servers", [1, 8, 64, 267, 1000])
def test_waits_grow_with_the_load_up_to_saturation(servers: int) -> None:
    """The number taken at once settles however steeply it reacts: no wait falls by more than 3 % where more arrive."""
    loads = np.linspace(0.5, 0.98, 200)
    alone, more, together = 0.05, 0.04, 4.0
    full = alone + (together - 1) * more
    every = np.ones_like(loads)
    lone = Moments(every * alone, every * alone**2, every * alone**3)
    other = Moments(every * more, every * more**2, every * more**3)
    gathered = gather(
        loads * together / full, every * servers, alone=lone, more=every * more, other=other, together=every * together
    )
    queue = wait(every * servers, loads, gathered, together=together)
    late = queue.quantile(0.95)
    assert np.all(np.diff(gathered.taken) >= -1e-3)
    assert np.all(late >= 0.97 * np.maximum.accumulate(late))
