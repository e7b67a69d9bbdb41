"""What a rule of the layout program is: a name, a sentence and the rows that say it, in one place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from solver.optimize.arithmetic.linear import Demand
from solver.optimize.layout.program import LayoutProgram

Demands = Callable[[LayoutProgram], Iterator[Demand]]


@dataclass(frozen=True)
class Rule:
    """One thing that the program demands.

    Attributes
    ----------
    name: short name, of its rows too.
    because: what it means, for a person.
    demands: its rows; variables that only it needs are made on the way.
    """

    name: str
    because: str
    demands: Demands


def rule(name: str, because: str) -> Callable[[Demands], Rule]:
    """Make a function that yields demands the rule of that name and sentence."""
    return lambda demands: Rule(name, because, demands)
