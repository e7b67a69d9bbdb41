"""Conditions of the engines' rules: expressions over named facts, evaluated for thousands of layouts at once.

A condition is text such as ``tp > kv_heads and heads % tp != 0``: arithmetic, ``gcd(a, b)``, comparisons, ``in [...]``,
``and``, ``or`` and ``not``. Facts are numpy arrays that broadcast against each other. ``p.tp`` and ``d.tp`` are facts of a
prefill and of a decode replica that meet.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solver.errors import SolverDefect

Facts = Mapping[str, Any]
Mask = NDArray[np.bool_]

_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


@dataclass(frozen=True)
class Condition:
    """One expression over facts.

    >>> facts = {"heads": 32, "tp": np.array([3, 4, 8])}
    >>> Condition("heads % tp != 0").holds(facts).tolist()
    [True, False, False]
    >>> sorted(Condition("role in ['decode'] and not p.tp == 4").names)
    ['p.tp', 'role']
    """

    text: str

    @cached_property
    def _tree(self) -> ast.expr:
        return ast.parse(self.text, mode="eval").body

    @cached_property
    def names(self) -> frozenset[str]:
        """Facts that it asks for, such as ``tp`` or ``p.tp``."""
        pairs = {_dotted(node) for node in ast.walk(self._tree) if isinstance(node, ast.Attribute)}
        sides = {name.split(".")[0] for name in pairs}
        calls = {"gcd"}
        single = {node.id for node in ast.walk(self._tree) if isinstance(node, ast.Name)} - calls
        return frozenset(pairs | (single - sides))

    def holds(self, facts: Facts) -> Mask:
        """Where it holds, in the shape to which the facts broadcast.

        Raises
        ------
        SolverDefect: it asks for a fact that is not given.
        """
        with np.errstate(divide="ignore"):
            return np.asarray(_value(self._tree, facts), bool)


def _value(node: ast.expr, facts: Facts) -> Any:
    match node:
        case ast.BoolOp(op=ast.And(), values=parts):
            return reduce(np.logical_and, (_value(part, facts) for part in parts))
        case ast.BoolOp(op=ast.Or(), values=parts):
            return reduce(np.logical_or, (_value(part, facts) for part in parts))
        case ast.UnaryOp(op=ast.Not(), operand=inner):
            return np.logical_not(_value(inner, facts))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            return _ARITHMETIC[type(op)](_value(left, facts), _value(right, facts))
        case ast.Compare(left=left, ops=[ast.In() | ast.NotIn() as op], comparators=[ast.List(elts=listed)]):
            value = _value(left, facts)
            among = reduce(np.logical_or, (np.asarray(value == _value(each, facts)) for each in listed))
            return among if isinstance(op, ast.In) else np.logical_not(among)
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARISONS:
            return _COMPARISONS[type(op)](_value(left, facts), _value(right, facts))
        case ast.Call(func=ast.Name(id="gcd"), args=[left, right]):
            return np.gcd(_value(left, facts), _value(right, facts))
        case ast.Constant(value=constant):
            return constant
        case ast.Name() | ast.Attribute():
            name = _dotted(node)
            if name not in facts:
                raise SolverDefect(f"no fact is called {name!r}")
            return facts[name]
    raise SolverDefect(f"a condition cannot hold {ast.unparse(node)!r}")


def _dotted(node: ast.expr) -> str:
    return ast.unparse(node)
