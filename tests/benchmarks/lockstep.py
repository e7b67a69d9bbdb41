"""Prefill pools by themselves, by data-parallel ranks, stages, lengths and load: predicted against simulated.

``pytest tests/benchmarks/lockstep.py -m benchmark -s -n 0`` (some five minutes of one core)
"""

from __future__ import annotations

from statistics import median

import numpy as np
import pytest
from prefill_pools import prefill_pool, simulated

from solver.workload.measures import TTFT_P50, TTFT_P95

pytestmark = pytest.mark.benchmark

#: Requests of a run for each rank, and its seeds.
REQUESTS, SEEDS = 4000, (0, 1, 2)
LOADS = (0.5, 0.7, 0.85, 0.92, 0.97)


@pytest.mark.parametrize("cv", [0.0, 1.0])
@pytest.mark.parametrize(("dp", "pp"), [(1, 1), (2, 1), (4, 1), (8, 1), (1, 4), (2, 4), (4, 4)])
def test_prefill_pools(dp: int, pp: int, cv: float) -> None:
    priced, request = prefill_pool(dp, pp, 1, cv)
    ratios = []
    for load in LOADS:
        said = priced.at_batch(load)
        rate = float(said.requests_per_s[0])
        runs = [simulated(priced, request, rate, REQUESTS * dp, seed) for seed in SEEDS]
        busy = np.mean([run[1] for run in runs])
        seen = np.mean([np.quantile(run[0], [0.5, 0.95]) for run in runs], axis=0)
        own = np.array([said.latency(TTFT_P50)[0, 0], said.latency(TTFT_P95)[0, 0]])
        ratios.append(own / seen)
        print(
            f"\ndp {dp} pp {pp} cv {cv:g} load {load:.2f}: {rate:.1f} requests/s, steps {busy:.3f} of the time; TTFT p50 "
            f"{1e3 * own[0]:.0f} ms predicted, {1e3 * seen[0]:.0f} simulated; p95 {1e3 * own[1]:.0f}, {1e3 * seen[1]:.0f}",
            end="",
        )
    for percentile in (0, 1):
        assert median(abs(ratio[percentile] - 1) for ratio in ratios) <= 0.25
