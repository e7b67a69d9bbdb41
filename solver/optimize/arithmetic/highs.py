"""HiGHS, through ortools, for programs with large numbers of replicas: CP-SAT is slow where many values are far apart.

HiGHS counts in floats, so its answer is taken only where the whole-number program confirms it, and its bound gives up a
margin. It cannot be told a limit of work, only a gap and a time, so that seeded runs do without it.
"""

from __future__ import annotations

import datetime
import math

from solver.optimize.arithmetic.integers import IntegerProgram
from solver.optimize.arithmetic.linear import LinearProgram
from solver.optimize.arithmetic.relaxation import MARGIN
from solver.optimize.arithmetic.run import Effort, SolverResult

#: Share of the time left that one search may take: what it leaves undecided CP-SAT still has time for.
SHARE_OF_TIME = 0.25


def by_highs(program: LinearProgram, integers: IntegerProgram, effort: Effort) -> SolverResult | None:
    """What HiGHS finds; None where it finds nothing that the whole-number program confirms.

    Parameters
    ----------
    integers: the same program, rounded.
    """
    from ortools.math_opt.python import mathopt

    model = mathopt.Model()
    variables = [model.add_integer_variable(lb=v.low, ub=v.high, name=v.name) for v in program.variables]
    for row in program.rows:
        demand = row.demand
        left = mathopt.fast_sum(variables[v.index] * factor for v, factor in demand.expression.sorted())
        low = -math.inf if demand.low is None else demand.low
        high = math.inf if demand.high is None else demand.high
        model.add_linear_constraint(lb=low, ub=high, expr=left)
    goal = mathopt.fast_sum(variables[v.index] * factor for v, factor in program.objective.sorted())
    model.set_objective(goal, is_maximize=program.maximise)
    limit = datetime.timedelta(seconds=min(effort.seconds * SHARE_OF_TIME, 1e6))
    parameters = mathopt.SolveParameters(time_limit=limit, relative_gap_tolerance=effort.gap)
    parameters.highs.int_options["threads"] = 1
    found = mathopt.solve(model, mathopt.SolverType.HIGHS, params=parameters)
    if not found.has_primal_feasible_solution():
        return None
    values = tuple(round(value) for value in found.variable_values(variables))
    if not confirmed(integers, values):
        return None
    objective = sum(factor * values[index] for index, factor in integers.objective)
    bound = found.best_objective_bound() / integers.unit
    bound += abs(bound) * MARGIN * (1 if integers.maximise else -1)
    optimal = found.termination.reason == mathopt.TerminationReason.OPTIMAL
    return SolverResult("optimal" if optimal else "feasible", values, objective, bound)


def confirmed(program: IntegerProgram, values: tuple[int, ...]) -> bool:
    """Whether values keep every bound and row of a whole-number program, counted in whole numbers."""
    within = all(low <= value <= high for value, (low, high) in zip(values, program.bounds, strict=True))
    return within and all(
        (row.low is None or activity >= row.low) and (row.high is None or activity <= row.high)
        for row in program.rows
        for activity in [sum(factor * values[index] for index, factor in row.terms)]
    )
