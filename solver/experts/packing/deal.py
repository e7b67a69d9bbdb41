"""A first assignment of copies to ranks: heaviest first, each to the lightest rank that may take it."""

from __future__ import annotations

import numpy as np

from solver.experts.arrays import Bools, Float, Floats, Int, Ints


def deal(copy_load: Floats, counts: Ints, ranks: int, slots: int) -> Ints:
    """Longest processing time first, with a limit of slots and copies of an expert on distinct ranks.

    Parameters
    ----------
    copy_load: load of one copy of each expert (layers, experts).
    counts: copies of each expert (layers, experts), 0 to ``ranks``; each layer sums to ``ranks * slots``.

    Returns
    -------
    expert in each slot (layers, ranks, slots).
    """
    layers = len(counts)
    row = np.arange(layers)
    queue = _heaviest_first(copy_load, counts)
    weight = np.take_along_axis(copy_load, queue, axis=1)
    load, filled = np.zeros((layers, ranks)), np.zeros((layers, ranks), Int)
    newest = np.full((layers, ranks), -1, Int)
    placed = np.full((layers, ranks, slots), -1, Int)
    stuck = np.zeros(layers, np.bool_)
    for turn in range(ranks * slots):
        expert = queue[:, turn]
        # Copies of one expert follow each other in the queue, so only the newest on a rank can be the same.
        open_ranks = (filled < slots) & (newest != expert[:, None])
        stuck |= ~open_ranks.any(axis=1)
        rank = np.where(open_ranks, load, np.where(filled < slots, np.finfo(Float).max, np.inf)).argmin(axis=1)
        placed[row, rank, filled[row, rank]] = expert
        newest[row, rank] = expert
        filled[row, rank] += 1
        load[row, rank] += weight[:, turn]
    for layer in np.flatnonzero(stuck):
        _separate(placed[layer])
    return placed


def repeated(placed: Ints) -> Bools:
    """Ranks (..., ranks) that hold some expert twice, of slots (..., ranks, slots)."""
    ordered = np.sort(placed, axis=-1)
    return np.asarray((ordered[..., 1:] == ordered[..., :-1]).any(axis=-1))


def _heaviest_first(copy_load: Floats, counts: Ints) -> Ints:
    """Every copy as its expert's number, heaviest first, copies of one expert together (layers, copies)."""
    order = np.argsort(-copy_load, axis=1, kind="stable")
    return np.stack([np.repeat(order[layer], counts[layer, order[layer]]) for layer in range(len(counts))])


def _separate(placed: Ints) -> None:
    """Exchange slots of one layer (ranks, slots) in place until no rank holds an expert twice.

    An expert has at most as many copies as there are ranks, so a rank with a double has a partner that lacks the
    expert. It gives a slot that the first rank lacks or, failing that, one of its own doubles; either way the number
    of doubles falls.
    """
    while (twice := np.flatnonzero(repeated(placed))).size:
        rank = int(twice[0])
        slot = _double(placed[rank])
        partner = int(np.flatnonzero(~(placed == placed[rank, slot]).any(axis=1))[0])
        new = np.flatnonzero(~np.isin(placed[partner], placed[rank]))
        theirs = int(new[0]) if new.size else _double(placed[partner])
        placed[rank, slot], placed[partner, theirs] = placed[partner, theirs], placed[rank, slot]


def _double(experts: Ints) -> int:
    """A slot of one rank whose expert stands in another slot as well."""
    return int(np.flatnonzero((experts[:, None] == experts).sum(axis=1) > 1)[0])
