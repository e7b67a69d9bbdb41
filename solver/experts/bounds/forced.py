"""What given replica counts force upon the hottest rank, however cleverly the copies are placed."""

from __future__ import annotations

import numpy as np

from solver.experts.arrays import Floats, Ints
from solver.experts.bounds.prices import STEP_SLOTS


def copies_of(loads: Floats, counts: Ints) -> Floats:
    """Load of every copy, unordered (copies,), of loads and counts (experts,)."""
    return np.repeat(loads / counts, counts)


def forced_sums(copies: Floats, slots: int) -> Floats:
    """Rank loads that some rank must reach, one for each prefix of the heaviest copies (..., ranks).

    Two slots: the i-th heaviest copy meets at best the i-th lightest one. More slots: the ranks of the i heaviest
    copies carry on average at least the mean of these and of the lightest copies that fill the slots beside them.

    Parameters
    ----------
    copies: load of every copy (..., ranks * slots).
    """
    ordered = np.sort(copies, axis=-1)
    ranks = copies.shape[-1] // slots
    heavy = ordered[..., : -ranks - 1 : -1]
    if slots == STEP_SLOTS:
        return np.asarray(heavy + ordered[..., :ranks])
    light = np.cumsum(ordered, axis=-1)[..., slots - 2 :: slots - 1][..., :ranks]
    return np.asarray((np.cumsum(heavy, axis=-1) + light) / np.arange(1, ranks + 1))


def forced(loads: Floats, counts: Ints, slots: int) -> float:
    """Least load of the hottest rank under these counts (experts,), as far as :func:`forced_sums` can tell."""
    return float(forced_sums(copies_of(loads, counts), slots).max())
