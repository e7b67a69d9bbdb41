"""The solver bug that the pin of ortools guards against (google/or-tools #5293).

CP-SAT 9.15 drops the enforcement literal of a row that shares an at-most-one with it when the row's Booleans could sum
past 2^31, and then certifies a wrong optimum. If this test ever fails, the pin was moved to a release that has the bug.
"""

from __future__ import annotations

import itertools
import random

import pytest
from ortools.sat.python import cp_model

from solver.optimize.arithmetic.integers import MOST_ACTIVITY

Program = tuple[list[int], list[tuple[int, list[int], int]], list[list[int]]]


def random_program(rng: random.Random, scale: int = 1) -> Program:
    """Profits of a few Booleans, rows that hold where another Boolean is 1, and groups of which one at most is 1."""
    count = rng.randint(5, 8)
    profits = [rng.randint(1, 50) for _ in range(count)]
    rows = []
    for _ in range(rng.randint(1, 3)):
        weights = [rng.choice([0, rng.randint(2**29, 2**31)]) * rng.choice([1, 1, 1, -1]) * scale for _ in range(count)]
        rows.append((rng.randrange(count), weights, rng.randint(2**28, 2**32) * scale))
    groups = [sorted(rng.sample(range(count), rng.randint(2, 4))) for _ in range(rng.randint(1, 3))]
    return profits, rows, groups


def exhaustive(program: Program) -> int:
    """The optimum by trying every assignment; all zeros are always feasible."""
    profits, rows, groups = program
    best = 0
    for values in itertools.product((0, 1), repeat=len(profits)):
        kept = all(
            not values[switch] or sum(w * v for w, v in zip(weights, values, strict=True)) <= limit
            for switch, weights, limit in rows
        )
        if kept and all(sum(values[i] for i in group) <= 1 for group in groups):
            best = max(best, sum(p * v for p, v in zip(profits, values, strict=True)))
    return best


def certified(program: Program) -> int:
    """The optimum that CP-SAT certifies."""
    profits, rows, groups = program
    model = cp_model.CpModel()
    choices = [model.new_bool_var(f"x{i}") for i in range(len(profits))]
    for switch, weights, limit in rows:
        model.add(cp_model.LinearExpr.weighted_sum(choices, weights) <= limit).only_enforce_if(choices[switch])
    for group in groups:
        model.add_at_most_one(choices[i] for i in group)
    model.maximize(cp_model.LinearExpr.weighted_sum(choices, profits))
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    assert solver.solve(model) == cp_model.OPTIMAL
    return round(solver.objective_value)


@pytest.mark.parametrize("scale", [1, 2**11])
def test_certified_optima_are_optimal_beyond_32_bits(scale: int) -> None:
    """Up to the largest activity that rows may have, and the sums of eight weights of 2^31 reach 2^34."""
    assert 2 * MOST_ACTIVITY <= 2**34 * 2**11
    rng = random.Random(5293)
    for number in range(600):
        program = random_program(rng, scale)
        assert certified(program) == exhaustive(program), number
