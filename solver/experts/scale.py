"""Loads as CP-SAT sees them: integers, rounded in the direction that keeps a bound a bound."""

from __future__ import annotations

import numpy as np

from solver.errors import SolverDefect
from solver.experts.arrays import Floats, Int, Ints

SCALE = 1_000_000
"""Integer units in the load of one row (a rank, a node or a layer, as its program says)."""
ROW_LIMIT = 2**31
"""Sum of |coefficient| x bound that a row must stay below (google/or-tools #5293)."""


def down(values: Floats) -> Ints:
    """Round down: for what a limit must hold, so that nothing possible is forbidden."""
    return np.floor(values).astype(Int)


def up(values: Floats) -> Ints:
    """Round up: for limits, so that nothing possible is forbidden."""
    return np.ceil(values).astype(Int)


def require_row(activity: float, row: str) -> None:
    """Stop if the sum of |coefficient| x bound of a row reaches what CP-SAT can certify."""
    if activity >= ROW_LIMIT:
        raise SolverDefect(f"row '{row}' of expert placement sums to {activity:g}, at or above 2^31")
