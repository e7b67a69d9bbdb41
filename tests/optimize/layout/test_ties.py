"""Of equally cheap layouts the simplest, whichever columns the search began with."""

from __future__ import annotations

import itertools

import pytest
from instances import column

import topologies
from solver.optimize.arithmetic.run import Effort
from solver.optimize.layout import search
from solver.optimize.layout.program import Market, Need, Supply
from solver.space.shapes import Footprint


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_every_column_within_the_optimum_takes_part(order: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Four devices serve 3.9 requests/s as one pool or as two of three and one; the search begins with few of them."""
    monkeypatch.setattr(search, "FIRST_COLUMNS", 1)
    monkeypatch.setattr(search, "MANY_COLUMNS", 0)
    supplies = tuple(Supply(n, c, 2.0) for n, c in enumerate(topologies.domain_classes(topologies.hgx(nodes=1))))
    market = Market(supplies, (Need(3.9, unified=True, disaggregated=False),), "cost", "device")
    sizes = [(1, 1), (2, 1), (3, 1), (4, 1)]
    columns = [column(0, "unified", Footprint(supplies[0].device, 1, 1, s), n, float(s), float(s)) for s, n in sizes]
    found = search.best_layout(market, [columns[n] for n in order], Effort(time_limit_s=20, seed=1))
    assert isinstance(found, search.Layout)
    assert found.value == pytest.approx(8.0)
    assert [(pool.column.footprint.size, pool.replicas) for pool in found.pools] == [(4, 1)]
