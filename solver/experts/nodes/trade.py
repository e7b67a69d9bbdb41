"""Balance against traffic between nodes: a set of placements from which a cost model can choose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from solver.errors import BadInput
from solver.experts.arrays import Bools, Floats, Int, Ints
from solver.experts.expert_map import ExpertMap
from solver.experts.grid import SlotGrid
from solver.experts.loads import Loads
from solver.experts.nodes.homes import group_homes
from solver.experts.nodes.nearest import pack_nodes
from solver.experts.nodes.node_program import NodeAnswer, NodeProgram, at_home
from solver.experts.nodes.patterns import patterns
from solver.experts.packing.pack import SwapBudget
from solver.experts.splits import hottest_over_mean

SLACKS = (0.01, 0.05, 0.15, 0.4, np.inf)
"""How far above the mean a node may be loaded; the last keeps every token at home if the slots allow."""

Price = Callable[[float, float], float]
"""``price(imbalance, far_share)`` in seconds: what a layer costs with this hottest rank over mean and this share of
tokens served off their home node."""


@dataclass(frozen=True, eq=False)
class TradePoint:
    """One placement of all layers.

    Attributes
    ----------
    imbalance: hottest over mean rank (layers,).
    far_share: share of tokens served off their home node (layers,).
    far_bound: least such share for the balance of the nodes asked for (layers,).
    """

    map: ExpertMap
    imbalance: Floats
    far_share: Floats
    far_bound: Floats


@dataclass(frozen=True, eq=False)
class TradeCurve:
    """Placements from well balanced to little traffic.

    Attributes
    ----------
    slacks: of the nodes, one for each point.
    home: home node of each expert (layers, experts).
    """

    points: tuple[TradePoint, ...]
    slacks: tuple[float, ...]
    home: Ints

    def pareto(self) -> Bools:
        """Which points no other point of the layer beats in both imbalance and traffic (points, layers)."""
        imbalance = np.stack([point.imbalance for point in self.points])
        far = np.stack([point.far_share for point in self.points])
        no_worse = (imbalance[:, None] <= imbalance) & (far[:, None] <= far)
        better = (imbalance[:, None] < imbalance) | (far[:, None] < far)
        return np.asarray(~(no_worse & better).any(axis=0))

    def cheapest(self, price: Price) -> TradePoint:
        """For every layer the point of least price, as one placement."""
        cost = np.array(
            [
                [price(float(imbalance), float(far)) for imbalance, far in zip(p.imbalance, p.far_share, strict=True)]
                for p in self.points
            ]
        )
        chosen = cost.argmin(axis=0)
        layer = np.arange(len(chosen))
        first = self.points[0].map
        slots = np.stack([point.map.slots for point in self.points])[chosen, layer]
        imbalance, far_share, far_bound = (
            np.stack(values)[chosen, layer]
            for values in zip(*[(p.imbalance, p.far_share, p.far_bound) for p in self.points], strict=True)
        )
        merged = ExpertMap(slots, first.experts, first.moe_layers, first.layers)
        return TradePoint(merged, imbalance, far_share, far_bound)


def trade_off(
    loads: Loads,
    grid: SlotGrid,
    groups: int | None = None,
    home: Ints | None = None,
    slacks: Sequence[float] = SLACKS,
    effort: SwapBudget | None = None,
) -> TradeCurve:
    """Place every layer once for each slack: least traffic for that balance of nodes, then ranks within each node.

    Parameters
    ----------
    loads: of several profiles the weighted mean counts; copies share their expert's tokens evenly.
    groups: expert groups that should live on one node; homes are then chosen for balance.
    home: home nodes instead of groups, (experts,) or (MoE layers, experts), for example from co-activation.
    """
    grid.require_room(loads.experts)
    if not slacks or min(slacks) <= 0:
        raise BadInput("the balance of nodes needs slacks above 0, for example 0.01")
    share = loads.mean_shares() * grid.ranks
    if (groups is None) == (home is None):
        raise BadInput("give either expert groups or home nodes")
    homes = group_homes(share, grid, groups) if groups is not None else _checked(home, loads, grid)
    loosest_first = sorted(range(len(slacks)), key=lambda number: -slacks[number])
    found: dict[int, TradePoint] = {}
    looser: list[NodeAnswer] | None = None
    for number in loosest_first:
        looser = _answers(loads, share, homes, grid, slacks[number], looser)
        found[number] = _point(loads, share, looser, grid, effort or SwapBudget())
    return TradeCurve(tuple(found[number] for number in range(len(slacks))), tuple(slacks), homes)


def _answers(
    loads: Loads, share: Floats, home: Ints, grid: SlotGrid, slack: float, looser: list[NodeAnswer] | None
) -> list[NodeAnswer]:
    """Copies on nodes for each layer; where no choice keeps the slack, what a looser one gave."""
    answers = []
    for number, (load, node) in enumerate(zip(share, home, strict=True)):
        lying = patterns(load, node, grid, "even")
        answer = NodeProgram(lying, grid, min(slack, float(grid.nodes))).solve()
        if answer is None and looser is not None:
            answer = looser[number]
        answer = answer or at_home(load, node, grid)
        if answer is None:
            raise BadInput(
                f"layer {loads.moe_layers[number]}: no placement was found that fills {grid.nodes} nodes of "
                f"{grid.places_per_node} places; use other --slots or --ranks-per-node, or other --groups"
            )
        answers.append(answer)
    return answers


def _point(loads: Loads, share: Floats, answers: Sequence[NodeAnswer], grid: SlotGrid, effort: SwapBudget) -> TradePoint:
    on_nodes = np.stack([answer.copies.T for answer in answers])
    service = on_nodes / on_nodes.sum(axis=1, keepdims=True)
    placed = pack_nodes(share, on_nodes, service, grid, effort)
    far_share, far_bound = np.array([(answer.far_share, answer.far_bound) for answer in answers]).T
    fresh = ExpertMap(placed, loads.experts, loads.moe_layers, loads.layers)
    return TradePoint(fresh, hottest_over_mean(placed, share), far_share, far_bound)


def _checked(home: Ints | None, loads: Loads, grid: SlotGrid) -> Ints:
    given = np.asarray(home, Int)
    shape = (len(loads.moe_layers), loads.experts)
    if given.shape not in (shape, shape[1:]) or given.min() < 0 or given.max() >= grid.nodes:
        raise BadInput(f"home nodes need the shape {shape} or {shape[1:]} and values from 0 to {grid.nodes - 1}")
    return np.broadcast_to(given, shape)
