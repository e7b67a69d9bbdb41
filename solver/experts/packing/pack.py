"""The search for given replica counts: deal, then rematch and regroup until no rank is hotter than the target."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from solver.experts.arrays import Floats, Ints
from solver.experts.packing.deal import deal
from solver.experts.packing.regroup import regroup
from solver.experts.packing.rematch import rematch


@dataclass(frozen=True)
class SwapBudget:
    """When the search stops; never by the clock, so that a seed gives the same placement everywhere.

    Attributes
    ----------
    tolerance: a layer is done when its hottest rank is within this share of what its counts allow.
    count_tolerance: counts are good enough when what they allow is within this share of the lower bound.
    exact: CP-SAT's deterministic time (about seconds) for proving the counts of a layer with two slots a rank, each
        time they are challenged; 0 for tiny layers only.
    rounds: most rounds of rematching; as many of regrouping follow, three times as many with few slots a rank.
    seed: start of the random numbers.
    """

    tolerance: float = 5e-4
    count_tolerance: float = 2.5e-3
    exact: float = 0.0
    rounds: int = 60
    seed: int = 0


FEW_SLOTS = 3
"""Up to this many slots a rank, three ranks are regrouped at once and for longer."""


def hottest_rank(placed: Ints, copy_load: Floats) -> Floats:
    """Load of the hottest rank of each layer (layers,), of slots (layers, ranks, slots)."""
    row = np.arange(len(placed))[:, None, None]
    return np.asarray(copy_load[row, placed].sum(axis=2).max(axis=1))


def pack(copy_load: Floats, counts: Ints, ranks: int, slots: int, target: Floats, effort: SwapBudget) -> Ints:
    """Assign copies to ranks for many layers at once.

    Parameters
    ----------
    copy_load: load of one copy of each expert (layers, experts).
    counts: copies of each expert (layers, experts), 0 to ``ranks``; each layer sums to ``ranks * slots``.
    target: load of the hottest rank that is good enough (layers,).

    Returns
    -------
    expert in each slot (layers, ranks, slots), copies of an expert on distinct ranks.
    """
    placed = deal(copy_load, counts, ranks, slots)
    if ranks == 1 or slots == 1:
        return placed
    rng = np.random.default_rng(effort.seed)
    few = slots <= FEW_SLOTS
    for turn in range(effort.rounds * (4 if few else 2)):
        hot = np.flatnonzero(hottest_rank(placed, copy_load) > target)
        if not hot.size:
            break
        part = placed[hot]
        if turn < effort.rounds:
            block = int(rng.integers(1, slots // 2 + 1))
            rematch(part, copy_load[hot], block, rng, keep=counts[hot] > 1 if turn % 2 else None)
        else:
            regroup(part, copy_load[hot], 3 if few and ranks > 2 and turn % 4 else 2, rng)
        placed[hot] = part
    return placed
