"""What is left when domains or hosts fail still meets the demand.

A column comes in variants by how many of its replicas one domain may touch (:func:`spread_out`), so that what a failure
takes is a constant of the column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from solver.optimize.arithmetic.linear import Demand, Variable, at_least, at_most, total
from solver.optimize.layout.program import Choice, LayoutProgram, Market
from solver.optimize.layout.rule import rule
from solver.optimize.layout.rules.service import serves
from solver.replica import ROLES
from solver.space.profiles import Column

#: Steps in which the twin counts what a failure takes from a role.
STEPS = 2**12


def spread_out(market: Market, columns: Sequence[Column]) -> list[Column]:
    """Variants of every column by how many replicas a domain may touch, where domains may fail; else the columns."""
    if not market.survive_domains:
        return list(columns)
    return [replace(column, touched=touched) for column in columns for touched in _touches(market, column)]


def _touches(market: Market, column: Column) -> Iterator[int]:
    """The fewest replicas per domain for every number of domains that a column could be spread over."""
    footprint = column.footprint
    able = [s for s in market.supplies if s.device == footprint.device and s.holds(footprint.fragment)]
    domains = sum(s.count for s in able)
    most = max((s.holds(footprint.fragment) // s.count for s in able), default=0)
    parts = column.high * footprint.domains
    yield from sorted({-(-parts // used) for used in range(1, domains + 1) if -(-parts // used) <= most})


@rule("survival of domains", "the demand is still met after the loss of any so many scale-up domains")
def survive_domains(program: LayoutProgram) -> Iterator[Demand]:
    """Lose the fullest domains: of each pool as many replicas as those may touch.

    A replica over several domains is lost with any of them. Pools of a role might share the fullest domains, so their
    losses add up; the twin counts only the largest, which no mapping avoids.
    """
    failures = program.market.survive_domains
    if not failures:
        return
    counts = {supply.index: supply.count for supply in program.market.supplies}
    for choice in program.choices:
        for supply, fragments in choice.fragments.items():
            yield at_most(fragments, program.domains[supply] * choice.column.touched)

    def lost(choice: Choice) -> float:
        column = choice.column
        if not program.optimistic:
            return column.touched * failures
        domains = sum(counts[supply] for supply in choice.fragments)
        return max(column.touched, column.low * column.footprint.domains * failures / domains)

    yield from _remain(program, lost)


@rule("survival of hosts", "the demand is still met after the loss of any so many hosts")
def survive_hosts(program: LayoutProgram) -> Iterator[Demand]:
    """Lose the hosts with most replicas: a host touches one replica that fills it, or as many as fit into it."""
    failures = program.market.survive_hosts
    if not failures:
        return
    hosts = {supply.index: max(supply.host_sizes) for supply in program.market.supplies}

    def lost(choice: Choice) -> float:
        if program.optimistic:
            return 1.0
        part = choice.column.footprint.per_host
        return failures * max((max(1, hosts[supply] // part) for supply in choice.fragments), default=1)

    yield from _remain(program, lost)


def _remain(program: LayoutProgram, lost: Callable[[Choice], float]) -> Iterator[Demand]:
    """In every role, what is left when so many replicas of each pool are lost still serves all."""
    for group in range(len(program.market.needs)):
        for role in ROLES:
            pools = [choice for choice in program.serving(group, role) if choice.fragments]
            if not pools:
                continue
            losses = [choice.used * (program.rate(choice) * min(lost(choice), choice.column.high)) for choice in pools]
            taken = total(losses)
            if program.optimistic:
                # The twin takes only the largest loss: a variable above each of them, in steps of the largest possible.
                most = max(factor for loss in losses for _, factor in loss.sorted())
                name = f"lost.{group}.{role}.{len(program.linear.variables)}"
                steps: Variable = program.linear.integer(name, 0, STEPS)
                taken = steps * (most / STEPS)
                for loss in losses:
                    yield at_least(taken, loss)
            yield serves(program, group, role, program.capacity(group, role) - taken)
