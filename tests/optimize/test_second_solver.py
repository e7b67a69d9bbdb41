"""HiGHS agrees with CP-SAT on the very programs that CP-SAT was given, and on the twin's bound."""

from __future__ import annotations

import numpy as np
import pytest
from instances import random_market
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import lil_matrix

from solver.optimize.arithmetic.integers import IntegerProgram, integerise
from solver.optimize.arithmetic.run import Effort, run
from solver.optimize.layout.write import write
from solver.space.dominance import undominated


def highs(program: IntegerProgram) -> float | None:
    """Optimal objective of an integer program by HiGHS, in steps; None if infeasible."""
    count = len(program.names)
    cost = np.zeros(count)
    for index, factor in program.objective:
        cost[index] = -factor if program.maximise else factor
    matrix = lil_matrix((len(program.rows), count))
    low, high = np.full(len(program.rows), -np.inf), np.full(len(program.rows), np.inf)
    for number, row in enumerate(program.rows):
        scale = max((abs(factor) for _, factor in row.terms), default=1) / 2**20 if row.terms else 1.0
        for index, factor in row.terms:
            matrix[number, index] = factor / scale
        low[number] = -np.inf if row.low is None else row.low / scale
        high[number] = np.inf if row.high is None else row.high / scale
    bounds = Bounds([b[0] for b in program.bounds], [b[1] for b in program.bounds])
    found = milp(
        cost, constraints=LinearConstraint(matrix.tocsr(), low, high), bounds=bounds, integrality=np.ones(count)
    )
    if found.status == 2:
        return None
    assert found.status == 0, found.message
    return -found.fun if program.maximise else found.fun


@pytest.mark.parametrize("optimistic", [False, True], ids=["realised", "twin"])
@pytest.mark.parametrize("block", range(6))
def test_two_solvers_agree(block: int, optimistic: bool) -> None:
    for seed in range(1000 + block * 10, 1010 + block * 10):
        market, columns = random_market(seed)
        columns = undominated(columns)
        if not columns:
            continue
        program = integerise(write(market, columns, optimistic).linear, optimistic)
        answer = run(program, Effort(time_limit_s=120, workers=1))
        expected = highs(program)
        if expected is None:
            assert answer.status == "infeasible", seed
        else:
            assert answer.objective is not None, seed
            # HiGHS keeps rows to 1e-6 of their scale; one step of the rounding is the most that can shift.
            assert answer.objective == pytest.approx(expected, rel=2e-6, abs=1), seed
            assert answer.bound == pytest.approx(answer.objective), seed
