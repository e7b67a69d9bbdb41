"""Survival of idle KV: hand-computed, against an independent estimator, and Little's law in a replayed cache."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trace_rows import Row, mooncake_lines, product_limit

from solver.errors import BadInput
from solver.traces import Reading, Survival, summarise
from solver.traces.sketches import LogHistogram
from solver.traces.survival import kaplan_meier


def sketch(stays: list[tuple[float, int]]) -> LogHistogram:
    found = LogHistogram()
    found.add(np.array([age for age, _ in stays], float), np.array([tokens for _, tokens in stays]))
    return found


STAYS = st.lists(st.tuples(st.sampled_from([0.0, 0.3, 1.7, 6.0, 33.0, 600.0, 7e4]), st.integers(1, 50)), max_size=12)


@given(STAYS, STAYS)
def test_against_an_independent_estimator(reused: list[tuple[float, int]], cut_off: list[tuple[float, int]]) -> None:
    survival = kaplan_meier(sketch(reused), sketch(cut_off))
    if survival is None:
        assert not reused
        assert not cut_off
        return
    # Between the ages of the table that lie on either side of a use, the curve is a line; at ages away from it, exact.
    for age in (0.18, 0.8, 3.2, 18.0, 180.0, 4e3):
        if age < survival.ages_s[-1]:
            assert survival.at(age) == pytest.approx(product_limit(reused, cut_off, age), abs=1e-9)
    assert survival.at(1e9) == pytest.approx(product_limit(reused, cut_off, 1e9), abs=1e-9)


def test_by_hand_with_cut_off_stays() -> None:
    # 10 tokens: 2 used at 1 s; 4 cut off at 5 s; of the 4 left 1 used at 50 s, 3 cut off at 100 s.
    survival = kaplan_meier(sketch([(1, 2), (50, 1)]), sketch([(5, 4), (100, 3)]))
    assert survival is not None
    assert [survival.at(age) for age in (0.7, 4, 20, 80)] == pytest.approx([1, 0.8, 0.8, 0.6])
    assert survival.held_s(0.5) == pytest.approx(0.5)
    assert survival.held_s(20) - survival.held_s(4) == pytest.approx(16 * 0.8)


def test_no_stays() -> None:
    assert kaplan_meier(LogHistogram(), LogHistogram()) is None


def test_integral_of_the_table() -> None:
    survival = Survival((10.0, 20.0), (0.5, 0.0))
    assert survival.held_s(5) == pytest.approx((1 + 0.75) / 2 * 5)
    assert survival.held_s(10) == pytest.approx(7.5)
    assert survival.held_s(20) == survival.held_s(99) == pytest.approx(10)


@pytest.mark.parametrize(
    "points",
    [
        [[1, 0.5], [1, 0.4]],
        [[0, 0.5]],
        [[1, 0.5], [2, 0.6]],
        [[1, 1.5]],
        [[1, -0.1]],
        [[1, math.nan]],
        [[math.inf, 0.5]],
        [[1]],
        ["ab"],
        5,
        [["x", 0.5]],
    ],
)
def test_tables_that_are_none(points: list[list[float]]) -> None:
    with pytest.raises(BadInput):
        Survival.from_plain(points)


def test_littles_law_in_a_replayed_cache(write: Callable[..., Path]) -> None:
    """Occupancy and finds of a cache that drops what was idle for A, replayed block by block, as the table says."""
    rng = np.random.default_rng(7)
    rows: list[Row] = []
    for session in range(1_500):
        now_s, blocks = float(rng.uniform(0, 100_000)), [1]
        for _ in range(1 + rng.geometric(0.3)):
            blocks = [*blocks, *range(10_000 * (session + 1) + len(blocks), 10_000 * (session + 1) + len(blocks) + 3)]
            rows.append((now_s, 100 * len(blocks), 1, blocks))
            now_s += float(rng.lognormal(5, 1.2))
    rows = sorted(row for row in rows if row[0] < 100_000)
    summary = summarise(write(mooncake_lines(rows)), Reading(block_tokens=100))
    survival, content = summary.whole.survival(), summary.whole.content
    assert survival is not None
    used_per_s = content.prompt.moments.total / summary.timing.span_s
    for age_s in (60.0, 600.0, 3_000.0):
        held, found = replayed_cache(rows, age_s)
        span_s = rows[-1][0] - rows[0][0]
        assert used_per_s * survival.held_s(age_s) == pytest.approx(held / span_s, rel=0.05)
        assert used_per_s * (1 - survival.at(age_s)) == pytest.approx(found / span_s, rel=0.05)


def replayed_cache(rows: list[Row], age_s: float) -> tuple[float, int]:
    """Token-seconds held until the last arrival, and tokens found, by a cache that drops blocks idle for ``age_s``."""
    last: dict[int, float] = {}
    held, found = 0.0, 0
    for now_s, _, _, blocks in rows:
        for block in blocks:
            if block in last:
                idle_s = now_s - last[block]
                held += 100 * min(idle_s, age_s)
                found += 100 * (idle_s <= age_s)
            last[block] = now_s
    end_s = rows[-1][0]
    return held + sum(100 * min(end_s - used_s, age_s) for used_s in last.values()), found
