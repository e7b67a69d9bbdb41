"""From requests to classes: k-means leaves, merged into a tree whose cuts are the classes.

A request is a point: natural logarithms of its prompt and output length, and twice the share of its prompt that was
found in the cache. (So a request that finds its whole prompt is as far from one that finds nothing as one with a prompt
e^2 = 7.4 times as long.) Leaves are found by k-means on a sample and merged in Ward's order: each merge is the one
that adds least to the variance within classes. The costs of merges rise from leaves to root, so that a count of classes
is a cut of one tree and every count has its statistics from one pass.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solver.traces.sketches import Floats

#: Distance, in e-folds of length, between a prompt wholly found in the cache and one not at all.
REUSE_WEIGHT = 2.0
#: A class more must explain at least this share of the variance of all points ...
WORTH = 0.10
#: ... and at least this much of it: a spread of 10 % in length is one class.
WORTH_ABSOLUTE = 0.01
_ROUNDS, _STARTS = 50, 4


def points(prompt: NDArray[np.generic], output: NDArray[np.generic], found: NDArray[np.generic]) -> Floats:
    """Points (n, 3) of requests, from lengths and found tokens (n,)."""
    length = np.maximum(prompt.astype(float), 1.0)
    share = np.minimum(found.astype(float) / length, 1.0)
    return np.stack([np.log(length), np.log(np.maximum(output.astype(float), 1.0)), REUSE_WEIGHT * share], axis=1)


@dataclass(frozen=True)
class ClassTree:
    """Leaves and the merges that make classes of them.

    Attributes
    ----------
    centres: the leaves' centres (leaves, 3).
    merges: pairs of nodes that become one, in order; nodes are numbered leaves first, then merges.
    costs: what each merge adds to the variance within classes, per point; rising.
    variance: of all points around their mean.
    """

    centres: Floats
    merges: tuple[tuple[int, int], ...]
    costs: tuple[float, ...]
    variance: float

    @property
    def leaves(self) -> int:
        """The most classes there can be."""
        return len(self.centres)

    @property
    def nodes(self) -> int:
        """Leaves and merges."""
        return self.leaves + len(self.merges)

    def leaf_of(self, places: Floats) -> NDArray[np.int64]:
        """The leaf whose centre is nearest to each point (n, 3) -> (n,)."""
        return np.asarray(np.argmin(_squared(places, self.centres), axis=1), np.int64)

    def cut(self, count: int) -> list[int]:
        """The nodes that are the classes when there are ``count``."""
        alive = set(range(self.leaves))
        for step in range(self.leaves - count):
            alive -= set(self.merges[step])
            alive.add(self.leaves + step)
        return sorted(alive)

    def members(self, node: int) -> list[int]:
        """The leaves under a node."""
        if node < self.leaves:
            return [node]
        left, right = self.merges[node - self.leaves]
        return sorted(self.members(left) + self.members(right))

    @property
    def natural_count(self) -> int:
        """One class, and one more for every merge that would cost a tenth of the whole variance or more."""
        least = max(WORTH * self.variance, WORTH_ABSOLUTE)
        return 1 + sum(cost >= least for cost in self.costs)


def cluster(places: Floats, most: int, seed: int) -> ClassTree:
    """A tree of at most ``most`` leaves over points (n, 3); the same for the same points and seed."""
    count = min(most, len(np.unique(places, axis=0)))
    rng = np.random.default_rng(seed % 2**64)
    tried = [_k_means(places, _first_centres(places, count, rng)) for _ in range(_STARTS)]
    centres = min(tried, key=lambda found: float(_squared(places, found).min(axis=1).sum()))
    centres = centres[np.lexsort(centres.T[::-1])]
    leaf = np.argmin(_squared(places, centres), axis=1)
    used = np.unique(leaf)
    sums = np.stack([places[leaf == index].sum(axis=0) for index in used])
    counts = np.array([(leaf == index).sum() for index in used], float)
    variance = float(((places - places.mean(axis=0)) ** 2).sum() / len(places))
    return tree_of(sums, counts, variance)


def tree_of(sums: Floats, counts: Floats, variance: float) -> ClassTree:
    """Ward's tree over leaves given the sums (leaves, 3) and counts (leaves,) of their points."""
    centres = sums / counts[:, None]
    alive = {index: (centre, float(count)) for index, (centre, count) in enumerate(zip(centres, counts, strict=True))}
    merges: list[tuple[int, int]] = []
    costs: list[float] = []
    while len(alive) > 1:
        cost, left, right = min(
            (_ward(alive[left], alive[right]), left, right) for left in alive for right in alive if left < right
        )
        (a, n), (b, m) = alive.pop(left), alive.pop(right)
        alive[len(counts) + len(merges)] = ((a * n + b * m) / (n + m), n + m)
        merges.append((left, right))
        costs.append(cost / float(counts.sum()))
    return ClassTree(centres, tuple(merges), tuple(costs), variance)


def _ward(one: tuple[Floats, float], other: tuple[Floats, float]) -> float:
    """What merging two classes adds to the sum of squares within them."""
    (a, n), (b, m) = one, other
    return n * m / (n + m) * float(((a - b) ** 2).sum())


def _squared(places: Floats, centres: Floats) -> Floats:
    """Squared distances (n, k); column by column, so that they do not depend on how many points come at once."""
    found = np.zeros((len(places), len(centres)))
    for axis in range(places.shape[1]):
        found += (places[:, axis, None] - centres[None, :, axis]) ** 2
    return found


def _first_centres(places: Floats, count: int, rng: np.random.Generator) -> Floats:
    """k-means++: each next centre drawn in proportion to the squared distance from those so far."""
    chosen = [places[rng.integers(len(places))]]
    nearest = _squared(places, chosen[0][None])[:, 0]
    while len(chosen) < count and nearest.sum() > 0:
        chosen.append(places[rng.choice(len(places), p=nearest / nearest.sum())])
        nearest = np.minimum(nearest, _squared(places, chosen[-1][None])[:, 0])
    return np.array(chosen)


def _k_means(places: Floats, centres: Floats) -> Floats:
    """Lloyd's rounds until no point moves; a centre that loses all its points stays where it was."""
    before = np.full(len(places), -1)
    for _ in range(_ROUNDS):
        leaf = np.argmin(_squared(places, centres), axis=1)
        if (leaf == before).all():
            break
        before = leaf
        counts = np.bincount(leaf, minlength=len(centres)).astype(float)
        sums = np.stack([np.bincount(leaf, axis, len(centres)) for axis in places.T], axis=1)
        centres = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centres)
    return centres
