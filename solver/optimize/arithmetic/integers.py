"""Floats become whole numbers here and nowhere else.

Every row gets a unit of its own so that its sum of |coefficient| x bound stays below 2^45: far enough from CP-SAT's 64 bits
for what it adds up itself, and fine enough for thousands of columns of a hundred thousand replicas each. (One release
wraps beyond 2^31, google/or-tools #5293; the canary in the tests proves the pinned one up to this limit.) Rounding errs
on the safe side: a realised program counts capacity down and demand and cost up; the optimistic twin the other way round.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from solver.errors import SolverDefect
from solver.optimize.arithmetic.linear import LinearProgram, Row, Variable

#: Largest activity of a row, with a factor of two to spare.
MOST_ACTIVITY = 2**44
#: Rounding may move what a variable contributes to a row by at most this share of the row's largest contribution.
MOST_ERROR = 1e-3


@dataclass(frozen=True)
class IntegerRow:
    """``low <= sum of coefficient x variable <= high`` in whole numbers."""

    rule: str
    terms: tuple[tuple[int, int], ...]
    low: int | None
    high: int | None


@dataclass(frozen=True)
class IntegerProgram:
    """A program that CP-SAT can take.

    Attributes
    ----------
    bounds: lowest and highest value of every variable.
    names: of every variable.
    rows: all rows.
    objective: (variable, coefficient) pairs; unit: what one step of it is worth.
    """

    names: tuple[str, ...]
    bounds: tuple[tuple[int, int], ...]
    rows: tuple[IntegerRow, ...]
    objective: tuple[tuple[int, int], ...]
    unit: float
    maximise: bool


def integerise(program: LinearProgram, optimistic: bool = False) -> IntegerProgram:
    """Round a program.

    Parameters
    ----------
    optimistic: round against safety, so that nothing feasible is lost and no objective gets worse.

    Raises
    ------
    SolverDefect: a coefficient moved by more than 0.1 %.
    """
    terms, unit = _objective(program, optimistic)
    return IntegerProgram(
        names=tuple(v.name for v in program.variables),
        bounds=tuple((v.low, v.high) for v in program.variables),
        rows=tuple(_measured(row, optimistic) if row.measured else _exact(row) for row in program.rows),
        objective=terms,
        unit=unit,
        maximise=program.maximise,
    )


def _exact(row: Row) -> IntegerRow:
    """A row whose numbers are whole already."""
    demand = row.demand
    terms = tuple((variable.index, int(factor)) for variable, factor in demand.expression.sorted())
    low = None if demand.low is None else int(demand.low)
    high = None if demand.high is None else int(demand.high)
    activity = sum(abs(factor) * _reach(variable) for variable, factor in demand.expression.sorted())
    if activity >= 2 * MOST_ACTIVITY:
        raise SolverDefect(f"rule {row.rule}: the row's activity {activity:.3g} is beyond 2^45")
    return IntegerRow(row.rule, terms, low, high)


def _measured(row: Row, optimistic: bool) -> IntegerRow:
    """A row of physical quantities: ``expression >= low``. Safe means the left side down and the right side up."""
    demand = row.demand
    if demand.low is None or demand.high is not None:
        raise SolverDefect(f"rule {row.rule}: a row of physical quantities is written as 'at least'")
    pairs = list(demand.expression.sorted())
    activity = sum(abs(factor) * _reach(variable) for variable, factor in pairs) + abs(demand.low)
    unit = max(activity, 1e-300) / MOST_ACTIVITY
    terms = _rounded(pairs, unit, optimistic, row.rule)
    low = demand.low / unit
    return IntegerRow(row.rule, terms, math.floor(low) if optimistic else math.ceil(low), None)


def _objective(program: LinearProgram, optimistic: bool) -> tuple[tuple[tuple[int, int], ...], float]:
    """The objective in whole steps; costs round up (down in the twin), gains the other way."""
    pairs = list(program.objective.sorted())
    if all(factor == int(factor) for _, factor in pairs) and sum(abs(f) * _reach(v) for v, f in pairs) < MOST_ACTIVITY:
        return tuple((variable.index, int(factor)) for variable, factor in pairs), 1.0
    activity = sum(abs(factor) * _reach(variable) for variable, factor in pairs)
    unit = activity / MOST_ACTIVITY
    up = optimistic if program.maximise else not optimistic
    return _rounded(pairs, unit, up, "objective"), unit


def _rounded(pairs: list[tuple[Variable, float]], unit: float, up: bool, rule: str) -> tuple[tuple[int, int], ...]:
    """Coefficients in units, each rounded up or down."""
    largest = max((abs(factor) * _reach(variable) for variable, factor in pairs), default=0.0) / unit
    terms = []
    for variable, factor in pairs:
        value = factor / unit
        whole = math.ceil(value) if up else math.floor(value)
        if abs(whole - value) * _reach(variable) > MOST_ERROR * largest:
            raise SolverDefect(f"rule {rule}: rounding moved {variable.name} from {value:.6g} to {whole}")
        terms.append((variable.index, whole))
    return tuple(terms)


def _reach(variable: Variable) -> int:
    return max(abs(variable.low), abs(variable.high))
