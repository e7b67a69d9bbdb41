"""The solver bug that the pin of ortools guards against (google/or-tools #5293).

CP-SAT 9.15 certifies wrong optima of tiny programs whose rows could sum past 2^31. If this test ever fails, the pin was moved
to a release that has the bug; if the pin is moved and it passes, the bug is gone there.
"""

from __future__ import annotations

import itertools
import random

from ortools.sat.python import cp_model


def random_program(rng: random.Random) -> tuple[list[int], list[tuple[list[int], int]]]:
    """Profits of a few Booleans, and rows with coefficients as large as bytes would make them."""
    count = rng.randint(4, 6)
    rows = []
    for _ in range(rng.randint(1, 3)):
        weights = [rng.randint(2**28, 2**30) * rng.choice([1, 1, -1]) for _ in range(count)]
        rows.append((weights, rng.randint(-(2**30), 2**31)))
    return [rng.randint(1, 50) for _ in range(count)], rows


def exhaustive(profits: list[int], rows: list[tuple[list[int], int]]) -> int | None:
    """The optimum by trying every assignment."""
    best = None
    for values in itertools.product((0, 1), repeat=len(profits)):
        if all(sum(w * v for w, v in zip(weights, values, strict=True)) <= limit for weights, limit in rows):
            profit = sum(p * v for p, v in zip(profits, values, strict=True))
            best = profit if best is None else max(best, profit)
    return best


def test_certified_optima_are_optimal_beyond_32_bits() -> None:
    rng = random.Random(5293)
    for number in range(300):
        profits, rows = random_program(rng)
        model = cp_model.CpModel()
        choices = [model.new_bool_var(f"x{i}") for i in range(len(profits))]
        for weights, limit in rows:
            model.add(cp_model.LinearExpr.weighted_sum(choices, weights) <= limit)
        model.maximize(cp_model.LinearExpr.weighted_sum(choices, profits))
        solver = cp_model.CpSolver()
        solver.parameters.num_workers = 1
        status = solver.solve(model)
        expected = exhaustive(profits, rows)
        if expected is None:
            assert status == cp_model.INFEASIBLE, number
        else:
            assert status == cp_model.OPTIMAL, number
            assert round(solver.objective_value) == expected, number
