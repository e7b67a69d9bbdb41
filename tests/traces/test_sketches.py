"""Sketches against numpy on all the data; merged sketches against one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solver.traces.sampling import Sample, hashed, uniform
from solver.traces.sketches import HIGHEST, ExactMoments, LogHistogram

LENGTHS = st.lists(st.integers(0, 10_000_000), min_size=1, max_size=60)
SHARES = (0.001, 0.1, 0.5, 0.9, 0.999)


@given(LENGTHS, st.integers(0, 60))
def test_moments_are_exact_and_add_up(values: list[int], cut: int) -> None:
    found = ExactMoments.of(np.array(values[:cut], np.uint32)) + ExactMoments.of(np.array(values[cut:], np.uint32))
    assert (found.count, found.total) == (len(values), sum(values))
    assert found.squares == sum(value * value for value in values)
    assert (found.lowest, found.highest) == (min(values), max(values))
    if sum(values):
        assert found.cv == pytest.approx(np.std(values) / np.mean(values), rel=1e-9, abs=1e-9)


def test_moments_of_large_counts_do_not_overflow() -> None:
    values = np.full(70_000, 2**32 - 1, np.uint32)
    found = ExactMoments.of(values)
    assert found.squares == 70_000 * (2**32 - 1) ** 2
    assert found.cv == 0
    assert (ExactMoments().mean, ExactMoments().cv) == (0, 0)


@given(st.lists(st.floats(2e-6, HIGHEST / 2) | st.just(0.0), min_size=1, max_size=80))
def test_quantiles_to_one_per_cent(values: list[float]) -> None:
    sketch = LogHistogram()
    sketch.add(np.array(values))
    for share in SHARES:
        exact = float(np.quantile(values, share, method="inverted_cdf"))
        assert sketch.quantile(share) == pytest.approx(exact, rel=0.01, abs=0)


def test_quantiles_of_many_weighted_values() -> None:
    rng = np.random.default_rng(3)
    values, weights = rng.lognormal(3, 2, 50_000), rng.integers(1, 2_000, 50_000)
    sketch = LogHistogram()
    sketch.add(values, weights)
    order = np.argsort(values)
    passed = np.cumsum(weights[order])
    for share in SHARES:
        exact = values[order][np.searchsorted(passed, share * passed[-1])]
        assert sketch.quantile(share) == pytest.approx(exact, rel=0.01)
    assert sketch.weight == weights.sum()


@given(LENGTHS, st.integers(0, 60))
def test_histograms_add_up(values: list[int], cut: int) -> None:
    parts, whole = [LogHistogram(), LogHistogram()], LogHistogram()
    for part, some in zip(parts, (values[:cut], values[cut:]), strict=True):
        part.add(np.array(some))
    whole.add(np.array(values))
    assert ((parts[0] + parts[1]).counts == whole.counts).all()


def test_nothing_and_bars_for_drawing() -> None:
    sketch = LogHistogram()
    assert math.isnan(sketch.quantile(0.5))
    sketch.add(np.array([15, 15, 150, 0]))
    bars = sketch.grouped(1)
    assert [share for *_, share in bars] == [0.25, 0.5, 0.25]
    assert bars[1][:2] == pytest.approx((10, 100))


def test_a_sample_does_not_depend_on_chunks() -> None:
    rows = np.array([(place,) for place in range(5_000)], [("value", "u4")])
    found = []
    for size in (1, 7, 5_000):
        sample = Sample(100, 4, rows.dtype)
        for start in range(0, len(rows), size):
            sample.add(rows[start : start + size])
        found.append(sample.rows["value"].tolist())
    assert found[0] == found[1] == found[2] == sorted(found[0])
    assert len(found[0]) == 100
    assert np.mean(found[0]) == pytest.approx(2_500, rel=0.15)


def test_hashed_ordinals_are_even_and_differ_by_seed() -> None:
    ordinals = np.arange(100_000, dtype=np.uint64)
    draws = uniform(ordinals, -5)
    assert np.histogram(draws, 10, (0, 1))[0] == pytest.approx(np.full(10, 10_000), rel=0.05)
    assert abs(np.corrcoef(draws, uniform(ordinals, -4))[0, 1]) < 0.02
    assert len(np.unique(hashed(ordinals, 0))) == 100_000
