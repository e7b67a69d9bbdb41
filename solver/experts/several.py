"""Placement for several load profiles at once: the mean over profiles of the hottest rank."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from solver.experts.arrays import Floats, Ints
from solver.experts.exchange import exchange_hottest, exchange_pairs
from solver.experts.grid import SlotGrid
from solver.experts.packing.counts import water_fill
from solver.experts.packing.deal import deal


@dataclass(frozen=True)
class ProfileEffort:
    """When the search stops.

    Attributes
    ----------
    sweeps: rounds in which all ranks exchange in pairs, guided by the power mean.
    exponent: of the power mean over ranks; higher looks more at the hottest rank.
    polish: rounds of exchange between one profile's hottest rank and all others, guided by the objective itself.
    seed: start of the random numbers.
    """

    sweeps: int = 200
    exponent: int = 12
    polish: int = 120
    seed: int = 0


def place_profiles(loads: Floats, weights: Floats, grid: SlotGrid, effort: ProfileEffort) -> Ints:
    """Minimise the weighted mean over profiles of the hottest rank, for all layers together.

    Counts are water-filled on the largest share that an expert has in any profile. Slots start from the mean load;
    pairs of ranks then exchange slots, first for a small power mean of all ranks in all profiles (which leaves no
    profile behind and generalises to workloads not seen), then for the objective.

    Parameters
    ----------
    loads: load of each expert, each profile with mean rank load 1 (layers, profiles, experts).
    weights: of the profiles, summing to 1 (profiles,).

    Returns
    -------
    expert in each slot (layers, ranks, slots).
    """
    counts = water_fill(loads.max(axis=1), grid.places, grid.ranks)
    copy_load = np.ascontiguousarray((loads / counts[:, None]).transpose(0, 2, 1))
    placed = deal(copy_load @ weights, counts, grid.ranks, grid.slots)
    if grid.ranks == 1:
        return placed
    rng = np.random.default_rng(effort.seed)
    for _ in range(effort.sweeps):
        exchange_pairs(placed, copy_load, weights, effort.exponent, rng)
    for turn in range(effort.polish):
        exchange_hottest(placed, copy_load, weights, turn % len(weights))
    return placed
