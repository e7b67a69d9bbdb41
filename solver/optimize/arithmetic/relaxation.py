"""The linear relaxation: a bound within milliseconds, and the columns that no optimal plan can use."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solver.glop import LinearModel
from solver.optimize.arithmetic.linear import LinearProgram

#: Reduced costs are trusted to this share of the objective.
MARGIN = 1e-6


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


def relax(program: LinearProgram) -> Relaxation | None:
    """Solve the relaxation with GLOP; None if even that is infeasible."""
    model, costs = LinearModel(), np.zeros(len(program.variables))
    for variable, factor in program.objective.sorted():
        costs[variable.index] += factor
    model.variables([v.low for v in program.variables], [v.high for v in program.variables], costs)
    for row in program.rows:
        low, high, pairs = row.demand.low, row.demand.high, list(row.demand.expression.sorted())
        model.row(
            -np.inf if low is None else low,
            np.inf if high is None else high,
            [v.index for v, _ in pairs],
            [factor for _, factor in pairs],
        )
    best = model.best(program.maximise)
    if best is None:
        return None
    return Relaxation(best.objective, best.values, best.reduced_costs * (-1.0 if program.maximise else 1.0))
