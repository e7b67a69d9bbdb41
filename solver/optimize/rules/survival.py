"""What is left when domains or hosts fail still meets the demand.

A column comes in variants by how many of its replicas one domain may touch (:func:`spread_out`), so that what a failure
takes is a constant of the column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from solver.optimize.linear import Expression, Variable, total
from solver.optimize.program import Choice, LayoutProgram, Market, Rule
from solver.optimize.rules.service import serve
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
    able = [s for s in market.supplies if s.device == footprint.device and s.size >= footprint.size]
    domains, most = sum(s.count for s in able), max((s.size // footprint.size for s in able), default=0)
    parts = column.high * footprint.fragments
    yield from sorted({-(-parts // used) for used in range(1, domains + 1) if -(-parts // used) <= most})


def _survive_domains(program: LayoutProgram) -> None:
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
            room = program.domains[supply] * choice.column.touched
            program.linear.require("survival", fragments - room, at_most=0)

    def lost(choice: Choice) -> float:
        column = choice.column
        if not program.optimistic:
            return column.touched * failures
        domains = sum(counts[supply] for supply in choice.fragments)
        return max(column.touched, column.low * column.footprint.fragments * failures / domains)

    _remain(program, lost)


def _survive_hosts(program: LayoutProgram) -> None:
    """Lose the hosts with most replicas: a host touches one replica that fills it, or as many as fit into it."""
    failures = program.market.survive_hosts
    if not failures:
        return
    hosts = {supply.index: max(supply.host_sizes) for supply in program.market.supplies}

    def lost(choice: Choice) -> float:
        if program.optimistic:
            return 1.0
        size = choice.column.footprint.size
        return failures * max((max(1, hosts[supply] // size) for supply in choice.fragments), default=1)

    _remain(program, lost)


def _remain(program: LayoutProgram, lost: Callable[[Choice], float]) -> None:
    """In every role, what is left when so many replicas of each pool are lost still serves all."""
    for group in range(len(program.market.needs)):
        for role in ROLES:
            pools = [choice for choice in program.serving(group, role) if choice.fragments]
            if not pools:
                continue
            losses = [choice.used * (program.rate(choice) * min(lost(choice), choice.column.high)) for choice in pools]
            taken = _largest(program, f"{group}.{role}", losses) if program.optimistic else total(losses)
            serve(program, "survival", group, role, program.capacity(group, role) - taken)


def _largest(program: LayoutProgram, name: str, losses: Sequence[Expression]) -> Expression:
    """At least the largest of some losses, in steps."""
    most = max(factor for loss in losses for _, factor in loss.sorted())
    steps: Variable = program.linear.integer(f"lost.{name}.{len(program.linear.variables)}", 0, STEPS)
    taken = steps * (most / STEPS)
    for loss in losses:
        program.linear.require("survival", taken - loss, at_least=0, measured=True)
    return taken


SURVIVE_DOMAINS = Rule(
    "survival", "the demand is still met after the loss of any so many scale-up domains", _survive_domains
)
SURVIVE_HOSTS = Rule("survival", "the demand is still met after the loss of any so many hosts", _survive_hosts)
