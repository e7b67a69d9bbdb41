"""The least that one role of one promise can cost: over all ways to serve it by one pool or by two.

Linear programs mix columns in fractions of a pool. A role has few pools, so trying all of them, replica counts relaxed
within their bands, says more, and says it of every column: what the role costs at least if that one is used.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

#: Pools of which all combinations are tried.
MOST_POOLS = 2
#: Requests/s as which smaller rates count, so that what they cost stays a number.
LEAST_RATE = 1e-30
#: Columns that are compared with all others at once.
AT_ONCE = 256


def least_cost(rate: Floats, cost: Floats, low: Floats, high: Floats, asked: float, pools: int) -> tuple[Floats, Ints]:
    """What serving ``asked`` requests/s costs at least where each column is one of at most two pools (N,), and which is the
    other pool then (N,): the column itself where it serves alone.

    The cost is infinite where it cannot be served so.

    Parameters
    ----------
    rate, cost: requests/s and USD per hour of one replica of each column (N,).
    low, high: replicas that a column may have (N,).
    pools: 1 or 2.

    >>> one, six = np.array([1.0, 1.0]), np.array([6.0, 6.0])
    >>> least_cost(np.array([2.0, 3.0]), np.array([2.0, 4.0]), one, six, 7.0, pools=1)
    (array([ 8., 12.]), array([0, 1]))
    >>> least_cost(np.array([2.0, 3.0]), np.array([2.0, 4.0]), np.array([1.0, 1.0]), np.array([1.0, 1.0]), 5.0, pools=2)
    (array([6., 6.]), array([1, 0]))
    """
    needed = np.maximum(np.ceil(asked / np.maximum(rate, LEAST_RATE) * (1 - 1e-12)), low)
    least = np.where(needed <= high, np.minimum(needed, high) * cost, np.inf)
    partner = np.arange(len(rate))
    if pools == 1:
        return least, partner
    per_request = cost / np.maximum(rate, LEAST_RATE)
    for start in range(0, len(rate), AT_ONCE):
        here = slice(start, start + AT_ONCE)
        served = (low * rate)[here, None] + low * rate
        taken = (low * cost)[here, None] + low * cost
        missing = np.maximum(asked - served, 0.0)
        # What the fewest of both leave is served by more of the cheaper one, then by more of the other.
        ours, theirs = ((high - low) * rate)[here, None], (high - low) * rate
        first = per_request[here, None] <= per_request
        cheaper = np.minimum(missing, np.where(first, ours, theirs))
        other = missing - cheaper
        own, his = per_request[here, None], per_request
        taken = taken + cheaper * np.minimum(own, his)
        taken = taken + np.where(other > 0, other * np.maximum(own, his), 0.0)
        taken[other > np.where(first, theirs, ours) * (1 + 1e-12)] = np.inf
        rows = np.arange(start, min(start + AT_ONCE, len(rate)))
        taken[rows - start, rows] = np.inf
        other, cheapest = taken.argmin(axis=1), taken.min(axis=1)
        partner[here] = np.where(cheapest < least[here], other, partner[here])
        least[here] = np.minimum(least[here], cheapest)
    return least, partner
