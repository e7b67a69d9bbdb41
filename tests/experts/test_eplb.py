"""The comparison is with the real thing: the published example of the EPLB repository."""

from __future__ import annotations

import numpy as np
from eplb import eplb


def test_published_example() -> None:
    """README of deepseek-ai/EPLB: two layers, 12 experts, 16 copies, 4 groups, 2 nodes, 8 devices."""
    weight = np.array(
        [
            [90.0, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86],
            [20.0, 107, 104, 64, 19, 197, 187, 157, 172, 86, 16, 27],
        ]
    )
    assert eplb(weight, 16, groups=4, nodes=2, devices=8).tolist() == [
        [5, 6, 5, 7, 8, 4, 3, 4, 10, 9, 10, 2, 0, 1, 11, 1],
        [7, 10, 6, 8, 6, 11, 8, 9, 2, 4, 5, 1, 5, 0, 3, 1],
    ]


def test_global_policy_where_groups_do_not_fit_nodes() -> None:
    slots = eplb(np.array([[4.0, 2.0, 1.0]]), 4, groups=3, nodes=2, devices=2)
    assert sorted(slots[0].tolist()) == [0, 0, 1, 2]
