"""Placement for several load profiles at once: the mean over profiles of the hottest rank."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from solver.optimize.experts.arrays import Floats, Ints
from solver.optimize.experts.grid import SlotGrid
from solver.optimize.experts.packing.counts import water_fill
from solver.optimize.experts.packing.deal import deal


@dataclass(frozen=True)
class ProfileEffort:
    """When the search stops.

    Attributes
    ----------
    sweeps: rounds in which all ranks exchange in pairs, guided by the power mean.
    power: exponent of the power mean over ranks; higher looks more at the hottest rank.
    polish: rounds of exchange between one profile's hottest rank and all others, guided by the objective itself.
    seed: start of the random numbers.
    """

    sweeps: int = 200
    power: int = 12
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
        exchange_pairs(placed, copy_load, weights, effort.power, rng)
    for turn in range(effort.polish):
        exchange_hottest(placed, copy_load, weights, turn % len(weights))
    return placed


def exchange_pairs(
    placed: Ints, copy_load: Floats, weights: Floats, power: int, rng: np.random.Generator
) -> None:
    """Pair all ranks at random and let each pair make its best exchange of one slot, in place.

    Parameters
    ----------
    placed: expert in each slot (layers, ranks, slots).
    copy_load: load of one copy (layers, experts, profiles).
    """
    layers, ranks, slots = placed.shape
    row = np.arange(layers)[:, None]
    pairs = ranks // 2
    order = rng.permutation(ranks)
    left, right = order[:pairs], order[pairs : 2 * pairs]
    load = copy_load[row[:, :, None], placed]
    total = load.sum(axis=2)
    moved = load[:, left, :, None] - load[:, right, None, :]
    lighter = np.maximum(total[:, left, None, None] - moved, 0.0)
    heavier = np.maximum(total[:, right, None, None] + moved, 0.0)
    cost = (_power(lighter, power) + _power(heavier, power)) @ weights
    cost[_would_repeat(placed[:, left], placed[:, right])] = np.inf
    now = (_power(total[:, left], power) + _power(total[:, right], power)) @ weights
    flat = cost.reshape(layers, pairs, slots * slots)
    best = flat.argmin(axis=2)
    layer, pair = np.nonzero(np.take_along_axis(flat, best[:, :, None], axis=2)[:, :, 0] < now * (1 - 1e-12))
    ours, theirs = np.divmod(best[layer, pair], slots)
    first, second = (layer, left[pair], ours), (layer, right[pair], theirs)
    placed[first], placed[second] = placed[second], placed[first]


def exchange_hottest(placed: Ints, copy_load: Floats, weights: Floats, profile: int) -> None:
    """Let the hottest rank of one profile make its best exchange of one slot with any rank, in place."""
    layers, ranks, slots = placed.shape
    row = np.arange(layers)
    load = copy_load[row[:, None, None], placed]
    total = load.sum(axis=2)
    hot = total[:, :, profile].argmax(axis=1)
    moved = load[row, hot][:, :, None, None] - load[:, None]
    ours = total[row, hot][:, None, None, None] - moved
    theirs = total[:, None, :, None] + moved
    others = _hottest_without(total, hot)
    worst = np.maximum(np.maximum(ours, theirs), others[:, None, :, None])
    cost = worst @ weights
    mine = np.broadcast_to(placed[row, hot][:, None], placed.shape)
    cost[_would_repeat(mine, placed).transpose(0, 2, 1, 3)] = np.inf
    cost[row, :, hot] = np.inf
    flat = cost.reshape(layers, -1)
    best = flat.argmin(axis=1)
    now = total.max(axis=1) @ weights
    layer = np.flatnonzero(flat[row, best] < now * (1 - 1e-9))
    slot, rank, their_slot = np.unravel_index(best[layer], (slots, ranks, slots))
    first, second = (layer, hot[layer], slot), (layer, rank, their_slot)
    placed[first], placed[second] = placed[second], placed[first]


def _would_repeat(left: Ints, right: Ints) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Whether exchanging slot i of left with slot j of right puts an expert twice on a rank (..., i, j)."""
    same = left[..., :, None] == right[..., None, :]
    return np.asarray(same.any(axis=-1)[..., :, None] | same.any(axis=-2)[..., None, :])


def _hottest_without(total: Floats, hot: Ints) -> Floats:
    """Hottest rank in each profile without ``hot`` and without each rank in turn (layers, ranks, profiles)."""
    layers, ranks, profiles = total.shape
    rest = total.copy()
    rest[np.arange(layers), hot] = -np.inf
    top = np.argsort(-rest, axis=1)[:, :2]
    first, second = (np.take_along_axis(rest, top[:, [place]], axis=1) for place in (0, 1))
    return np.where(np.arange(ranks)[None, :, None] == top[:, [0]], second, first)


def _power(values: Floats, exponent: int) -> Floats:
    """Whole powers by repeated squaring; NumPy's general power is ten times slower."""
    result = np.ones_like(values)
    while exponent:
        if exponent % 2:
            result = result * values
        exponent //= 2
        if exponent:
            values = values * values
    return result
