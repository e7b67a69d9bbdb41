"""Runs CP-SAT on an integer program: time, seed, workers, progress, and nothing read before the status is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from solver.errors import SolverDefect
from solver.optimize.arithmetic.integers import IntegerProgram

Status = Literal["optimal", "feasible", "infeasible", "unknown"]

#: Deterministic work (CP-SAT's own unit, about a second each) that a seeded run may spend per second of the time limit.
DETERMINISTIC_SHARE = 1.0


@dataclass(frozen=True)
class Effort:
    """How hard and how repeatably to search.

    Attributes
    ----------
    time_limit_s: for one program; a seeded run counts deterministic work instead of wall time.
    workers: threads, where no seed is given.
    seed: with it the search is repeatable: one worker, a deterministic limit.
    gap: relative gap at which the search may stop.
    progress: called with (incumbent or None, bound) in units of the objective whenever either improves.
    """

    time_limit_s: float = 60.0
    workers: int = 2
    seed: int | None = None
    gap: float = 0.0
    progress: Callable[[float | None, float], None] | None = None


@dataclass(frozen=True)
class SolverResult:
    """What CP-SAT found.

    Attributes
    ----------
    values: of every variable; empty without a solution.
    objective: in steps of the program's unit, recomputed from the values; None without a solution.
    bound: proven limit in steps; None where nothing was proven.
    """

    status: Status
    values: tuple[int, ...]
    objective: int | None
    bound: float | None


def run(program: IntegerProgram, effort: Effort, hint: tuple[int, ...] | None = None) -> SolverResult:
    """Solve a program.

    Raises
    ------
    SolverDefect: CP-SAT calls the program invalid.
    """
    from ortools.sat.python import cp_model

    model, variables = _model(program)
    if hint is not None:
        for variable, value in zip(variables, hint, strict=True):
            model.add_hint(variable, value)
    solver = cp_model.CpSolver()
    _set(solver.parameters, effort)
    callback = None
    if effort.progress is not None:
        callback = _Progress(effort.progress, program.unit)
        solver.best_bound_callback = callback.on_bound
    status: object = solver.solve(model, callback)
    if status == cp_model.MODEL_INVALID:
        raise SolverDefect(f"CP-SAT refuses the program: {model.validate()[:200]}")
    if status == cp_model.INFEASIBLE:
        return SolverResult("infeasible", (), None, None)
    if status == cp_model.UNKNOWN:
        return SolverResult("unknown", (), None, solver.best_objective_bound if program.objective else None)
    values = tuple(int(solver.value(variable)) for variable in variables)
    objective = sum(factor * values[index] for index, factor in program.objective)
    bound = float(objective) if status == cp_model.OPTIMAL and effort.gap == 0 else float(solver.best_objective_bound)
    return SolverResult("optimal" if status == cp_model.OPTIMAL else "feasible", values, objective, bound)


def _model(program: IntegerProgram) -> tuple[Any, list[Any]]:
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    variables = [
        model.new_int_var(low, high, name) for name, (low, high) in zip(program.names, program.bounds, strict=True)
    ]
    highest = 2**31
    for row in program.rows:
        left = cp_model.LinearExpr.weighted_sum([variables[i] for i, _ in row.terms], [f for _, f in row.terms])
        low = -highest if row.low is None else row.low
        high = highest if row.high is None else row.high
        model.add_linear_constraint(left, low, high).with_name(row.rule)
    if program.objective:
        goal = cp_model.LinearExpr.weighted_sum(
            [variables[i] for i, _ in program.objective], [f for _, f in program.objective]
        )
        if program.maximise:
            model.maximize(goal)
        else:
            model.minimize(goal)
    return model, variables


def _set(parameters: Any, effort: Effort) -> None:
    parameters.relative_gap_limit = effort.gap
    if effort.seed is None:
        parameters.num_workers = effort.workers
        parameters.max_time_in_seconds = effort.time_limit_s
    else:
        parameters.num_workers = 1
        parameters.random_seed = effort.seed % 2**31
        parameters.max_deterministic_time = effort.time_limit_s * DETERMINISTIC_SHARE


def _Progress(report: Callable[[float | None, float], None], unit: float) -> Any:  # noqa: N802 - stands in for a class
    """A solution callback; made here so that importing this module does not load CP-SAT."""
    from ortools.sat.python import cp_model

    class Progress(cp_model.CpSolverSolutionCallback):
        incumbent: float | None = None

        def on_solution_callback(self) -> None:
            self.incumbent = self.objective_value * unit
            report(self.incumbent, self.best_objective_bound * unit)

        def on_bound(self, bound: float) -> None:
            report(self.incumbent, bound * unit)

    return Progress()
