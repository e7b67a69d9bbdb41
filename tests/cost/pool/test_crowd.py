"""The crowd of a rank against one that is simulated step by step: sequences come in clusters, and slow each other."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from solver.cost.pool.crowd import Crowd, lognormal_statistic
from solver.cost.pool.waiting import Moments

Floats = NDArray[np.float64]

#: A step of n sequences takes START + EACH n; a prompt stalls everybody by an exponential time [s].
START, EACH, STALL = 0.040, 0.0004, 0.020
OUTPUT, CV = 25.0, 0.5


def simulated(rate: float, requests: int, seed: int) -> tuple[Floats, Floats, Floats]:
    """Running sequences, for how long, and the time per token of every request after the first tenth."""
    random = np.random.default_rng(seed)
    arrivals = np.cumsum(random.exponential(1 / rate, requests))
    sigma = math.sqrt(math.log(1 + CV**2))
    outputs = np.maximum(np.round(random.lognormal(math.log(OUTPUT) - sigma**2 / 2, sigma, requests)), 1)
    stalls = random.exponential(STALL, requests)
    left, began, who = np.zeros(0), np.zeros(0), np.zeros(0, int)
    now, came = 0.0, 0
    sizes, times, paces = [], [], np.zeros(requests)
    while came < requests:
        until = int(np.searchsorted(arrivals, now, side="right"))
        step = START + EACH * len(left) + stalls[came:until].sum()
        sizes.append(len(left))
        times.append(step)
        now += step
        left = left - 1
        done = left <= 0
        paces[who[done]] = (now - began[done]) / outputs[who[done]]
        fresh = np.arange(came, until)
        left, began = np.r_[left[~done], outputs[fresh]], np.r_[began[~done], np.full(len(fresh), now)]
        who, came = np.r_[who[~done], fresh], until
        if not len(left) and came < requests and arrivals[came] > now:
            now = float(arrivals[came])
    first = len(sizes) // 10
    return np.array(sizes[first:], float), np.array(times[first:]), paces[requests // 10 : -requests // 10]


def crowd(rate: float) -> tuple[Crowd, float, float]:
    """The same by formula, its mean and the time per token of a batch that always has its mean."""
    busy = rate * STALL
    token = rate * OUTPUT / (1 - busy)
    batch = token * START / (1 - token * EACH)
    step = START + EACH * batch
    sigma = math.sqrt(math.log(1 + CV**2))
    stall = Moments(np.array([STALL]), np.array([2 * STALL**2]), np.array([6 * STALL**3]))
    found = Crowd(
        spread=np.array([1 / batch]),
        ranks=np.ones(1),
        growth=np.array([EACH * batch / step]),
        alike=1 - math.erf(sigma / 2),
        burstiness=1.0,
        slowed=np.array([busy / (1 - busy)]),
        stall=stall,
        share=0.0,
    )
    return found, batch, step / (1 - busy)


@pytest.mark.parametrize("rate", [8.0, 20.0])
def test_a_crowd_swings_as_a_simulated_one(rate: float) -> None:
    runs = [simulated(rate, 30_000, seed) for seed in range(2)]
    found, batch, pace = crowd(rate)
    means = [np.average(sizes, weights=times) for sizes, times, _ in runs]
    fano = np.mean([np.average((n - m) ** 2, weights=t) / m for (n, t, _), m in zip(runs, means, strict=True)])
    assert found.swings[0] == pytest.approx(fano, rel=0.15)
    # Little's law: the mean batch is that of the mean time per token.
    longer = pace * found.longer
    assert batch * float(found.longer[0]) == pytest.approx(np.mean(means), rel=0.03)
    paces = np.concatenate([each for _, _, each in runs])
    variance = found.variance(np.array([OUTPUT]), np.array([CV**2]), longer)
    assert np.mean(paces) == pytest.approx(longer[0], rel=0.035)
    for probability in (0.5, 0.95):
        predicted = lognormal_statistic(longer[:, None], variance, probability)[0, 0]
        assert predicted == pytest.approx(np.quantile(paces, probability), rel=0.04)


def test_nothing_to_prefill_and_steps_that_do_not_grow_leave_poisson() -> None:
    nothing = np.zeros(1)
    found = Crowd(np.array([0.02]), np.ones(1), nothing, 0.7, 1.0, nothing, Moments(nothing, nothing, nothing), 0.5)
    assert found.swings[0] == 1
    assert found.longer[0] == 1
    assert found.variance(np.array([100.0]), np.array([0.0]), np.array([0.01]))[0, 0] == 0
