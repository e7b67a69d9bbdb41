"""Share out the slots of a hot rank and one or two others anew, trying many ways at once."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator

import numpy as np

from solver.experts.arrays import Floats, Int, Ints
from solver.experts.packing.deal import repeated

MOST_WAYS = 300
"""Ways to share out a group that are tried together; where there are more, as many random ones."""


def regroup(placed: Ints, copy_load: Floats, size: int, rng: np.random.Generator) -> None:
    """Form groups of one hot and ``size - 1`` other ranks and give each group its best sharing of slots, in place.

    Every rank is in at most one group; the hottest ranks lead the groups. No rank ends above the hottest of its
    group before, and no rank gets an expert twice.

    Parameters
    ----------
    placed: expert in each slot (layers, ranks, slots).
    copy_load: load of one copy of each expert (layers, experts).
    size: ranks in a group, 2 or 3.
    """
    layers, ranks, slots = placed.shape
    groups = ranks // size
    row = np.arange(layers)[:, None, None]
    hottest_first = (-copy_load[row, placed].sum(axis=2)).argsort(axis=1)
    others = hottest_first[:, groups : groups * size][:, rng.permutation(groups * (size - 1))]
    members = np.concatenate([hottest_first[:, :groups, None], others.reshape(layers, groups, size - 1)], axis=2)

    pool = placed[row, members].reshape(layers, groups, size * slots)
    load = copy_load[row, pool]
    ways = _all_ways(size, slots)
    if not len(ways):
        ways = rng.random((MOST_WAYS, size * slots)).argsort(axis=1)
    hottest = _hottest_share(load, ways, size, slots)
    best = hottest.argmin(axis=2)
    shared = np.take_along_axis(pool, ways[best], axis=2).reshape(layers, groups, size, slots)

    before = load.reshape(layers, groups, size, slots).sum(axis=3).max(axis=2)
    better = np.take_along_axis(hottest, best[:, :, None], axis=2)[:, :, 0] < before * (1 - 1e-12)
    better &= ~repeated(shared).any(axis=2)
    placed[row, members] = np.where(better[:, :, None, None], shared, placed[row, members])


def _hottest_share(load: Floats, ways: Ints, size: int, slots: int) -> Floats:
    """Hottest rank of each group under each way (layers, groups, ways)."""
    layers, groups, _ = load.shape
    share = load[:, :, ways[:, : (size - 1) * slots]].reshape(layers, groups, len(ways), size - 1, slots).sum(axis=4)
    rest = load.sum(axis=2)[:, :, None] - share.sum(axis=3)
    return np.asarray(np.maximum(share.max(axis=3), rest))


@functools.cache
def _all_ways(size: int, slots: int) -> Ints:
    """All ways to share out ``size * slots`` things among alike ranks (ways, size * slots); none if too many."""
    things = size * slots
    number = math.factorial(things) // math.factorial(slots) ** size // math.factorial(size)
    return np.array(list(_shares(tuple(range(things)), slots)) if number <= MOST_WAYS else [], Int)


def _shares(things: tuple[int, ...], slots: int) -> Iterator[tuple[int, ...]]:
    if not things:
        yield ()
        return
    for companions in itertools.combinations(things[1:], slots - 1):
        share = (things[0], *companions)
        rest = tuple(thing for thing in things if thing not in share)
        for tail in _shares(rest, slots):
            yield share + tail
