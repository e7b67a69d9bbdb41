"""Runs CP-SAT on an integer program: time, seed, workers, progress, and nothing read before the status is known."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from solver.errors import SolverDefect
from solver.optimize.arithmetic.integers import MOST_ACTIVITY, IntegerProgram

Status = Literal["optimal", "feasible", "infeasible", "unknown"]

#: Deterministic work (CP-SAT's own unit, about a second each) that a seeded run may spend per second of the time limit.
DETERMINISTIC_SHARE = 1.0


#: Seconds between two looks at the clock while CP-SAT works.
LOOK_S = 0.1
#: Seconds that finishing what is in hand may take when the time is up.
FINISH_S = 5.0


class Deadline:
    """One budget of wall time for all searches of a command; somebody who has waited long enough can stop it.

    Attributes
    ----------
    in_hand: a layout is known, so stopping leaves a plan.
    """

    def __init__(self, limit_s: float = math.inf, whole: Deadline | None = None) -> None:
        self._start = time.monotonic()
        self._limit_s = limit_s
        self._whole = whole
        self.in_hand = False

    def left_s(self) -> float:
        """Seconds left, at least 0."""
        left = max(self._start + self._limit_s - time.monotonic(), 0.0)
        return min(left, self._whole.left_s()) if self._whole else left

    def spent(self, share: float = 1.0) -> bool:
        """Whether so large a share of the budget is spent."""
        gone = time.monotonic() - self._start >= self._limit_s * share
        return gone or (self._whole is not None and self._whole.spent())

    def part(self, share: float) -> Deadline:
        """A clock for a share of what is left, which stops when this one does."""
        return Deadline(self.left_s() * share, self)

    def hold(self) -> None:
        """A layout is in hand."""
        self.in_hand = True
        if self._whole:
            self._whole.hold()

    def stop(self) -> None:
        """No more time."""
        self._limit_s = 0.0


@dataclass(frozen=True)
class Effort:
    """How hard and how repeatably to search.

    Attributes
    ----------
    time_limit_s: wall time for all searches together; for each search in a seeded run, which counts deterministic work
        instead.
    workers: threads, where no seed is given.
    seed: with it the search is repeatable: one worker, a deterministic limit.
    gap: relative gap at which the search may stop.
    progress: called with (incumbent or None, bound) in units of the objective whenever either improves.
    clock: how much of the time is left; one that runs from now where none is given.
    """

    time_limit_s: float = 60.0
    workers: int = 2
    seed: int | None = None
    gap: float = 0.0
    progress: Callable[[float | None, float], None] | None = None
    clock: Deadline | None = field(default=None, compare=False)

    def started(self) -> Effort:
        """The same with a clock that runs; a seeded run takes the time that it takes, until somebody stops it."""
        return self if self.clock else replace(self, clock=Deadline(self.time_limit_s if self.seed is None else math.inf))

    @property
    def seconds(self) -> float:
        """Wall time that the next search may take."""
        return min(self.time_limit_s, self.clock.left_s() if self.clock else math.inf)

    @property
    def late(self) -> bool:
        """Whether no time is left."""
        return self.clock is not None and self.clock.spent()

    def quiet(self, share: float = 1.0) -> Effort:
        """A search for an exact answer within a share of the time, without progress."""
        return replace(self, time_limit_s=self.time_limit_s * share, gap=0.0, progress=None)

    def finishing(self) -> Effort:
        """A short search that a layout in hand needs, whatever the clock says."""
        return replace(self, time_limit_s=min(self.time_limit_s, max(self.seconds, FINISH_S)), progress=None, clock=None)


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


def run(program: IntegerProgram, effort: Effort, hint: Sequence[int | None] | None = None) -> SolverResult:
    """Solve a program.

    Parameters
    ----------
    hint: a value of every variable from which to begin; None where nothing is known of it.

    Raises
    ------
    SolverDefect: CP-SAT calls the program invalid.
    """
    if effort.late:
        return SolverResult("unknown", (), None, None)
    from ortools.sat.python import cp_model

    model, variables = _model(program)
    if hint is not None:
        for variable, value in zip(variables, hint, strict=True):
            if value is not None:
                model.add_hint(variable, value)
    solver = cp_model.CpSolver()
    _set(solver.parameters, effort)
    callback = None
    if effort.progress is not None:
        callback = _Progress(effort.progress, program.unit)
        solver.best_bound_callback = callback.on_bound
    status: object = _attended(solver, model, callback, effort.clock or Deadline())
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


def _attended(solver: Any, model: Any, callback: Any, clock: Deadline) -> object:
    """Solve beside this thread, so that it can be stopped."""
    with ThreadPoolExecutor(1) as beside:
        answer = beside.submit(solver.solve, model, callback)
        try:
            while True:
                try:
                    return answer.result(timeout=LOOK_S)
                except TimeoutError:
                    if clock.spent():
                        solver.stop_search()
        except BaseException:
            solver.stop_search()
            raise


def _model(program: IntegerProgram) -> tuple[Any, list[Any]]:
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    variables = [
        model.new_int_var(low, high, name) for name, (low, high) in zip(program.names, program.bounds, strict=True)
    ]
    highest = 4 * MOST_ACTIVITY
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
    parameters.catch_sigint_signal = False
    if effort.seed is None:
        parameters.num_workers = effort.workers
        parameters.max_time_in_seconds = effort.seconds
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
