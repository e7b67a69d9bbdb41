"""Linear programs in GLOP, told row by row; ortools loads when the first one is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from solver.errors import SolverDefect
from solver.experts.arrays import Floats, Ints


@dataclass(frozen=True)
class LinearOptimum:
    """An optimum: ``values`` of the variables and ``duals`` of the rows, in the order of their making."""

    values: Floats
    duals: Floats


class Infeasible(SolverDefect):
    """Nothing keeps all rows; who tells a program that may be so catches it."""


class ArrayProgram:
    """Variables in blocks, rows as index lists, one objective to minimise.

    >>> program = ArrayProgram()
    >>> x = program.variables(0.0, 4.0, np.array([-1.0, -2.0]))
    >>> _ = program.row(0.0, 5.0, x, np.ones(2))
    >>> program.minimise().values.tolist()
    [1.0, 4.0]
    """

    def __init__(self) -> None:
        from ortools.linear_solver.python import model_builder_helper

        self._solvers: Any = model_builder_helper
        self._program: Any = model_builder_helper.ModelBuilderHelper()
        self._handles: list[Any] = []

    def variables(self, least: float, most: float, costs: Floats) -> Ints:
        """Add one variable in ``least`` to ``most`` for each cost; returns their indices."""
        added: Ints = self._program.add_var_array([len(costs)], least, most, False, "")
        self._program.set_objective_coefficients(added.tolist(), costs.tolist())
        self._handles.extend(self._solvers.Variable(self._program, index) for index in added.tolist())
        return added

    def row(self, least: float, most: float, variables: Ints, coefficients: Floats) -> int:
        """Demand ``least <= sum of coefficient x variable <= most``; returns the index of the row."""
        index: int = self._program.add_linear_constraint()
        self._program.set_constraint_lower_bound(index, least)
        self._program.set_constraint_upper_bound(index, most)
        handles = [self._handles[variable] for variable in variables.tolist()]
        self._program.add_terms_to_constraint(index, handles, coefficients.tolist())
        return index

    def minimise(self) -> LinearOptimum:
        """Solve a program that has an optimum.

        Raises
        ------
        Infeasible: nothing keeps all rows.
        """
        solver = self._solvers.ModelSolverHelper("GLOP")
        solver.set_solver_specific_parameters("use_preprocessing: false")
        solver.solve(self._program)
        status = solver.status()
        if status == self._solvers.SolveStatus.INFEASIBLE:
            raise Infeasible("a linear program of expert placement that nothing fulfils")
        if status != self._solvers.SolveStatus.OPTIMAL:
            raise SolverDefect(f"GLOP ended a linear program of expert placement with {status}")
        return LinearOptimum(np.array(solver.variable_values()), np.array(solver.dual_values()))
