"""Linear programs over whole numbers, before any solver sees them.

A program is written once, in floats; :mod:`solver.optimize.arithmetic.integers` rounds it for CP-SAT, and
:mod:`solver.optimize.arithmetic.relaxation` drops the whole-number demand for GLOP. Tests hand the same program to HiGHS.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True, order=True)
class Variable:
    """A whole number in [low, high]; ``index`` is its place in the program."""

    index: int
    name: str = field(compare=False)
    low: int = field(compare=False)
    high: int = field(compare=False)

    def __mul__(self, factor: float) -> Expression:
        return Expression({self: float(factor)})

    __rmul__ = __mul__

    def __add__(self, other: Variable | Expression) -> Expression:
        return self * 1 + other

    def __sub__(self, other: Variable | Expression) -> Expression:
        return self * 1 - other


@dataclass(frozen=True)
class Expression:
    """A weighted sum of variables."""

    terms: dict[Variable, float]

    def __add__(self, other: Variable | Expression) -> Expression:
        result = defaultdict(float, self.terms)
        for variable, factor in (other * 1 if isinstance(other, Variable) else other).terms.items():
            result[variable] += factor
        return Expression(dict(result))

    def __sub__(self, other: Variable | Expression) -> Expression:
        return self + (-1.0 * other if isinstance(other, Variable) else other * -1.0)

    def __mul__(self, factor: float) -> Expression:
        return Expression({variable: weight * factor for variable, weight in self.terms.items()})

    __rmul__ = __mul__

    def sorted(self) -> Iterator[tuple[Variable, float]]:
        """Terms with a factor, in the order of their variables."""
        return iter(sorted((v, f) for v, f in self.terms.items() if f))


def total(parts: Iterable[Variable | Expression]) -> Expression:
    """Sum of many parts."""
    result: dict[Variable, float] = defaultdict(float)
    for part in parts:
        for variable, factor in (part * 1 if isinstance(part, Variable) else part).terms.items():
            result[variable] += factor
    return Expression(dict(result))


Amount = Variable | Expression | float


@dataclass(frozen=True)
class Demand:
    """``low <= expression <= high``; None = no limit on that side."""

    expression: Expression
    low: float | None
    high: float | None


def at_least(left: Amount, right: Amount) -> Demand:
    """``left >= right``."""
    expression, constant = _difference(left, right)
    return Demand(expression, -constant, None)


def at_most(left: Amount, right: Amount) -> Demand:
    """``left <= right``."""
    expression, constant = _difference(left, right)
    return Demand(expression, None, -constant)


def equal(left: Amount, right: Amount) -> Demand:
    """``left = right``."""
    expression, constant = _difference(left, right)
    return Demand(expression, -constant, -constant)


def _difference(left: Amount, right: Amount) -> tuple[Expression, float]:
    """``left - right`` as terms and a constant."""
    parts, constant = [], 0.0
    for amount, sign in ((left, 1.0), (right, -1.0)):
        if isinstance(amount, int | float):
            constant += sign * amount
        else:
            parts.append(amount * sign)
    return total(parts), constant


@dataclass(frozen=True)
class Row:
    """A demand, and the name of the rule that it belongs to."""

    rule: str
    demand: Demand

    @property
    def measured(self) -> bool:
        """Whether any number is a physical quantity that must be rounded; else all are whole already."""
        demand = self.demand
        numbers = (*demand.expression.terms.values(), demand.low or 0.0, demand.high or 0.0)
        return any(number != int(number) for number in numbers)


@dataclass
class LinearProgram:
    """Variables, rows and an objective to minimise (or maximise)."""

    variables: list[Variable] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    objective: Expression = field(default_factory=lambda: Expression({}))
    maximise: bool = False

    def integer(self, name: str, low: int, high: int) -> Variable:
        """A new whole number."""
        variable = Variable(len(self.variables), name, low, high)
        self.variables.append(variable)
        return variable

    def boolean(self, name: str) -> Variable:
        """A new 0 or 1."""
        return self.integer(name, 0, 1)

    def require(self, rule: str, demands: Iterable[Demand]) -> None:
        """Demand what a rule says."""
        self.rows.extend(Row(rule, demand) for demand in demands)
