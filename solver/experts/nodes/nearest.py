"""Placement when tokens go to copies on their own node first."""

from __future__ import annotations

import numpy as np

from solver.experts.arrays import Floats, Ints
from solver.experts.grid import SlotGrid
from solver.experts.packing.counts import water_fill
from solver.experts.packing.pack import SwapBudget, pack
from solver.experts.splits import node_copies, node_service


def place_nearest(loads: Floats, grid: SlotGrid, effort: SwapBudget) -> Ints:
    """Balance ranks under the ``nearest-node`` split: copies over nodes first, then over the ranks of each node.

    The copies of an expert are spread over the nodes as evenly as their number allows. One that every node holds is
    served where its tokens start; one that some node lacks is then served evenly by its copies.

    Parameters
    ----------
    loads: load of each expert (layers, experts).

    Returns
    -------
    expert in each slot (layers, ranks, slots).
    """
    counts = water_fill(loads, grid.places, grid.ranks)
    on_nodes = _over_nodes(loads, counts, grid, effort)
    copies = node_copies(on_nodes, loads.shape[1], 1)
    return pack_nodes(loads, copies, node_service(copies, "nearest-node"), grid, effort)


def pack_nodes(loads: Floats, copies: Ints, service: Floats, grid: SlotGrid, effort: SwapBudget) -> Ints:
    """Assign the copies of every node to its ranks, all nodes of all layers at once (layers, ranks, slots).

    Parameters
    ----------
    loads: load of each expert (layers, experts).
    copies: copies on each node (layers, nodes, experts); each node's sum fills its slots.
    service: share of each expert's tokens that each node serves (layers, nodes, experts).
    """
    layers, nodes, experts = copies.shape
    copy_load = (loads[:, None] * service / np.maximum(copies, 1)).reshape(-1, experts)
    counts = copies.reshape(-1, experts)
    by_node = (copy_load * counts).sum(axis=1).reshape(layers, nodes)
    target = np.repeat(by_node.max(axis=1), nodes) / grid.ranks_per_node * (1 + effort.tolerance)
    placed = pack(copy_load, counts, grid.ranks_per_node, grid.slots, target, effort)
    return placed.reshape(layers, grid.ranks, grid.slots)


def _over_nodes(loads: Floats, counts: Ints, grid: SlotGrid, effort: SwapBudget) -> Ints:
    """Expert of each copy on each node (layers, nodes, copies on a node).

    An expert with ``b * nodes + r`` copies is treated as b experts with one copy on every node, which together carry
    all its load, and one expert with r copies, which carries its load only if b is 0.
    """
    layers, experts = loads.shape
    everywhere, rest = np.divmod(counts, grid.nodes)
    blocks = int(everywhere.max()) + 1
    block = np.arange(blocks)[:, None]
    whole = block < everywhere[:, None]
    parts = np.where(whole, grid.nodes, 0)
    carried = np.where(whole, loads[:, None] / np.maximum(everywhere[:, None] * grid.nodes, 1), 0.0)
    parts[:, -1] = rest
    carried[:, -1] = np.where(everywhere == 0, loads / counts, 0.0)
    target = loads.sum(axis=1) / grid.nodes * (1 + effort.tolerance)
    shape = (layers, blocks * experts)
    placed = pack(carried.reshape(shape), parts.reshape(shape), grid.nodes, grid.places_per_node, target, effort)
    return np.asarray(placed % experts)
