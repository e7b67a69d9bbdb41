"""Which pools there may be."""

from __future__ import annotations

from collections import defaultdict

from solver.optimize.linear import total
from solver.optimize.program import Choice, LayoutProgram, Rule


def _bands(program: LayoutProgram) -> None:
    for choice in program.choices:
        column = choice.column
        program.linear.require("bands", choice.replicas - choice.used * column.low, at_least=0)
        program.linear.require("bands", choice.replicas - choice.used * column.high, at_most=0)


def _one_column(program: LayoutProgram) -> None:
    """Two pools of one footprint could always be merged: more replicas behind one queue serve no less."""
    alike: dict[tuple[object, ...], list[Choice]] = defaultdict(list)
    for choice in program.choices:
        column = choice.column
        alike[column.group, column.role, column.split, column.footprint].append(choice)
    for members in alike.values():
        if len(members) > 1:
            program.linear.require("one column", total(c.used for c in members), at_most=1)


def _pools(program: LayoutProgram) -> None:
    for group in range(len(program.market.needs)):
        for role in ("prefill", "decode", "unified"):
            used = [c.used for c in program.serving(group, role)]
            if len(used) > program.market.max_pools:
                program.linear.require("pools", total(used), at_most=program.market.max_pools)


def _pins(program: LayoutProgram) -> None:
    for number, replicas in enumerate(program.market.pins):
        members = [choice for choice in program.choices if choice.column.pin == number]
        program.linear.require("pins", total(c.used for c in members), at_least=1)
        if replicas is not None:
            program.linear.require("pins", total(c.replicas for c in members), at_least=replicas, at_most=replicas)


BANDS = Rule("bands", "a column is priced for a number of replicas, and holds only there", _bands)
ONE_COLUMN = Rule("one column", "pools of the same footprint and role would share one queue", _one_column)
POOLS = Rule("pools", "a role is served by at most max_pools pools for each promise", _pools)
PINS = Rule("pins", "pools that the user has settled are there as they were settled", _pins)
