"""A rule by itself: a tiny program of which it is the only rule, and every assignment that it allows."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from unittest import mock

import networkx as nx
import numpy as np
from instances import column

import topologies
from solver.optimize.arithmetic.linear import Variable
from solver.optimize.layout import write
from solver.optimize.layout.program import LayoutProgram, Market, Need, Supply
from solver.optimize.layout.rule import Rule
from solver.replica import Role
from solver.space.profiles import Column
from solver.space.shapes import Footprint

Values = Mapping[str, int]
Sentence = Callable[[Values], bool]
#: Values that may be tried of a variable that no test can count through.
MOST = 20


def tiny_market(
    domains: int = 1,
    devices: int = 4,
    *,
    trays: int = 0,
    cluster: nx.Graph[str] | None = None,
    requests_per_s: float = 3.0,
    modes: tuple[bool, bool] = (True, True),
    **fields: object,
) -> Market:
    """One promise on a few domains of one host each, or of ``trays`` hosts of four devices each."""
    if cluster is None and trays:
        cluster = topologies.nvl72(racks=domains, trays_per_rack=trays)
    graph = cluster or topologies.hgx(nodes=domains, device="h200", devices_per_host=devices)
    supplies = tuple(Supply(n, c, 2.0) for n, c in enumerate(topologies.domain_classes(graph)))
    known: dict[str, object] = {"objective": "cost", "billing": "device", "max_pools": 2} | fields
    return Market(supplies, (Need(requests_per_s, *modes),), **known)  # type: ignore[arg-type]


def tiny_column(
    market: Market,
    role: Role = "unified",
    *,
    size: int = 1,
    hosts: int = 1,
    domains: int = 1,
    high: int = 2,
    rate: float = 1.0,
    handover: int = 0,
    **fields: object,
) -> Column:
    """A column of one to ``high`` replicas with ``size`` devices on each of ``hosts`` hosts in each of ``domains``."""
    footprint = Footprint(market.supplies[0].device, domains, hosts, size)
    made = column(0, role, footprint, high, rate, rate)
    candidate = dataclasses.replace(made.candidate, handover=handover)
    return dataclasses.replace(made, candidate=candidate, **{"low": 1, **fields})  # type: ignore[arg-type]


def cuts_off(
    rule: Rule,
    market: Market,
    columns: Sequence[Column],
    sentence: Sentence,
    *,
    after: Sequence[Rule] = (),
    tried: Mapping[str, Sequence[int]] | None = None,
    own: Sequence[str] = (),
) -> set[str]:
    """Assert that the rule allows an assignment exactly where the sentence holds; return the names that it is about.

    A variable that the rule makes itself counts as "some value of it": it is not part of the sentence.

    Parameters
    ----------
    after: rules that make variables which this one is about; their own rows are left out.
    tried: values to try of variables, by the start of their name, instead of all between their bounds.
    own: starts of names of variables that the rule makes and the sentence is about all the same.
    """
    with mock.patch.object(write, "RULES", tuple(after)):
        given = len(write.write(market, columns).linear.variables)
    with mock.patch.object(write, "RULES", (*after, rule)):
        program: LayoutProgram = write.write(market, columns)
    demands = [row.demand for row in program.linear.rows if row.rule == rule.name]
    named = sorted({v for demand in demands for v, factor in demand.expression.terms.items() if factor})
    seen = [v for v in named if v.index < given or v.name.startswith(tuple(own))]
    hidden = [v for v in named if v not in seen]
    low = np.array([-np.inf if d.low is None else d.low for d in demands])
    high = np.array([np.inf if d.high is None else d.high for d in demands])
    slack = 1e-9 * (1 + np.abs(np.where(np.isfinite(low), low, high)))
    parts = _amounts(hidden, demands, tried or {})[1]
    said = []
    for values, left in zip(*_amounts(seen, demands, tried or {}), strict=True):
        allowed = bool((((left + parts) >= low - slack) & ((left + parts) <= high + slack)).all(axis=1).any())
        assignment = {variable.name: value for variable, value in zip(seen, values, strict=True)}
        said.append(sentence(assignment))
        assert allowed == said[-1], f"{rule.name}: {'allows' if allowed else 'cuts off'} {assignment}"
    assert len(set(said)) == 2, "the sentence allows everything or nothing"
    return {variable.name for variable in seen}


def _amounts(
    variables: Sequence[Variable], demands: Sequence[object], tried: Mapping[str, Sequence[int]]
) -> tuple[list[tuple[int, ...]], np.ndarray]:
    """Every assignment of some variables (n,), and what each adds to every row (n, rows)."""
    ranges = [_range(variable, tried) for variable in variables]
    assignments = list(itertools.product(*ranges))
    factors = np.array([[d.expression.terms.get(v, 0.0) for d in demands] for v in variables])  # type: ignore[attr-defined]
    if not variables:
        return assignments, np.zeros((1, len(demands)))
    return assignments, np.array(assignments, float) @ factors


def _range(variable: Variable, tried: Mapping[str, Sequence[int]]) -> Sequence[int]:
    for start, values in tried.items():
        if variable.name.startswith(start):
            return values
    assert variable.high - variable.low < MOST, f"{variable.name} has too many values to try"
    return range(variable.low, variable.high + 1)
