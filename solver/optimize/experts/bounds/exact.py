"""Two slots a rank: the best replica counts, settled by CP-SAT."""

from __future__ import annotations

import numpy as np

from solver.optimize.experts.arrays import Floats, Ints
from solver.optimize.experts.bounds.certificate import MARGIN, Certificate, copy_range
from solver.optimize.experts.bounds.count_program import CountProgram
from solver.optimize.experts.bounds.forced import forced
from solver.optimize.experts.bounds.prices import STEP_SLOTS

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
        found = "none" if program is None else program.whole(deterministic_limit)
        if isinstance(found, str):
            if found == "none":
                bound = Certificate(limit * (1 - MARGIN), "search")
            break
        value = forced(loads, found, STEP_SLOTS)
        if value >= reached:
            break
        counts, reached = found, value
    return counts, bound
