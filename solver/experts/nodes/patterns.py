"""How the copies of one expert may lie over nodes, and what each way means for its tokens."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

import numpy as np

from solver.experts.arrays import Floats, Int, Ints
from solver.experts.grid import SlotGrid
from solver.experts.splits import Split

HOME_COPIES = 3
"""Copies on the home node, unless the load of the expert asks for more."""
FAR_COPIES = 2
"""Copies on other nodes, one on each, besides those at home."""
MANY_NODES = 9
"""Nodes above which an expert has one copy besides those at home: pairs of nodes would be too many patterns."""
HEAVIEST_COPY = 0.7
"""Load that a copy may carry, in mean rank loads, as long as more copies are possible: the ranks are packed later."""
LIGHT_EXPERT = 0.15
"""Load, in mean rank loads, below which a second copy is not worth its slot."""
ROOMY = 1.5
"""Places for each expert above which these habits leave slots empty, and every expert may have more copies."""


@dataclass(frozen=True)
class CopyPatterns:
    """One entry for each way that an expert's copies may lie.

    Attributes
    ----------
    expert: whose copies (patterns,), ascending.
    copies: on each node (patterns, nodes).
    served: load that each node serves (patterns, nodes), mean rank load 1.
    far: load served away from the home node (patterns,).
    heaviest: load of one copy (patterns,).
    """

    expert: Ints
    copies: Ints
    served: Floats
    far: Floats
    heaviest: Floats


def patterns(loads: Floats, home: Ints, grid: SlotGrid, split: Split) -> CopyPatterns:
    """All patterns of one layer.

    Parameters
    ----------
    loads: load of each expert, mean rank load 1 (experts,).
    home: node where the tokens of each expert start (experts,).
    """
    expert, copies = [], []
    habits = [_shapes(float(load), grid, len(loads)) for load in loads]
    fewest = sum(int(shapes.sum(axis=1).min()) for shapes in habits)
    most = sum(int(shapes.sum(axis=1).max()) for shapes in habits)
    if not fewest <= grid.places <= most:
        habits = [_all_shapes(grid, _most_at_home(float(load), grid, len(loads))) for load in loads]
    for number, (shapes, node) in enumerate(zip(habits, home, strict=True)):
        rolled = np.roll(shapes, node, axis=1)
        expert.append(np.full(len(rolled), number))
        copies.append(rolled)
    owner, lying = np.concatenate(expert), np.concatenate(copies)
    share = _service(lying, home[owner], split)
    at_home = share[np.arange(len(owner)), home[owner]]
    load = loads[owner]
    heaviest = load * (share / np.maximum(lying, 1)).max(axis=1)
    return CopyPatterns(owner, lying, share * load[:, None], load * (1.0 - at_home), heaviest)


def _shapes(load: float, grid: SlotGrid, experts: int) -> Ints:
    """Copies by node with the home node first (shapes, nodes), as the habits above allow."""
    table = _all_shapes(grid, _most_at_home(load, grid, experts))
    total = table.sum(axis=1)
    if load < LIGHT_EXPERT and not _is_roomy(grid, experts):
        return np.asarray(table[total == 1])
    fine = load / total <= HEAVIEST_COPY
    return np.asarray(table[fine] if fine.any() else table[total == total.max()])


def _is_roomy(grid: SlotGrid, experts: int) -> bool:
    return grid.places > ROOMY * experts


def _most_at_home(load: float, grid: SlotGrid, experts: int) -> int:
    roomy = 2 * grid.places // experts if _is_roomy(grid, experts) else 0
    return min(grid.ranks_per_node, max(HOME_COPIES, int(np.ceil(load / HEAVIEST_COPY)), roomy))


@functools.lru_cache(maxsize=64)
def _all_shapes(grid: SlotGrid, most_home: int) -> Ints:
    """Up to ``most_home`` copies on the home node, and single ones on a few others (shapes, nodes)."""
    others = grid.nodes - 1
    shapes = [
        (at_home, *(int(node in chosen) for node in range(others)))
        for at_home in range(most_home + 1)
        for far in range(min(FAR_COPIES if grid.nodes <= MANY_NODES else 1, others) + 1)
        for chosen in itertools.combinations(range(others), far)
        if at_home >= 1 or far == 1
    ]
    return np.array(shapes, Int)


def _service(copies: Ints, home: Ints, split: Split) -> Floats:
    """Share of the tokens served on each node (patterns, nodes), all tokens starting at home."""
    even = copies / copies.sum(axis=1, keepdims=True)
    if split == "even":
        return np.asarray(even)
    rows = np.arange(len(home))
    local = np.zeros_like(even)
    local[rows, home] = 1.0
    return np.asarray(np.where(copies[rows, home][:, None] > 0, local, even))
