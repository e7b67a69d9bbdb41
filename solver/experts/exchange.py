"""Exchanges of one slot between two ranks, for several load profiles at once."""

from __future__ import annotations

import numpy as np

from solver.experts.arrays import Bools, Floats, Ints
from solver.experts.powers import power


def exchange_pairs(placed: Ints, copy_load: Floats, weights: Floats, exponent: int, rng: np.random.Generator) -> None:
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
    cost = (power(lighter, exponent) + power(heavier, exponent)) @ weights
    cost[would_repeat(placed[:, left], placed[:, right])] = np.inf
    now = (power(total[:, left], exponent) + power(total[:, right], exponent)) @ weights
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
    cost[would_repeat(mine, placed).transpose(0, 2, 1, 3)] = np.inf
    cost[row, :, hot] = np.inf
    flat = cost.reshape(layers, -1)
    best = flat.argmin(axis=1)
    now = total.max(axis=1) @ weights
    layer = np.flatnonzero(flat[row, best] < now * (1 - 1e-9))
    slot, rank, their_slot = np.unravel_index(best[layer], (slots, ranks, slots))
    first, second = (layer, hot[layer], slot), (layer, rank, their_slot)
    placed[first], placed[second] = placed[second], placed[first]


def would_repeat(left: Ints, right: Ints) -> Bools:
    """Whether exchanging slot i of left with slot j of right puts an expert twice on a rank (..., i, j)."""
    same = left[..., :, None] == right[..., None, :]
    return np.asarray(same.any(axis=-1)[..., :, None] | same.any(axis=-2)[..., None, :])


def _hottest_without(total: Floats, hot: Ints) -> Floats:
    """Hottest rank in each profile without ``hot`` and without each rank in turn (layers, ranks, profiles)."""
    layers, ranks = total.shape[:2]
    rest = total.copy()
    rest[np.arange(layers), hot] = -np.inf
    top = np.argsort(-rest, axis=1)[:, :2]
    first, second = (np.take_along_axis(rest, top[:, [place]], axis=1) for place in (0, 1))
    return np.where(np.arange(ranks)[None, :, None] == top[:, [0]], second, first)
