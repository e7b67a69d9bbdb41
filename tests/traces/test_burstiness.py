"""Unevenness of arrivals on processes whose figures are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from solver.traces.burstiness import Clock, Gaps, Unevenness, spread

Floats = NDArray[np.float64]


def unevenness(times: Floats, *, pieces: int = 1) -> Unevenness:
    gaps = Gaps(float(times[0]), float(times[-1] - times[0]))
    for piece in np.array_split(times, pieces):
        gaps.add(piece)
    return gaps.result


def arrivals(gaps: Floats) -> Floats:
    return np.cumsum(gaps)


def test_by_hand() -> None:
    found = unevenness(np.array([0.0, 1, 3, 4, 6]))
    assert found.scv == pytest.approx(1 / 9)
    assert found.dispersion == (None, None, None)
    assert unevenness(np.array([5.0])).scv is None
    assert unevenness(np.array([5.0, 5.0, 5.0])).scv is None


def test_windows_by_hand() -> None:
    # Twelve windows of one second with 3 arrivals in every other, and one arrival at the end of the last.
    times = np.sort(np.concatenate([np.arange(0, 12, 2) + offset for offset in (0.0, 0.1, 0.2)] + [np.array([12.0])]))
    counts = np.tile([3, 0], 6)
    assert unevenness(times).dispersion[0] == pytest.approx(counts.var(ddof=1) / counts.mean())


@pytest.mark.parametrize(("shape", "scv"), [(1.0, 1.0), (0.25, 4.0), (4.0, 0.25)])
def test_renewal_processes(shape: float, scv: float) -> None:
    times = arrivals(np.random.default_rng(1).gamma(shape, 1 / shape, 60_000) / 5)
    found = unevenness(times)
    assert found.scv == pytest.approx(scv, rel=0.08)
    assert found.dispersion[2] == pytest.approx(scv, rel=0.35)


def test_a_clock_is_even() -> None:
    found = unevenness(np.arange(5_000) / 4)
    assert found.scv == pytest.approx(0, abs=1e-12)
    assert found.dispersion == pytest.approx((0, 0, 0))


def test_an_outage_and_a_drift_are_no_burst() -> None:
    gaps = np.random.default_rng(2).exponential(1, 20_000) / (1 + np.arange(20_000) / 10_000)
    gaps[7_000] = 36_000
    found = unevenness(arrivals(gaps))
    assert found.scv == pytest.approx(1, rel=0.08)
    assert found.dispersion[2] is not None
    assert found.dispersion[2] > 2


def test_pieces_do_not_matter() -> None:
    times = arrivals(np.random.default_rng(3).exponential(0.3, 7_777))
    assert unevenness(times) == unevenness(times, pieces=1_000) == unevenness(times, pieces=7)


def test_coarse_clocks_are_told_and_undone() -> None:
    exact = arrivals(np.random.default_rng(4).exponential(0.3, 30_000))
    ticked = np.floor(exact / 3) * 3
    clock = Clock()
    for piece in np.array_split(ticked, 11):
        clock.add(piece)
    assert clock.tick_s == pytest.approx(3, rel=0.01)
    assert unevenness(ticked).scv == pytest.approx(9, rel=0.2)
    times = spread(ticked, math.inf, clock.tick_s, 0, 0)
    assert (np.diff(times) >= 0).all()
    assert (np.floor(times / 3) * 3 == ticked).mean() > 0.999
    assert unevenness(times).scv == pytest.approx(1, rel=0.08)
    assert unevenness(times).dispersion[0] == pytest.approx(1, rel=0.08)


def test_exact_clocks_are_left_alone() -> None:
    clock = Clock()
    times = arrivals(np.random.default_rng(5).exponential(0.3, 1_000))
    clock.add(times)
    assert clock.tick_s == 0
    assert spread(times, math.inf, 0, 0, 0) is times


def test_spreading_stops_at_the_next_time() -> None:
    times = spread(np.array([0.0, 0.0, 0.5, 0.5]), 0.6, 3.0, 0, 0)
    assert (times[:2] < 0.5).all()
    assert ((times[2:] >= 0.5) & (times[2:] < 0.6)).all()
