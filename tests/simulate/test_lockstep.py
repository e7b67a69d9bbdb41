"""Prefill ranks that step together: what is predicted of them against what the simulation's own router and replicas find."""

from __future__ import annotations

import numpy as np
import pytest
from prefill_pools import prefill_pool, simulated

from solver.cost.pool.lockstep import RankGroup
from solver.cost.pool.mix import Mix
from solver.cost.pool.waiting import overflow
from solver.workload.measures import TTFT_P50, TTFT_P95

REQUESTS = 6000


@pytest.mark.parametrize(
    ("dp", "replicas", "cv", "load", "together"),
    [
        (2, 1, 1.0, 0.85, 1), (4, 1, 0.0, 0.9, 1), (4, 1, 1.0, 0.5, 1), (4, 1, 1.0, 0.9, 1), (4, 2, 1.0, 0.85, 1),
        (8, 1, 1.0, 0.8, 1), (8, 2, 0.5, 0.85, 1), (4, 1, 0.0, 0.85, 2), (4, 1, 1.0, 0.7, 2), (4, 2, 1.0, 0.85, 2),
        (4, 1, 0.5, 0.7, 4),
    ],
)  # fmt: skip
def test_ranks_wait_for_their_slowest(dp: int, replicas: int, cv: float, load: float, together: int) -> None:
    """Rates at which ranks counted as servers of their own would be far from full are near the most for unlike lengths."""
    priced, request = prefill_pool(dp, 1, replicas, cv, together=together, chunk=8192 * together)
    said = priced.at_batch(load)
    first, busy = simulated(priced, request, replicas * float(said.requests_per_s[0]), REQUESTS, 3)
    assert np.quantile(first, 0.5) == pytest.approx(float(said.latency(TTFT_P50)[0, 0]), rel=0.12)
    assert np.quantile(first, 0.95) == pytest.approx(float(said.latency(TTFT_P95)[0, 0]), rel=0.2)
    assert busy > load


@pytest.mark.parametrize(("chunk", "prompt"), [(8192, 2000), (2048, 6000)], ids=["one step", "many steps"])
@pytest.mark.parametrize("cv", [0.0, 1.0])
def test_a_full_group_serves_what_it_is_said_to(chunk: int, prompt: int, cv: float) -> None:
    """Ranks that never lack prompts serve at utilisation 1, within 6 %."""
    priced, request = prefill_pool(4, 1, 1, cv, chunk=chunk, prompt=prompt)
    most = float(priced.at_batch(1.0).requests_per_s[0])
    count = 2000
    first, busy = simulated(priced, request, 3 * most, count, 5)
    # Arrivals end after count / (3 most); the last prompts are out when all are served.
    assert busy == pytest.approx(1.0, abs=0.02)
    assert count / (float(first.max()) + count / (3 * most)) == pytest.approx(most, rel=0.06)


def test_requests_grow_with_the_load() -> None:
    priced, _ = prefill_pool(4, 1, 1, 1.0)
    said = priced.at_loads(np.linspace(0.05, 0.98, 40).tolist())
    assert said.requests_per_s == pytest.approx(float(said.requests_per_s[-1]) * np.linspace(0.05, 0.98, 40) / 0.98)
    for latency in (said.latency(TTFT_P50)[:, 0], said.latency(TTFT_P95)[:, 0]):
        assert (latency[1:] > latency[:-1] * (1 - 1e-4)).all()


@pytest.mark.parametrize("load", [0.3, 0.7, 0.95])
def test_overflow_of_one_server(load: float) -> None:
    """Services alike: z of M/D/1, with ln z = load (z - 1); and near saturation z - 1 = 2 (1 - load) / (1 + T v)."""
    rarer = overflow(np.ones(1), np.array([load]), np.ones(1), np.zeros(1))
    z = 1 / float(rarer[0])
    assert np.log(z) == pytest.approx(load * (z - 1), rel=1e-6)
    full = overflow(np.ones(1), np.array([0.999]), np.full(1, 4.0), np.full(1, 0.5))
    assert float(full[0]) ** -0.25 - 1 == pytest.approx(2 * 0.001 / (1 + 4 * 0.5), rel=0.01)


@pytest.mark.parametrize("cv", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("rates", [[1.0], [0.1, 0.2, 0.3], [1.0, 2.0, 4.0, 7.0]])
def test_no_more_ranks_act_as_one_than_there_are(cv: float, rates: list[float]) -> None:
    """Also where shares of lengths add up to a little less than one."""
    for dp in (1, 2, 4, 8):
        priced, request = prefill_pool(dp, 1, 1, cv)
        some = ({"name": f"c{n}", "requests_per_s": rate} for n, rate in enumerate(rates))
        mix = Mix.of([request.model_copy(update=changes) for changes in some])
        group = RankGroup.of(priced.replicas, mix, np.ones(1))
        assert 1 <= group.joined[0] <= dp
        assert group.beside(np.ones(1))[0] >= 0
