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
    from ortools.sat import cp_model_pb2
    from ortools.sat.python import cp_model_helper

    model, solver = _model(program, hint), cp_model_helper.SolveWrapper()
    solver.set_parameters(_parameters(effort))
    if effort.progress is not None:
        callback = _Progress(effort.progress, program.unit)
        solver.add_solution_callback(callback)
        solver.add_best_bound_callback(callback.on_bound)
    answer = _attended(solver, model, effort.clock or Deadline())
    if answer.status == cp_model_pb2.MODEL_INVALID:
        raise SolverDefect(f"CP-SAT refuses the program: {cp_model_helper.CpSatHelper.validate_model(model)[:200]}")
    if answer.status == cp_model_pb2.INFEASIBLE:
        return SolverResult("infeasible", (), None, None)
    if answer.status == cp_model_pb2.UNKNOWN:
        return SolverResult("unknown", (), None, answer.best_objective_bound if program.objective else None)
    values, optimal = tuple(answer.solution), answer.status == cp_model_pb2.OPTIMAL
    objective = sum(factor * values[index] for index, factor in program.objective)
    bound = float(objective) if optimal and effort.gap == 0 else float(answer.best_objective_bound)
    return SolverResult("optimal" if optimal else "feasible", values, objective, bound)


def _attended(solver: Any, model: Any, clock: Deadline) -> Any:
    """Solve beside this thread, so that it can be stopped."""
    with ThreadPoolExecutor(1) as beside:
        answer = beside.submit(solver.solve, model)
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


def _model(program: IntegerProgram, hint: Sequence[int | None] | None) -> Any:
    """The program as CP-SAT's protocol buffer; ortools' Python layer above it would load pandas."""
    from ortools.sat import cp_model_pb2

    model, highest = cp_model_pb2.CpModelProto(), 4 * MOST_ACTIVITY
    for name, bounds in zip(program.names, program.bounds, strict=True):
        model.variables.add(name=name, domain=bounds)
    for row in program.rows:
        linear = model.constraints.add(name=row.rule).linear
        linear.vars.extend(index for index, _ in row.terms)
        linear.coeffs.extend(factor for _, factor in row.terms)
        linear.domain.extend((-highest if row.low is None else row.low, highest if row.high is None else row.high))
    if program.objective:
        # CP-SAT minimises; a factor of -1 turns what it says of the objective around.
        sign = -1 if program.maximise else 1
        model.objective.vars.extend(index for index, _ in program.objective)
        model.objective.coeffs.extend(sign * factor for _, factor in program.objective)
        model.objective.scaling_factor = sign
    for index, value in enumerate(hint or ()):
        if value is not None:
            model.solution_hint.vars.append(index)
            model.solution_hint.values.append(value)
    return model


def _parameters(effort: Effort) -> Any:
    from ortools.sat import sat_parameters_pb2

    parameters = sat_parameters_pb2.SatParameters()
    parameters.relative_gap_limit = effort.gap
    parameters.catch_sigint_signal = False
    if effort.seed is None:
        parameters.num_workers = effort.workers
        parameters.max_time_in_seconds = effort.seconds
    else:
        parameters.num_workers = 1
        parameters.random_seed = effort.seed % 2**31
        parameters.max_deterministic_time = effort.time_limit_s * DETERMINISTIC_SHARE
    return parameters


def _Progress(report: Callable[[float | None, float], None], unit: float) -> Any:  # noqa: N802 - stands in for a class
    """A solution callback; made here so that importing this module does not load CP-SAT."""
    from ortools.sat.python import cp_model_helper

    class Progress(cp_model_helper.SolutionCallback):
        incumbent: float | None = None

        def OnSolutionCallback(self) -> None:  # noqa: N802 - below ortools' Python layer all names are of this kind
            self.incumbent = self.ObjectiveValue() * unit
            report(self.incumbent, self.BestObjectiveBound() * unit)

        def on_bound(self, bound: float) -> None:
            report(self.incumbent, bound * unit)

    return Progress()
