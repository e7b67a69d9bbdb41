"""Which pools there may be."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from solver.optimize.arithmetic.linear import Demand, at_least, at_most, equal, total
from solver.optimize.layout.program import Choice, LayoutProgram
from solver.optimize.layout.rule import rule
from solver.replica import ROLES


@rule("bands", "a column is priced for a number of replicas, and holds only there")
def bands(program: LayoutProgram) -> Iterator[Demand]:
    for choice in program.choices:
        column = choice.column
        yield at_least(choice.replicas, choice.used * column.low)
        yield at_most(choice.replicas, choice.used * column.high)


@rule("one column", "pools of the same footprint and role would share one queue")
def one_column(program: LayoutProgram) -> Iterator[Demand]:
    """Two pools of one footprint could always be merged: more replicas behind one queue serve no less. Where limits on medians
    make them serve less, the bound counts each as if it were in the pool in which it serves most."""
    alike: dict[tuple[object, ...], list[Choice]] = defaultdict(list)
    for choice in program.choices:
        column = choice.column
        alike[column.group, column.role, column.split, column.footprint].append(choice)
    for members in alike.values():
        if len(members) > 1:
            yield at_most(total(c.used for c in members), 1)


@rule("pools", "a role is served by at most max_pools pools for each promise")
def pools(program: LayoutProgram) -> Iterator[Demand]:
    for group in range(len(program.market.needs)):
        for role in ROLES:
            used = [c.used for c in program.serving(group, role)]
            if len(used) > program.market.max_pools:
                yield at_most(total(used), program.market.max_pools)


@rule("pins", "pools that the user has settled are there as they were settled")
def pins(program: LayoutProgram) -> Iterator[Demand]:
    for number, replicas in enumerate(program.market.pins):
        members = [choice for choice in program.choices if choice.column.pin == number]
        yield at_least(total(c.used for c in members), 1)
        if replicas is not None:
            yield equal(total(c.replicas for c in members), replicas)
