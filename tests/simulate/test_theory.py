"""Known queues: replicas and routers reproduce what theory says of them, within 2 %."""

from __future__ import annotations

import numpy as np
import pytest
from queues import batches_over_time, exponential, poisson, waits_for_service

from solver.cost.pool.queueing import erlang_c

#: Seconds of the unit of service: long, so that whole numbers are as good as real ones.
UNIT = 1000
COUNT = 120_000


def test_m_m_1() -> None:
    """Mean wait rho S / (1 - rho), and its 95th percentile, at half load."""
    rho = 0.5
    services = exponential(UNIT, COUNT, 3).round().astype(int).clip(1).tolist()
    waits = waits_for_service(1, poisson(rho / UNIT, COUNT, 1), services)
    assert waits.mean() == pytest.approx(rho / (1 - rho) * UNIT, rel=0.02)
    assert np.quantile(waits, 0.95) == pytest.approx(UNIT / (1 - rho) * np.log(rho / 0.05), rel=0.02)


def test_m_d_1() -> None:
    """Pollaczek and Khinchine: rho S / (2 (1 - rho))."""
    rho = 0.6
    waits = waits_for_service(1, poisson(rho / UNIT, COUNT, 2), [UNIT] * COUNT)
    assert waits.mean() == pytest.approx(rho / (2 * (1 - rho)) * UNIT, rel=0.02)


def test_m_d_c() -> None:
    """Crommelin's exact mean wait of M/D/4 at load 0.8: sum over j of Poisson tails (Tijms 2003, section 9.6.2)."""
    servers, rho = 4, 0.8
    waits = waits_for_service(servers, poisson(rho * servers / UNIT, COUNT, 5), [UNIT] * COUNT)
    assert waits.mean() == pytest.approx(crommelin(servers, rho * servers) * UNIT, rel=0.02)


def test_m_m_c() -> None:
    """Erlang C: the share that waits is that of the formula which plans rely on.

    Exact for one queue in front of all servers; the router that knows the work sent to each reproduces that queue.
    """
    servers, load = 3, 2.1
    services = exponential(UNIT, COUNT, 9).round().astype(int).clip(1).tolist()
    waits = waits_for_service(servers, poisson(load / UNIT, COUNT, 8), services)
    assert float((waits > 1e-6).mean()) == pytest.approx(float(erlang_c(np.array(servers), np.array(load))), rel=0.02)


def test_little() -> None:
    """Sequences on a decode rank = arrivals/s x stay; the stay is the output and half a step until the train leaves."""
    batch, rate, stay = batches_over_time(rate=0.8, output=50, count=40_000, seed=4)
    assert batch == pytest.approx(rate * stay, rel=0.02)
    assert stay == pytest.approx(50 + 0.5, rel=0.02)


def crommelin(servers: int, load: float) -> float:
    """Mean wait of M/D/c in units of the service time, from the stationary distribution of the embedded chain.

    Numbers in the system at instants one service time apart: all in service leave, a Poisson number arrives.
    """
    size = 400
    arrivals = np.exp(np.arange(size) * np.log(load) - load - np.cumsum(np.log(np.maximum(np.arange(size), 1))))
    chain = np.zeros((size, size))
    for n in range(size):
        kept = max(n - servers, 0)
        chain[n, kept:] = arrivals[: size - kept]
        chain[n, -1] += 1 - chain[n].sum()
    state = np.linalg.matrix_power(chain, 4096)[0]
    queue = float(state @ np.maximum(np.arange(size) - servers, 0))
    return queue / load
