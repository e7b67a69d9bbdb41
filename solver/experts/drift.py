"""What a placement for one workload costs when another one runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from solver.experts.arrays import Floats
from solver.experts.grid import SlotGrid
from solver.experts.loads import Loads
from solver.experts.packing.pack import SwapBudget
from solver.experts.place import place_experts


@dataclass(frozen=True, eq=False)
class DriftReport:
    """Hottest over mean rank, mean over layers.

    Attributes
    ----------
    names: of the profiles.
    matrix: placed for the row's profile, run on the column's (profiles, profiles).
    together: placed for all profiles at once, run on each (profiles,).
    left_out: placed for all profiles but one, run on that one (profiles,); empty for a single profile.
    """

    names: tuple[str, ...]
    matrix: Floats
    together: Floats
    left_out: Floats


def drift_report(loads: Loads, grid: SlotGrid, effort: SwapBudget | None = None, leave_one_out: bool = True) -> DriftReport:
    """Place for each profile, for all, and for all but each; run everything on everything."""
    matrix = np.stack([_means(loads.select([name]), loads, grid, effort) for name in loads.names])
    if loads.profiles == 1:
        return DriftReport(loads.names, matrix, matrix[0], np.empty(0))
    left_out = [
        _means(loads.without(name), loads.select([name]), grid, effort)[0] for name in loads.names if leave_one_out
    ]
    return DriftReport(loads.names, matrix, _means(loads, loads, grid, effort), np.array(left_out))


def _means(placed_for: Loads, run_on: Loads, grid: SlotGrid, effort: SwapBudget | None) -> Floats:
    placed = place_experts(placed_for, grid, effort=effort).map
    return np.asarray(placed.imbalance(run_on).mean(axis=1))
