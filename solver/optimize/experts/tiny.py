"""Placements small enough for CP-SAT to settle: counts and ranks decided together."""

from __future__ import annotations

import numpy as np

from solver.errors import SolverDefect
from solver.optimize.experts.arrays import Floats, Int, Ints
from solver.optimize.experts.bounds.certificate import Certificate
from solver.optimize.experts.grid import SlotGrid
from solver.optimize.experts.scale import SCALE, down, require_row

TINY_PLACES = 24
"""Places (ranks x slots) up to which a layer is worth the exact program."""
DETERMINISTIC_LIMIT = 20.0
"""CP-SAT's deterministic time, about seconds."""


def place_tiny(loads: Floats, grid: SlotGrid, start: Ints, bound: Certificate) -> tuple[Ints, float, Certificate]:
    """Best slots of one layer from a good start, its hottest rank, and the better of the old and the new bound.

    Parameters
    ----------
    loads: load of each expert (experts,).
    start: expert in each slot (ranks, slots); handed to CP-SAT as a complete hint.

    Notes
    -----
    ``here[e, r, k]`` says that rank r holds one of k copies of expert e; its load there, ``loads[e] / k`` in integer
    units, is rounded down, so that the bound holds for the true loads. The slots' true load is computed afterwards.
    """
    from ortools.sat.python import cp_model

    experts, ranks = len(loads), grid.ranks
    most = min(ranks, grid.places - experts + 1)
    unit = loads.sum() / SCALE
    weight = down(loads[:, None] / np.arange(1, most + 1) / unit)
    require_row(weight.sum() + SCALE, "hottest rank of a tiny placement")

    program = cp_model.CpModel()
    hottest = program.new_int_var(0, SCALE, "hottest")
    count = [[program.new_bool_var(f"e{e} k{k + 1}") for k in range(most)] for e in range(experts)]
    here = [
        [[program.new_bool_var(f"e{e} r{r} k{k + 1}") for k in range(most)] for r in range(ranks)]
        for e in range(experts)
    ]
    for e in range(experts):
        program.add_exactly_one(count[e])
        for k in range(most):
            program.add(sum(here[e][r][k] for r in range(ranks)) == (k + 1) * count[e][k])
    for r in range(ranks):
        program.add(sum(here[e][r][k] for e in range(experts) for k in range(most)) == grid.slots)
        load = sum(int(weight[e, k]) * here[e][r][k] for e in range(experts) for k in range(most))
        program.add(load <= hottest)
    program.minimize(hottest)

    present = (start[:, :, None] == np.arange(experts)).any(axis=1)
    copies = present.sum(axis=0)
    for e in range(experts):
        for k in range(most):
            program.add_hint(count[e][k], bool(copies[e] == k + 1))
            for r in range(ranks):
                program.add_hint(here[e][r][k], bool(present[r, e] and copies[e] == k + 1))
    program.add_hint(hottest, int((weight[np.arange(experts), copies - 1] * present).sum(axis=1).max()))

    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.max_deterministic_time = DETERMINISTIC_LIMIT
    status = solver.solve(program)
    if solver.status_name(status) not in ("OPTIMAL", "FEASIBLE"):
        raise SolverDefect(f"CP-SAT ended a tiny expert placement with {solver.status_name(status)}")
    held = np.array([[any(solver.value(v) for v in here[e][r]) for e in range(experts)] for r in range(ranks)])
    found = np.array([np.flatnonzero(row) for row in held], Int)
    limit = float(np.ceil(solver.best_objective_bound - 1e-6)) * unit
    if limit > bound.limit:
        bound = Certificate(limit, "search")
    best = min((start, found), key=lambda slots: _hottest(loads, slots))
    return best, _hottest(loads, best), bound


def _hottest(loads: Floats, slots: Ints) -> float:
    copies = np.bincount(slots.ravel(), minlength=len(loads))
    return float((loads / copies)[slots].sum(axis=1).max())
