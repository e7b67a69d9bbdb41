"""Place the experts of all MoE layers: one profile or several, with a lower bound for each layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from solver.experts.arrays import Floats
from solver.experts.bounds.certificate import Certificate, simple_bounds
from solver.experts.expert_map import ExpertMap
from solver.experts.grid import SlotGrid
from solver.experts.loads import Loads
from solver.experts.nodes.nearest import place_nearest
from solver.experts.packing.counts import water_fill
from solver.experts.packing.pack import SwapBudget
from solver.experts.several import ProfileEffort, place_profiles
from solver.experts.single import place_layers
from solver.experts.splits import Split


@dataclass(frozen=True, eq=False)
class ExpertPlacement:
    """A map and what is known about it.

    Loads are in mean rank loads, so that the load of the hottest rank is the imbalance.

    Attributes
    ----------
    imbalance: hottest over mean rank (profiles, layers).
    certificates: for each layer, one lower bound for each profile; none of them can be undercut by any placement.
    weights: of the profiles (profiles,).
    """

    map: ExpertMap
    grid: SlotGrid
    split: Split
    imbalance: Floats
    certificates: tuple[tuple[Certificate, ...], ...]
    weights: Floats

    @property
    def objective(self) -> Floats:
        """Weighted mean over profiles of the imbalance (layers,)."""
        return np.asarray(self.weights @ self.imbalance)

    @property
    def bound(self) -> Floats:
        """Least possible :attr:`objective` (layers,)."""
        return np.array([[proof.limit for proof in layer] for layer in self.certificates]) @ self.weights

    @property
    def gap(self) -> Floats:
        """How far the objective is above the bound at most, relative to the bound (layers,)."""
        return self.objective / self.bound - 1.0

    @property
    def worst(self) -> Floats:
        """Imbalance of the worst profile (layers,)."""
        return np.asarray(self.imbalance.max(axis=0))


def place_experts(loads: Loads, grid: SlotGrid, split: Split = "even", effort: SwapBudget | None = None) -> ExpertPlacement:
    """Choose replica counts and slots of every MoE layer such that the hottest rank is as cool as possible.

    One profile: the hottest rank itself. Several: the weighted mean over profiles of the hottest rank; every profile
    alone bounds its own term. Under ``nearest-node`` the weighted mean load is placed.

    Parameters
    ----------
    grid: ranks and slots; ``nearest-node`` needs its ``ranks_per_node``.

    Raises
    ------
    BadInput: the experts do not fit, or a rank has more slots than there are experts.

    >>> placement = place_experts(Loads.of([[6.0, 3.0, 2.0, 1.0]]), SlotGrid(ranks=2, slots=3))
    >>> placement.map.physical_to_logical(0)
    [2, 1, 0, 3, 0, 1]
    >>> placement.imbalance.round(3).tolist(), placement.certificates[0][0].reason
    ([[1.083]], 'search')
    """
    grid.require_room(loads.experts)
    effort = effort or SwapBudget()
    shares = loads.shares() * grid.ranks
    if split == "nearest-node":
        slots = place_nearest(loads.mean_shares() * grid.ranks, grid, effort)
        proofs = _each_profile(shares, grid)
    elif loads.profiles == 1:
        found = place_layers(shares[:, 0], grid, effort)
        slots, proofs = found.placed, tuple((proof,) for proof in found.certificates)
    else:
        slots = place_profiles(shares, loads.weights, grid, ProfileEffort(seed=effort.seed))
        proofs = _each_profile(shares, grid)
    placed = ExpertMap(slots, loads.experts, loads.moe_layers, loads.layers)
    imbalance = placed.imbalance(loads, split, grid.ranks_per_node)
    return ExpertPlacement(placed, grid, split, imbalance, proofs, loads.weights)


def _each_profile(shares: Floats, grid: SlotGrid) -> tuple[tuple[Certificate, ...], ...]:
    """Simple bounds of every profile alone, of shares (layers, profiles, experts)."""
    columns = []
    for profile in range(shares.shape[1]):
        loads = np.ascontiguousarray(shares[:, profile])
        counts = water_fill(loads, grid.places, grid.ranks)
        columns.append(simple_bounds(loads, grid.ranks, grid.slots, loads / counts))
    return tuple(zip(*columns, strict=True))
