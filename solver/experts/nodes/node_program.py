"""Copies to nodes: the least traffic between nodes for a given balance (GLOP for the bound, CP-SAT for the answer)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from solver.experts.arrays import Bools, Floats, Int, Ints
from solver.experts.grid import SlotGrid
from solver.experts.nodes.patterns import CopyPatterns
from solver.experts.scale import SCALE, down, require_row, up
from solver.glop import WAYS, LinearModel

SPREADING = 1e-3
"""Weight of the heaviest copies beside the traffic: among equal traffic, prefer what packs well on ranks."""
MARGINS = (5e-4, 2e-3, 1e-2, np.inf)
"""Reduced costs up to which patterns enter the whole-number program, in shares of tokens; wider where that fails."""
DETERMINISTIC_LIMIT = 0.4
"""CP-SAT's deterministic time for one program, about seconds; the last, which holds all patterns, has five times that."""
GAP = 3e-4
"""Share of tokens within which CP-SAT may stop."""


@dataclass(frozen=True)
class NodeAnswer:
    """Copies of each expert on each node.

    Attributes
    ----------
    copies: (experts, nodes).
    far_share: share of tokens served away from their home node.
    far_bound: least share that any choice of these patterns needs, proven by the duals.
    """

    copies: Ints
    far_share: float
    far_bound: float


def at_home(loads: Floats, home: Ints, grid: SlotGrid) -> NodeAnswer | None:
    """All copies on the home node of their expert, the heaviest repeated: no traffic, whatever the balance.

    Parameters
    ----------
    loads, home: of each expert (experts,).

    None where a node has more or fewer experts than its places can hold.
    """
    copies = np.zeros((len(loads), grid.nodes), Int)
    for node in range(grid.nodes):
        own = np.flatnonzero(home == node)
        spare = grid.places_per_node - len(own)
        if spare < 0 or spare > len(own) * (grid.ranks_per_node - 1):
            return None
        count = np.ones(len(own))
        for _ in range(spare):
            count[np.where(count < grid.ranks_per_node, loads[own] / count, -1.0).argmax()] += 1
        copies[own, node] = count
    return NodeAnswer(copies, 0.0, 0.0)


@dataclass(frozen=True)
class NodeProgram:
    """One pattern for each expert; every node full; no node above ``1 + slack`` of the mean; little traffic.

    Attributes
    ----------
    slack: how far above the mean a node may be loaded.
    """

    patterns: CopyPatterns
    grid: SlotGrid
    slack: float

    @property
    def costs(self) -> Floats:
        """Traffic of each pattern as a share of all tokens, and a little for heavy copies."""
        heavy = self.patterns.heaviest**2 * self.patterns.copies.sum(axis=1)
        return np.asarray((self.patterns.far + SPREADING * heavy) / self.grid.ranks)

    def solve(self) -> NodeAnswer | None:
        """None where no choice of patterns keeps the slack."""
        relaxed = self._relax()
        if relaxed is None:
            return None
        reduced, least_cost, far_bound = relaxed
        for margin in MARGINS:
            limit = DETERMINISTIC_LIMIT * (5 if margin == MARGINS[-1] else 1)
            chosen = self._choose(reduced <= margin, least_cost, limit)
            if chosen is not None:
                far = self.patterns.far[chosen].sum() / self.grid.ranks
                return NodeAnswer(self.patterns.copies[chosen], float(far), far_bound)
        return None

    def _relax(self) -> tuple[Floats, float, float] | None:
        """Reduced cost of each pattern (patterns,), least cost and least traffic; None if even fractions do not fit.

        The bounds are weak duality from the duals alone, and hold whatever the error of the duals. To bound traffic,
        every expert is charged its largest possible preference for light copies.
        """
        them, nodes = self.patterns, self.grid.nodes
        limit = self.grid.ranks_per_node * (1 + self.slack)
        program = LinearModel()
        choice = program.variables(0.0, np.inf, self.costs)
        over = program.variables(0.0, np.inf, np.ones(1))
        start = np.searchsorted(them.expert, np.arange(them.expert[-1] + 2))
        for first, last in pairwise(start):
            program.row(1.0, 1.0, choice[first:last], np.ones(last - first))
        rows = []
        for node in range(nodes):
            used = np.flatnonzero(them.copies[:, node])
            places = float(self.grid.places_per_node)
            rows.append(program.row(places, places, choice[used], them.copies[used, node].astype(float)))
        for node in range(nodes):
            used = np.flatnonzero(them.served[:, node])
            terms = np.append(choice[used], over)
            rows.append(program.row(-np.inf, limit, terms, np.append(them.served[used, node], -1.0)))
        answer = program.best(ways=WAYS[1:])
        if answer is None or answer.values[over[0]] > 1e-6 * limit:
            return None
        fill, load = answer.duals[rows[:nodes]], np.minimum(0.0, answer.duals[rows[nodes:]])
        usage = them.copies @ fill + them.served @ load
        priced = self.costs - usage
        cheapest = np.minimum.reduceat(priced, start[:-1])
        preference = np.maximum.reduceat(self.costs - them.far / self.grid.ranks, start[:-1])
        least = float(cheapest.sum() + fill.sum() * self.grid.places_per_node + load.sum() * limit)
        return priced - cheapest[them.expert], least, max(0.0, least - float(preference.sum()))

    def _choose(self, kept: Bools, least_cost: float, seconds: float) -> Ints | None:
        """The best pattern of each expert (experts,) among those kept; None if CP-SAT finds none in its limit.

        The bound of the relaxation is told to CP-SAT, which stops as soon as it is near enough.
        """
        from ortools.sat.python import cp_model

        them, at = self.patterns, np.flatnonzero(kept)
        cost = down(self.costs[at] * SCALE)
        served = up(them.served[at] / self.grid.ranks_per_node * SCALE)
        limit = int(down(np.array((1 + self.slack) * SCALE)))
        require_row(max(served.sum(axis=0).max(), cost.sum()), "load of a node")
        program = cp_model.CpModel()
        choice = [program.new_bool_var(f"e{expert}") for expert in them.expert[at]]
        start = np.searchsorted(them.expert[at], np.arange(them.expert[-1] + 2)).tolist()
        for first, last in pairwise(start):
            program.add_exactly_one(choice[first:last])
        for node in range(self.grid.nodes):
            copies = them.copies[at, node].tolist()
            program.add(cp_model.LinearExpr.weighted_sum(choice, copies) == self.grid.places_per_node)
            program.add(cp_model.LinearExpr.weighted_sum(choice, served[:, node].tolist()) <= limit)
        total = cp_model.LinearExpr.weighted_sum(choice, cost.tolist())
        program.add(total >= int(down(np.array(least_cost * SCALE))) - len(start))
        program.minimize(total)
        solver = cp_model.CpSolver()
        solver.parameters.num_workers = 1
        solver.parameters.max_deterministic_time = seconds
        solver.parameters.absolute_gap_limit = GAP * SCALE
        if solver.status_name(solver.solve(program)) not in ("OPTIMAL", "FEASIBLE"):
            return None
        return at[[number for number, variable in enumerate(choice) if solver.value(variable)]]
