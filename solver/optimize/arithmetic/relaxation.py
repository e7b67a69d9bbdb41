"""The linear relaxation: a bound within milliseconds, and the columns that no optimal plan can use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solver.errors import SolverDefect
from solver.optimize.arithmetic.linear import LinearProgram

#: Reduced costs are trusted to this share of the objective.
MARGIN = 1e-6
#: Parameters of GLOP, in the order in which they are tried.
WAYS = ("", "use_preprocessing: false", "use_preprocessing: false use_dual_simplex: true", "use_scaling: false")


@dataclass(frozen=True)
class Relaxation:
    """Optimum of a program without the demand for whole numbers.

    Attributes
    ----------
    objective: its value: no whole-number solution is better.
    values: of every variable (V,).
    reduced_costs: how fast the objective worsens as a variable at its bound moves off it (V,); positive is worse.
    """

    objective: float
    values: NDArray[np.float64]
    reduced_costs: NDArray[np.float64]


def solved(model: Any) -> Any:
    """A solver that holds an optimum of a linear model by GLOP; None if the model is infeasible.

    GLOP gives up on some models that have an optimum; other ways through the same model find it.

    Raises
    ------
    SolverDefect: none of them does.
    """
    from ortools.linear_solver.python import model_builder

    status = model_builder.SolveStatus
    for way in WAYS:
        solver = model_builder.Solver("GLOP")
        solver.set_solver_specific_parameters(way)
        told = solver.solve(model)
        if told == status.OPTIMAL:
            return solver
        if told == status.INFEASIBLE:
            return None
    raise SolverDefect(f"GLOP finds neither an optimum nor a contradiction: {told}")


def relax(program: LinearProgram) -> Relaxation | None:
    """Solve the relaxation with GLOP; None if even that is infeasible."""
    from ortools.linear_solver.python import model_builder

    model = model_builder.Model()  # type: ignore[no-untyped-call]
    variables = [model.new_num_var(v.low, v.high, v.name) for v in program.variables]
    infinity = float("inf")
    for row in program.rows:
        demand = row.demand
        pairs = list(demand.expression.sorted())
        left = model_builder.LinearExpr.weighted_sum([variables[v.index] for v, _ in pairs], [f for _, f in pairs])
        model.add_linear_constraint(
            left,
            -infinity if demand.low is None else demand.low,
            infinity if demand.high is None else demand.high,
            row.rule,
        )
    pairs = list(program.objective.sorted())
    goal = model_builder.LinearExpr.weighted_sum([variables[v.index] for v, _ in pairs], [f for _, f in pairs])
    if program.maximise:
        model.maximize(goal)
    else:
        model.minimize(goal)
    solver = solved(model)
    if solver is None:
        return None
    return Relaxation(
        objective=float(solver.objective_value),
        values=np.array([solver.value(v) for v in variables]),
        reduced_costs=np.array([solver.reduced_cost(v) for v in variables]) * (-1.0 if program.maximise else 1.0),
    )
