"""Columns: bands that cover every count once, and prices that no member of a band falls below."""

from __future__ import annotations

import numpy as np
import pytest
from small_fleet import CHAT, FLEET, asked

from solver.cost.pool.most import fullest
from solver.cost.pool.serving import Promise
from solver.space.profiles import SINGLE_COUNTS, bands, cells_of
from solver.space.shapes import most_replicas


@pytest.mark.parametrize("most", [1, 2, SINGLE_COUNTS, SINGLE_COUNTS + 1, 1000])
def test_bands_cover_every_count_once(most: int) -> None:
    counted = [count for low, high in bands(most) for count in range(low, high + 1)]
    assert counted == list(range(1, most + 1))
    assert all(low == high for low, high in bands(min(most, SINGLE_COUNTS)))


def test_a_column_promises_what_its_candidate_serves() -> None:
    """Priced again, alone: at the fewest replicas of its band it serves the rate, and keeps the promise."""
    found, _ = asked("llama-3.1-8b", max_tp=2, forbid=("pp",))
    assert found is not None
    promise = Promise(tpot=0.03)
    cells = cells_of(found, CHAT, promise, group=0)
    assert cells is not None
    offered = cells.columns(dict.fromkeys(range(len(cells)), (0.0, np.inf)))
    assert offered
    for column in offered:
        assert 0 < column.rate <= column.best_rate
        assert column.high <= most_replicas(FLEET, column.footprint)
        (row,) = [n for n, each in enumerate(found.rows) if each == column.candidate]
        one = fullest(
            "decode", found.replicas.rows(np.array([row])), np.array([float(column.low)]), CHAT, promise, found.limit[[row]],
            np.ones(1),
        )  # fmt: skip
        assert float(one.service.requests_per_s[0]) == pytest.approx(column.rate)
        assert column.wait <= 0.03 * (1 + 1e-9)
        # Both bound the same rate, each to the width of its own search.
        assert column.best_rate <= max(cells.reach) * (1 + 2e-3)
    assert len({(c.footprint, c.candidate.handover, c.low) for c in offered}) == len(offered)
