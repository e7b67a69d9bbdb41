"""Placements small enough for CP-SAT to settle: counts and rank contents decided together."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from solver.errors import SolverDefect
from solver.experts.arrays import Floats, Ints
from solver.experts.bounds.certificate import Certificate
from solver.experts.grid import SlotGrid
from solver.experts.scale import SCALE, down, require_row

TINY_PLACES, TINY_CONTENTS = 24, 300
"""Places (ranks x slots), and different contents of a rank, up to which a layer is worth the exact program."""
DETERMINISTIC_LIMIT = 1.0
"""CP-SAT's deterministic time, about seconds."""


def is_tiny(experts: int, grid: SlotGrid) -> bool:
    """Whether a layer on this grid is small enough."""
    return grid.places <= TINY_PLACES and math.comb(experts, grid.slots) <= TINY_CONTENTS


def place_tiny(loads: Floats, grid: SlotGrid, start: Ints, bound: Certificate) -> tuple[Ints, float, Certificate]:
    """Best slots of one layer from a good start, its hottest rank, and the better of the old and the new bound.

    Parameters
    ----------
    loads: load of each expert (experts,).
    start: expert in each slot (ranks, slots); handed to CP-SAT as a complete hint.
    """
    program = TinyProgram.of(loads, grid, bound)
    program.hint(start)
    found, limit = program.solve()
    if limit > bound.limit:
        bound = Certificate(limit, "search")
    best = min((start, found), key=lambda slots: _hottest(loads, slots))
    return best, _hottest(loads, best), bound


@dataclass(frozen=True, eq=False)
class TinyProgram:
    """How many ranks hold which set of experts, in integer units of load.

    Ranks are alike, so contents are counted and never assigned to named ranks. The load of a copy depends on the
    count of its expert and is rounded down, so that the bound holds for the true loads.

    Attributes
    ----------
    contents: the sets of experts that a rank may hold (contents, slots).
    weight: load of one of k + 1 copies of an expert, in units (experts, counts).
    unit: load of a unit.
    program: the CP-SAT program; ``count[e][k]``, ``ranks[c]``, ``used[c]`` and ``hottest`` are its variables.
    """

    contents: Ints
    weight: Ints
    unit: float
    program: Any
    count: list[list[Any]]
    ranks: list[Any]
    used: list[Any]
    hottest: Any

    @classmethod
    def of(cls, loads: Floats, grid: SlotGrid, bound: Certificate) -> TinyProgram:
        """State the program; nothing below the known bound is looked for."""
        from ortools.sat.python import cp_model

        experts = range(len(loads))
        most = min(grid.ranks, grid.places - len(loads) + 1)
        contents = np.array(list(itertools.combinations(experts, grid.slots)))
        unit = loads.sum() / SCALE
        weight = down(loads[:, None] / np.arange(1, most + 1) / unit)
        require_row(weight.sum() + SCALE, "load of a rank")
        program = cp_model.CpModel()
        least = max(0, int(down(np.array(bound.limit / unit))) - grid.slots)
        stated = cls(
            contents,
            weight,
            unit,
            program,
            count=[[program.new_bool_var(f"e{e} k{k + 1}") for k in range(most)] for e in experts],
            ranks=[program.new_int_var(0, grid.ranks, f"ranks with {c}") for c in contents.tolist()],
            used=[program.new_bool_var(f"some rank with {c}") for c in contents.tolist()],
            hottest=program.new_int_var(least, SCALE, "hottest"),
        )
        stated._every_copy_stands_on_a_rank()
        stated._ranks_in_use_are_within_the_hottest(grid.ranks)
        program.minimize(stated.hottest)
        return stated

    def _every_copy_stands_on_a_rank(self) -> None:
        for expert, counts in enumerate(self.count):
            self.program.add_exactly_one(counts)
            holding = np.flatnonzero((self.contents == expert).any(axis=1))
            copies = sum((k + 1) * chosen for k, chosen in enumerate(counts))
            self.program.add(sum(self.ranks[c] for c in holding) == copies)

    def _ranks_in_use_are_within_the_hottest(self, ranks: int) -> None:
        self.program.add(sum(self.ranks) == ranks)
        for content, number, used in zip(self.contents, self.ranks, self.used, strict=True):
            self.program.add(number <= ranks * used)
            load = sum(
                int(w) * chosen for e in content for w, chosen in zip(self.weight[e], self.count[e], strict=True)
            )
            self.program.add(load <= self.hottest).only_enforce_if(used)

    def hint(self, start: Ints) -> None:
        """Give CP-SAT a complete placement (ranks, slots)."""
        copies = np.bincount(start.ravel(), minlength=len(self.count))
        held = [tuple(sorted(rank)) for rank in start.tolist()]
        for expert, counts in enumerate(self.count):
            for k, chosen in enumerate(counts):
                self.program.add_hint(chosen, bool(copies[expert] == k + 1))
        for content, number, used in zip(self.contents.tolist(), self.ranks, self.used, strict=True):
            times = held.count(tuple(content))
            self.program.add_hint(number, times)
            self.program.add_hint(used, times > 0)
        own = self.weight[np.arange(len(copies)), copies - 1]
        self.program.add_hint(self.hottest, int(own[start].sum(axis=1).max()))

    def solve(self) -> tuple[Ints, float]:
        """Slots (ranks, slots) and a lower bound on the hottest rank in the unit of the loads."""
        from ortools.sat.python import cp_model

        solver = cp_model.CpSolver()
        solver.parameters.num_workers = 1
        solver.parameters.max_deterministic_time = DETERMINISTIC_LIMIT
        name = solver.status_name(solver.solve(self.program))
        if name not in ("OPTIMAL", "FEASIBLE"):
            raise SolverDefect(f"CP-SAT ended a tiny expert placement with {name}")
        times = [solver.value(number) for number in self.ranks]
        limit = float(np.ceil(solver.best_objective_bound - 1e-6)) * self.unit
        return np.repeat(self.contents, times, axis=0), limit


def _hottest(loads: Floats, slots: Ints) -> float:
    copies = np.bincount(slots.ravel(), minlength=len(loads))
    return float((loads / copies)[slots].sum(axis=1).max())
