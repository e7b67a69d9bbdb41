"""The greedy balancer of DeepSeek (EPLB), for comparison: written from its published description.

Hierarchical, where the nodes divide the expert groups: pack whole groups on nodes, replicate the experts of each node,
pack the copies on its devices. Otherwise the same with one group and one node. Packing takes the heaviest first and
gives it to the lightest pack that still has room; replication gives the next copy to the expert with most load a copy.
Nothing keeps two copies of an expert off one device.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def eplb(
    weight: npt.NDArray[np.float64], replicas: int, groups: int, nodes: int, devices: int
) -> npt.NDArray[np.int64]:
    """Expert in each slot (layers, replicas), successive slots on one device, of loads (layers, experts)."""
    if groups % nodes:
        groups, nodes = 1, 1
    return np.array([_layer(row.tolist(), replicas, groups, nodes, devices) for row in weight])


def _layer(weight: list[float], replicas: int, groups: int, nodes: int, devices: int) -> list[int]:
    size = len(weight) // groups
    group_weight = [sum(weight[g * size : (g + 1) * size]) for g in range(groups)]
    slots = []
    for held in _pack(group_weight, nodes):
        experts = [g * size + e for g in held for e in range(size)]
        copies = _replicate([weight[e] for e in experts], replicas // nodes)
        count = [copies.count(e) for e in range(len(experts))]
        load = [weight[experts[e]] / count[e] for e in copies]
        for device in _pack(load, devices // nodes):
            slots += [experts[copies[copy]] for copy in device]
    return slots


def _pack(weight: list[float], packs: int) -> list[list[int]]:
    """Items of each pack, equally many, in the order in which they were given."""
    room = len(weight) // packs
    if room == 1:
        return [[item] for item in range(packs)]
    held: list[list[int]] = [[] for _ in range(packs)]
    load = [0.0] * packs
    for item in sorted(range(len(weight)), key=lambda item: -weight[item]):
        pack = min((p for p in range(packs) if len(held[p]) < room), key=load.__getitem__)
        held[pack].append(item)
        load[pack] += weight[item]
    return held


def _replicate(weight: list[float], copies: int) -> list[int]:
    """Expert of each copy: every expert once, then the extra ones in the order in which they were given."""
    count = [1] * len(weight)
    owner = list(range(len(weight)))
    for _ in range(copies - len(weight)):
        expert = max(range(len(weight)), key=lambda e: weight[e] / count[e])
        count[expert] += 1
        owner.append(expert)
    return owner
