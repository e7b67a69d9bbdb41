"""Placement for one load profile: every layer searched together, with a lower bound for each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from solver.experts.arrays import Floats, Ints
from solver.experts.bounds.certificate import Certificate, simple_bounds
from solver.experts.bounds.close import close_counts
from solver.experts.bounds.exact import settle_counts
from solver.experts.bounds.forced import forced
from solver.experts.bounds.prices import STEP_SLOTS
from solver.experts.grid import SlotGrid
from solver.experts.packing.counts import water_fill
from solver.experts.packing.pack import SwapBudget, hottest_rank, pack
from solver.experts.tiny import DETERMINISTIC_LIMIT, is_tiny, place_tiny

EXACTLY = 1e-7
"""Tolerance within which the counts of a tiny layer are settled."""


@dataclass(frozen=True)
class PlacedLayers:
    """Slots and proofs of several layers.

    Attributes
    ----------
    placed: expert in each slot (layers, ranks, slots).
    hottest: load of the hottest rank (layers,), in the unit of the loads.
    certificates: lower bound of each layer.
    """

    placed: Ints
    hottest: Floats
    certificates: tuple[Certificate, ...]


def place_layers(loads: Floats, grid: SlotGrid, effort: SwapBudget) -> PlacedLayers:
    """Minimise the hottest rank of each layer, the load of an expert split evenly over its copies.

    Water-filled counts serve nearly always. Where they force a rank above the bound (few slots a rank), counts and
    bound are closed in on together first; where the layer is tiny, CP-SAT settles what the packing leaves open.

    Parameters
    ----------
    loads: load of each expert (layers, experts).
    """
    counts = water_fill(loads, grid.places, grid.ranks)
    bounds = simple_bounds(loads, grid.ranks, grid.slots, loads / counts)
    for layer in np.flatnonzero(_forced(loads, counts, grid) > _limits(bounds) * (1 + effort.count_tolerance)):
        counts[layer], bounds[layer] = _close(loads[layer], counts[layer], grid, bounds[layer], effort)
    target = np.maximum(_limits(bounds), _forced(loads, counts, grid)) * (1 + effort.tolerance)
    placed = pack(loads / counts, counts, grid.ranks, grid.slots, target, effort)
    hottest = hottest_rank(placed, loads / counts)
    if is_tiny(loads.shape[1], grid):
        for layer in np.flatnonzero(hottest > _limits(bounds) * (1 + effort.tolerance)):
            found = place_tiny(loads[layer], grid, placed[layer], bounds[layer])
            placed[layer], hottest[layer], bounds[layer] = found
    return PlacedLayers(placed, hottest, tuple(bounds))


def _close(loads: Floats, counts: Ints, grid: SlotGrid, bound: Certificate, effort: SwapBudget) -> tuple[Ints, Certificate]:
    """Counts and bound of one layer (experts,), brought together."""
    counts, bound = close_counts(loads, grid.ranks, grid.slots, counts, bound, effort.count_tolerance)
    tiny = is_tiny(len(loads), grid)
    if grid.slots == STEP_SLOTS and (tiny or effort.exact > 0):
        tolerance = EXACTLY if tiny else effort.tolerance
        limit = max(effort.exact, DETERMINISTIC_LIMIT if tiny else 0.0)
        counts, bound = settle_counts(loads, grid.ranks, counts, bound, tolerance, limit)
    return counts, bound


def _forced(loads: Floats, counts: Ints, grid: SlotGrid) -> Floats:
    """What the counts force upon the hottest rank (layers,)."""
    if grid.slots == 1:
        return np.zeros(len(loads))
    return np.array([forced(load, count, grid.slots) for load, count in zip(loads, counts, strict=True)])


def _limits(bounds: list[Certificate]) -> Floats:
    return np.array([bound.limit for bound in bounds])
