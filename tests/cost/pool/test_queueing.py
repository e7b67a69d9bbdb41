"""Erlang C against the sum that defines it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from solver.cost.pool.queueing import erlang_c


def test_every_row_has_the_chance_to_wait_of_its_own_servers() -> None:
    servers, share = np.meshgrid([1.0, 2.0, 7.0, 40.0, 150.0], [0.1, 0.6, 0.95, 1.2])
    found = erlang_c(servers, servers * share)
    for (row, column), chance in np.ndenumerate(found):
        c, a = int(servers[row, column]), float(servers[row, column] * share[row, column])
        # Terms a^k / k! over the last one, so that none overflows.
        before = math.fsum(math.prod(j / a for j in range(k + 1, c + 1)) for k in range(c))
        expected = 1.0 if a >= c else 1 / (1 + before * (1 - a / c))
        assert chance == pytest.approx(expected, rel=1e-9)
