"""Two slots a rank: the best replica counts, settled by CP-SAT."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import numpy as np

from solver.errors import SolverDefect
from solver.experts.arrays import Floats, Int, Ints
from solver.experts.bounds.certificate import MARGIN, Certificate, copy_range
from solver.experts.bounds.count_program import CountProgram
from solver.experts.bounds.forced import forced
from solver.experts.bounds.prices import STEP_SLOTS, each_price, thresholds
from solver.experts.scale import require_row

MOST_CHALLENGES = 40


def settle_counts(
    loads: Floats, ranks: int, counts: Ints, bound: Certificate, tolerance: float, deterministic_limit: float
) -> tuple[Ints, Certificate]:
    """Challenge the counts with ever lower limits until CP-SAT proves that none lower than ``tolerance`` can be kept.

    With two slots a rank the conditions are exact for given counts (copies of one expert may still have to swap
    partners to stand apart), so what remains is the choice of counts.
    """
    reached = forced(loads, counts, STEP_SLOTS)
    for _ in range(MOST_CHALLENGES):
        limit = reached * (1 - tolerance)
        if limit <= bound.limit:
            break
        most = copy_range(loads, limit, ranks, STEP_SLOTS)[1]
        everything = np.ones((len(loads), max(1, int(most.max()))), np.bool_)
        program = CountProgram.at(limit, loads, ranks, STEP_SLOTS, useful=everything)
        found = "none" if program is None else whole_counts(program, deterministic_limit)
        if isinstance(found, str):
            if found == "none":
                bound = Certificate(limit * (1 - MARGIN), "search")
            break
        value = forced(loads, found, STEP_SLOTS)
        if value >= reached:
            break
        counts, reached = found, value
    return counts, bound


def whole_counts(stated: CountProgram, deterministic_limit: float) -> Ints | Literal["none", "unknown"]:
    """Counts (experts,) among the options that keep every condition.

    ``none``: proven that no choice of options does. ``unknown``: the limit came first.
    """
    from ortools.sat.python import cp_model

    expert, position = np.nonzero(stated.options)
    copies = position + 1
    rows = _whole_rows(stated, expert, copies)
    program = cp_model.CpModel()
    choice = [program.new_bool_var(f"e{e} k{k}") for e, k in zip(expert, copies, strict=True)]
    start = np.searchsorted(expert, np.arange(len(stated.loads) + 1)).tolist()
    for first, last in pairwise(start):
        program.add_exactly_one(choice[first:last])
    places = stated.ranks * stated.slots
    program.add(cp_model.LinearExpr.weighted_sum(choice, copies.tolist()) == places)
    for row in rows:
        used = np.flatnonzero(row)
        program.add(cp_model.LinearExpr.weighted_sum([choice[i] for i in used], row[used].tolist()) <= 0)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.max_deterministic_time = deterministic_limit
    name = solver.status_name(solver.solve(program))
    if name == "MODEL_INVALID":
        raise SolverDefect("the program of replica counts is invalid")
    if name in ("INFEASIBLE", "UNKNOWN"):
        return "none" if name == "INFEASIBLE" else "unknown"
    return copies[[number for number, variable in enumerate(choice) if solver.value(variable)]]


def _whole_rows(stated: CountProgram, expert: Ints, copies: Ints) -> Ints:
    """The conditions with whole coefficients (conditions, options), which only the steps have."""
    load = stated.loads[expert] / copies
    prices = each_price(load, stated.limit, stated.slots, thresholds(load, stated.limit, stated.slots))
    rows = np.rint(copies * prices).astype(Int)
    if np.abs(rows - copies * prices).max(initial=0.0) > MARGIN:
        raise SolverDefect("only the conditions for two slots a rank have whole coefficients")
    require_row(max(copies.sum(), np.abs(rows).sum(axis=1).max(initial=0)), "condition on replica counts")
    return rows
