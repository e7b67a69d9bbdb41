"""Move replicas between experts until a limit is no longer out of reach."""

from __future__ import annotations

import numpy as np

from solver.experts.arrays import Floats, Ints
from solver.experts.bounds.forced import copies_of, forced_sums

MOST_WORK = 300_000
"""Copies looked at in one step, which limits the moves tried."""
RECEIVERS = 64
"""Experts considered for getting a copy in one step: those with the heaviest copies. Donors are those whose copies
stay lightest, as many as the work allows."""


def excess(copies: Floats, slots: int, limit: float) -> Floats:
    """How far copies (..., copies) force ranks above the limit, summed over the conditions (...)."""
    return np.asarray(np.maximum(forced_sums(copies, slots) - limit, 0.0).sum(axis=-1))


def adjust_total(loads: Floats, counts: Ints, ranks: int, slots: int, limit: float) -> Ints | None:
    """Add or drop single copies, each time the one that leaves the least excess, until the slots are exactly full.

    Returns None where the surplus cannot be dropped without a copy above the limit.
    """
    counts = counts.copy()
    places = ranks * slots
    while (surplus := int(counts.sum()) - places) != 0:
        step = -1 if surplus > 0 else 1
        changed = counts + step
        able = np.flatnonzero((changed >= 1) & (changed <= ranks) & (loads <= limit * changed))
        if not able.size:
            return None
        trials = _after_steps(loads, counts, able, step, places)
        counts[able[int(excess(trials, slots, limit).argmin())]] += step
    return counts


def descend(loads: Floats, counts: Ints, ranks: int, slots: int, limit: float) -> Ints:
    """Steepest descent on the excess, moving one copy from one expert to another at a time."""
    current = float(excess(copies_of(loads, counts), slots, limit))
    while current > 0:
        donor, receiver = _moves(loads, counts, ranks, limit)
        if not donor.size:
            break
        found = excess(_after_moves(loads, counts, donor, receiver), slots, limit)
        best = int(found.argmin())
        if found[best] >= current * (1 - 1e-9):
            break
        counts = counts.copy()
        counts[donor[best]] -= 1
        counts[receiver[best]] += 1
        current = float(found[best])
    return counts


def _moves(loads: Floats, counts: Ints, ranks: int, limit: float) -> tuple[Ints, Ints]:
    """Pairs of donor and receiver worth trying."""
    after = loads / np.maximum(counts - 1, 1)
    donors = np.flatnonzero((counts > 1) & (after <= limit))
    able = max(4, MOST_WORK // (RECEIVERS * int(counts.sum())))
    donors = donors[np.argsort(after[donors], kind="stable")[:able]]
    receivers = np.argsort(-loads / counts, kind="stable")[:RECEIVERS]
    receivers = receivers[counts[receivers] < ranks]
    donor, receiver = np.repeat(donors, len(receivers)), np.tile(receivers, len(donors))
    return donor[donor != receiver], receiver[donor != receiver]


def _after_moves(loads: Floats, counts: Ints, donor: Ints, receiver: Ints) -> Floats:
    """Load of every copy after each move (moves, copies)."""
    owner = np.repeat(np.arange(len(loads)), counts)
    copies = np.tile(loads[owner] / counts[owner], (len(donor), 1))
    lighter = loads[receiver] / (counts[receiver] + 1)
    copies = np.where(owner == donor[:, None], (loads[donor] / np.maximum(counts[donor] - 1, 1))[:, None], copies)
    copies = np.where(owner == receiver[:, None], lighter[:, None], copies)
    copies[np.arange(len(donor)), np.searchsorted(owner, donor)] = lighter
    return copies


def _after_steps(loads: Floats, counts: Ints, experts: Ints, step: int, places: int) -> Floats:
    """Load of every copy after each of these experts alone gets ``step`` more copies (experts, places).

    Too few copies leave empty slots; of too many the heaviest count.
    """
    owner = np.repeat(np.arange(len(loads)), counts)
    changed = (loads / np.maximum(counts + step, 1))[experts]
    copies = np.where(owner == experts[:, None], changed[:, None], loads[owner] / counts[owner])
    if step > 0:
        copies = np.column_stack([copies, changed])
    else:
        copies[np.arange(len(experts)), np.searchsorted(owner, experts)] = 0.0
    missing = places - copies.shape[1]
    if missing >= 0:
        return np.pad(copies, ((0, 0), (0, missing)))
    return np.asarray(np.partition(copies, -missing - 1, axis=1)[:, -missing:])
