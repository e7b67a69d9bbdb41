"""Placement for one load profile: every layer searched together, with a lower bound for each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from solver.optimize.experts.arrays import Floats, Ints
from solver.optimize.experts.bounds.certificate import Certificate, simple_bounds
from solver.optimize.experts.bounds.close import close_counts
from solver.optimize.experts.bounds.forced import forced
from solver.optimize.experts.grid import SlotGrid
from solver.optimize.experts.packing.counts import water_fill
from solver.optimize.experts.packing.pack import Effort, hottest_rank, pack
from solver.optimize.experts.tiny import TINY_PLACES, place_tiny


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


def place_layers(loads: Floats, grid: SlotGrid, effort: Effort) -> PlacedLayers:
    """Minimise the hottest rank of each layer, the load of an expert split evenly over its copies.

    Water-filled counts serve nearly always. Where they force a rank above the bound (few slots a rank), counts and
    bound are closed in on together; where the layer is tiny, CP-SAT settles it.

    Parameters
    ----------
    loads: load of each expert (layers, experts).
    """
    ranks, slots = grid.ranks, grid.slots
    counts = water_fill(loads, grid.places, ranks)
    bounds = simple_bounds(loads, ranks, slots, loads / counts)
    placed = _pack(loads, counts, grid, bounds, effort)
    hottest = hottest_rank(placed, loads / counts)
    _close_gaps(loads, counts, grid, bounds, placed, hottest, effort)
    if grid.places <= TINY_PLACES:
        for layer in np.flatnonzero(hottest > _limits(bounds) * (1 + effort.tolerance)):
            best, hottest[layer], bounds[layer] = place_tiny(loads[layer], grid, placed[layer], bounds[layer])
            placed[layer] = best
    return PlacedLayers(placed, hottest, tuple(bounds))


def _close_gaps(
    loads: Floats,
    counts: Ints,
    grid: SlotGrid,
    bounds: list[Certificate],
    placed: Ints,
    hottest: Floats,
    effort: Effort,
) -> None:
    """Improve counts, bounds, slots and hottest ranks in place where the counts themselves leave a gap."""
    slack = 1 + effort.count_tolerance
    open_layers = [
        layer
        for layer in np.flatnonzero(hottest > _limits(bounds) * slack)
        if grid.slots > 1 and forced(loads[layer], counts[layer], grid.slots) > bounds[layer].limit * slack
    ]
    if not open_layers:
        return
    for layer in open_layers:
        counts[layer], bounds[layer] = close_counts(
            loads[layer], grid.ranks, grid.slots, counts[layer], bounds[layer], effort.count_tolerance
        )
    again = np.array(open_layers)
    tried = _pack(loads[again], counts[again], grid, [bounds[layer] for layer in again], effort)
    value = hottest_rank(tried, loads[again] / counts[again])
    better = value < hottest[again]
    placed[again[better]], hottest[again[better]] = tried[better], value[better]


def _pack(loads: Floats, counts: Ints, grid: SlotGrid, bounds: list[Certificate], effort: Effort) -> Ints:
    least = [
        forced(row, count, grid.slots) if grid.slots > 1 else 0.0 for row, count in zip(loads, counts, strict=True)
    ]
    target = np.maximum(_limits(bounds), least) * (1 + effort.tolerance)
    return pack(loads / counts, counts, grid.ranks, grid.slots, target, effort)


def _limits(bounds: list[Certificate]) -> Floats:
    return np.array([bound.limit for bound in bounds])
