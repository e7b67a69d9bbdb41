"""How the tokens of an expert are shared by its copies, and the rank loads that follow."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from solver.errors import BadInput
from solver.experts.arrays import Float, Floats, Ints

Split: TypeAlias = Literal["even", "nearest-node"]
"""``even``: every copy serves the same share. ``nearest-node``: the tokens that start on a node are shared by the
copies on that node, and by all copies where the node has none; tokens start evenly on all nodes."""


def rank_loads(placed: Ints, loads: Floats, split: Split = "even", ranks_per_node: int = 0) -> Floats:
    """Load of each rank (..., ranks).

    Parameters
    ----------
    placed: expert in each slot (..., ranks, slots).
    loads: load of each expert (..., experts), leading axes as those of ``placed``.
    ranks_per_node: successive ranks that share a node; needed for ``nearest-node``.

    >>> rank_loads(np.array([[0, 1], [0, 2]]), np.array([4.0, 1.0, 3.0])).tolist()
    [3.0, 5.0]
    """
    copies = node_copies(placed, loads.shape[-1], placed.shape[-2] if split == "even" else ranks_per_node)
    per_copy = node_service(copies, split) * loads[..., None, :] / np.maximum(copies, 1)
    node = np.arange(placed.shape[-2]) // (placed.shape[-2] // copies.shape[-2])
    return np.asarray(np.take_along_axis(per_copy[..., node, :], placed, axis=-1).sum(axis=-1))


def node_copies(placed: Ints, experts: int, ranks_per_node: int) -> Ints:
    """Copies of each expert on each node (..., nodes, experts)."""
    *lead, ranks, slots = placed.shape
    if ranks_per_node < 1 or ranks % ranks_per_node:
        raise BadInput(f"{ranks} ranks are not whole nodes of {ranks_per_node} ranks")
    nodes = ranks // ranks_per_node
    held = placed.reshape(-1, nodes, ranks_per_node * slots)
    offset = np.arange(held.shape[0] * nodes).reshape(-1, nodes, 1) * experts
    counted = np.bincount((held + offset).ravel(), minlength=held.shape[0] * nodes * experts)
    return counted.reshape(*lead, nodes, experts)


def node_service(copies: Ints, split: Split) -> Floats:
    """Share of an expert's tokens served on each node (..., nodes, experts); sums to 1 over the nodes.

    Parameters
    ----------
    copies: copies of each expert on each node (..., nodes, experts).
    """
    even = copies / np.maximum(copies.sum(axis=-2, keepdims=True), 1)
    if split == "even":
        return np.asarray(even, Float)
    local = copies > 0
    nodes = copies.shape[-2]
    homeless = 1.0 - local.sum(axis=-2, keepdims=True) / nodes
    return np.asarray(local / nodes + homeless * even)


def hottest_over_mean(placed: Ints, loads: Floats, split: Split = "even", ranks_per_node: int = 0) -> Floats:
    """Load of the hottest rank over the mean rank load (...)."""
    by_rank = rank_loads(placed, loads, split, ranks_per_node)
    return np.asarray(by_rank.max(axis=-1) / by_rank.mean(axis=-1))
