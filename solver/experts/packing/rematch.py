"""Exchange blocks of slots among all ranks at once, heaviest block to the lightest rest."""

from __future__ import annotations

import numpy as np

from solver.experts.arrays import Bools, Floats, Ints
from solver.experts.packing.deal import repeated


def rematch(placed: Ints, copy_load: Floats, block: int, rng: np.random.Generator, keep: Bools | None = None) -> None:
    """Cut ``block`` slots out of every rank and hand the blocks out again, in place.

    Sorting the blocks against the rests minimises the largest sum over all ways to hand the blocks out, so the
    hottest rank never gets hotter. A layer in which some rank would hold an expert twice is left as it was.

    Parameters
    ----------
    placed: expert in each slot (layers, ranks, slots); the order of slots on a rank is shuffled.
    copy_load: load of one copy of each expert (layers, experts).
    block: slots to cut from each rank, chosen at random, the same ones in all layers.
    keep: experts whose copies should stay where they are if enough others can move (layers, experts). Moving only
        experts of a single copy never puts two copies together.
    """
    layers, ranks, slots = placed.shape
    row = np.arange(layers)[:, None]
    luck = np.broadcast_to(rng.random((ranks, slots)), placed.shape)
    if keep is not None:
        luck = luck + keep[row[:, :, None], placed]
    placed[...] = np.take_along_axis(placed, luck.argsort(axis=2), axis=2)
    load = copy_load[row[:, :, None], placed]
    light_rests = load[:, :, block:].sum(axis=2).argsort(axis=1)
    heavy_blocks = (-load[:, :, :block].sum(axis=2)).argsort(axis=1)
    dealt = placed.copy()
    dealt[row, light_rests, :block] = placed[row, heavy_blocks, :block]
    fine = ~repeated(dealt).any(axis=1)
    placed[fine] = dealt[fine]
