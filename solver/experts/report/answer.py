"""Placement, drift, nodes and re-balancing of one question, computed together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from solver.errors import BadInput
from solver.experts.drift import DriftReport, drift_report
from solver.experts.expert_map import ExpertMap
from solver.experts.files.engine_maps import read_map
from solver.experts.loads import Loads
from solver.experts.nodes.homes import single_homes
from solver.experts.nodes.trade import TradeCurve, TradePoint, trade_off
from solver.experts.place import ExpertPlacement, place_experts
from solver.experts.rebalance import Rebalanced, rebalance
from solver.experts.report.question import Question

Progress = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Nodes:
    """Balance against traffic between nodes, and the point that was chosen where a limit on traffic was given."""

    curve: TradeCurve
    chosen: TradePoint | None


@dataclass(frozen=True, eq=False)
class PlacementReport:
    """What was found.

    Attributes
    ----------
    placement: balance alone, with certificates.
    drift: None for a single profile.
    nodes: None where nodes were not asked about.
    current: the map in use; rebalanced: what became of it; None without one.
    budget_copies: copies that re-balancing was allowed to send.
    """

    question: Question
    loads: Loads
    placement: ExpertPlacement
    drift: DriftReport | None
    nodes: Nodes | None
    current: ExpertMap | None
    rebalanced: Rebalanced | None
    budget_copies: int

    @property
    def map(self) -> ExpertMap:
        """The map to run: re-balanced from the one in use, within the traffic allowed, or of the best balance."""
        if self.rebalanced is not None:
            return self.rebalanced.map
        if self.nodes is not None and self.nodes.chosen is not None:
            return self.nodes.chosen.map
        return self.placement.map

    @property
    def recovered(self) -> float | None:
        """Share of the loss against a fresh placement that re-balancing won back; None where there was no loss."""
        if self.current is None or self.rebalanced is None:
            return None
        fresh, before, after = (self._objective(m) for m in (self.placement.map, self.current, self.rebalanced.map))
        return (before - after) / (before - fresh) if before > fresh * (1 + 1e-9) else None

    def _objective(self, placed: ExpertMap) -> float:
        return float((self.loads.weights @ placed.imbalance(self.loads)).mean())


def answer(question: Question, loads: Loads, progress: Progress = lambda _: None) -> PlacementReport:
    """Place the experts and whatever else was asked.

    Raises
    ------
    BadInput: the experts do not fit, the map in use is of another shape, or no placement keeps the limit on traffic.
    """
    grid = question.grid
    grid.require_room(loads.experts)
    current = None if question.current is None else _in_use(question.current, question, loads)
    progress("placing")
    placement = place_experts(loads, grid)
    drift = None
    if loads.profiles > 1:
        progress("running every profile on every placement")
        drift = drift_report(loads, grid, leave_one_out=question.leave_one_out)
    nodes = None
    if question.by_node:
        progress("trading balance against traffic between nodes")
        nodes = _nodes(question, loads)
    budget = 0 if current is None else question.budget.copies(current.slots.size)
    rebalanced = None if current is None else rebalance(current, loads, budget)
    return PlacementReport(question, loads, placement, drift, nodes, current, rebalanced, budget)


def _in_use(path: Path, question: Question, loads: Loads) -> ExpertMap:
    """The map in use, which must be one of this grid and these experts."""
    found = read_map(path, question.grid.ranks, moe_layers=loads.moe_layers)
    if (found.grid.slots, found.experts) != (question.grid.slots, loads.experts):
        raise BadInput(
            f"{path}: the map in use has {found.grid.slots} slots a rank for {found.experts} experts; "
            f"{question.grid.slots} slots a rank and loads of {loads.experts} experts were given"
        )
    return found


def _nodes(question: Question, loads: Loads) -> Nodes:
    grid, groups = question.grid, question.groups
    if groups is None and loads.experts % grid.nodes:
        curve = trade_off(loads, grid, home=single_homes(loads.mean_shares() * grid.ranks, grid))
    else:
        curve = trade_off(loads, grid, groups=grid.nodes if groups is None else groups)
    most = question.most_off_node
    if most is None:
        return Nodes(curve, None)
    chosen = curve.cheapest(lambda imbalance, far: imbalance if far <= most else 1e6 + far)
    if float(chosen.far_share.max()) > most:
        layer = loads.moe_layers[int(chosen.far_share.argmax())]
        raise BadInput(
            f"layer {layer}: no placement was found that serves at most {most:.2%} of the tokens off their home node; "
            f"the nearest serves {float(chosen.far_share.max()):.2%}"
        )
    return Nodes(curve, chosen)
