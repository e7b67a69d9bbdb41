"""Linear programs in GLOP, told row by row; ortools loads when the first one is made, and pandas not at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solver.errors import SolverDefect

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Parameters of GLOP, in the order in which they are tried: it gives up on some programs that have an optimum, and finds it
#: another way.
WAYS = ("", "use_preprocessing: false", "use_preprocessing: false use_dual_simplex: true", "use_scaling: false")


@dataclass(frozen=True)
class LinearOptimum:
    """An optimum.

    Attributes
    ----------
    objective: its value.
    values: of the variables, in the order of their making; reduced_costs: by how much the objective changes as each grows.
    duals: of the rows, in the order of theirs.
    """

    objective: float
    values: Floats
    reduced_costs: Floats
    duals: Floats


class LinearModel:
    """Variables in blocks, rows as index lists, one objective.

    >>> model = LinearModel()
    >>> x = model.variables(0.0, 4.0, [-1.0, -2.0])
    >>> _ = model.row(0.0, 5.0, x, np.ones(2))
    >>> model.least().values.tolist()
    [1.0, 4.0]
    """

    def __init__(self) -> None:
        from ortools.linear_solver.python import model_builder_helper

        self._solvers: Any = model_builder_helper
        self._program: Any = model_builder_helper.ModelBuilderHelper()
        self._handles: list[Any] = []

    def variables(self, least: ArrayLike, most: ArrayLike, costs: ArrayLike) -> Ints:
        """Add one variable in ``least`` to ``most``, one for all or one each, for each cost; returns their indices."""
        weights = np.asarray(costs, float)
        low, high = (np.broadcast_to(np.asarray(end, float), weights.shape).copy() for end in (least, most))
        added: Ints = self._program.add_var_array_with_bounds(low, high, np.zeros(len(weights), bool), "")
        self._program.set_objective_coefficients(added.tolist(), weights.tolist())
        self._handles.extend(self._solvers.Variable(self._program, index) for index in added.tolist())
        return added

    def row(self, least: float, most: float, variables: ArrayLike, coefficients: ArrayLike) -> int:
        """Demand ``least <= sum of coefficient x variable <= most``; returns the index of the row."""
        index: int = self._program.add_linear_constraint()
        self._program.set_constraint_lower_bound(index, least)
        self._program.set_constraint_upper_bound(index, most)
        handles = [self._handles[variable] for variable in np.asarray(variables, int).tolist()]
        self._program.add_terms_to_constraint(index, handles, np.asarray(coefficients, float).tolist())
        return index

    def best(self, maximise: bool = False, ways: Sequence[str] = WAYS) -> LinearOptimum | None:
        """The optimum; None where nothing keeps all rows.

        Raises
        ------
        SolverDefect: GLOP finds neither an optimum nor a contradiction.
        """
        self._program.set_maximize(maximise)
        told = self._solvers.SolveStatus
        for way in ways:
            solver = self._solvers.ModelSolverHelper("GLOP")
            solver.set_solver_specific_parameters(way)
            solver.solve(self._program)
            status = solver.status()
            if status == told.INFEASIBLE:
                return None
            if status == told.OPTIMAL:
                found = (solver.variable_values(), solver.reduced_costs(), solver.dual_values())
                return LinearOptimum(float(solver.objective_value()), *(np.array(each) for each in found))
        raise SolverDefect(f"GLOP finds neither an optimum nor a contradiction: {status}")

    def least(self) -> LinearOptimum:
        """The least objective of a program that is known to have one.

        Raises
        ------
        SolverDefect: nothing keeps all rows.
        """
        found = self.best(ways=WAYS[1:])
        if found is None:
            raise SolverDefect("a linear program that has an optimum was found to have none")
        return found
