"""Home nodes: the node on which the tokens of an expert start."""

from __future__ import annotations

import numpy as np

from solver.errors import BadInput
from solver.experts.arrays import Floats, Int, Ints
from solver.experts.grid import SlotGrid
from solver.experts.packing.pack import SwapBudget, pack


def group_homes(loads: Floats, grid: SlotGrid, groups: int) -> Ints:
    """Give every node the same number of whole expert groups, so that the nodes are as even as groups allow.

    LLMs that limit a token to a few groups of experts (DeepSeek-V3: 8 groups of 32, 4 for a token) send it to few
    nodes if each group lives on one.

    Parameters
    ----------
    loads: load of each expert (layers, experts); groups are successive experts.
    groups: number of groups, a multiple of the number of nodes.

    Returns
    -------
    home node of each expert (layers, experts).
    """
    experts = loads.shape[1]
    if groups < 1 or experts % groups or groups % grid.nodes:
        raise BadInput(
            f"{experts} experts in {groups} groups cannot be spread evenly over {grid.nodes} nodes; "
            f"the number of groups must divide {experts} and be a multiple of {grid.nodes}; without --groups experts are "
            "spread singly where they must be"
        )
    return _packed(loads, grid, groups)


def single_homes(loads: Floats, grid: SlotGrid) -> Ints:
    """Give every node as many experts as the others, or one fewer, so that the nodes are even.

    Returns
    -------
    home node of each expert (layers, experts).
    """
    layers, experts = loads.shape
    most = np.full(grid.nodes, experts // grid.nodes)
    most[: experts % grid.nodes] += 1
    home = np.empty((layers, experts), Int)
    for layer in range(layers):
        carried, held = np.zeros(grid.nodes), np.zeros(grid.nodes, Int)
        for expert in np.argsort(-loads[layer], kind="stable"):
            node = int(np.where(held < most, carried, np.inf).argmin())
            home[layer, expert] = node
            carried[node] += loads[layer, expert]
            held[node] += 1
    return home


def _packed(loads: Floats, grid: SlotGrid, groups: int) -> Ints:
    """Home node of each expert, those of a group together (layers, experts)."""
    layers, experts = loads.shape
    group_load = loads.reshape(layers, groups, -1).sum(axis=2)
    each = groups // grid.nodes
    target = group_load.sum(axis=1) / grid.nodes
    placed = pack(group_load, np.ones((layers, groups), Int), grid.nodes, each, target, SwapBudget())
    node_of_group = np.empty((layers, groups), Int)
    nodes = np.broadcast_to(np.arange(grid.nodes)[:, None], placed.shape[1:])
    for layer in range(layers):
        node_of_group[layer, placed[layer]] = nodes
    return np.repeat(node_of_group, experts // groups, axis=1)
