"""What is left when domains or hosts fail still meets the demand."""

from __future__ import annotations

from solver.optimize.linear import Variable, total
from solver.optimize.program import Choice, LayoutProgram, Rule, Supply
from solver.optimize.rules.service import serve
from solver.replica import ROLES, Role


def _survive_domains(program: LayoutProgram) -> None:
    """Lose the fullest domains: at most ``failures`` times the replicas of a pool that any one domain touches.

    A replica over several domains is lost with any of them. The twin counts the loss of each pool alone, and for more than
    one failure the mean, which no mapping undercuts.
    """
    failures = program.market.survive_domains
    if not failures:
        return
    touched = {id(choice): _touched(program, choice) for choice in program.choices}
    for group in range(len(program.market.needs)):
        for role in ROLES:
            pools = list(program.serving(group, role))
            if program.optimistic:
                for choice in pools:
                    _remain(program, group, role, [(choice, touched[id(choice)])], failures)
            else:
                _remain(program, group, role, [(choice, touched[id(choice)]) for choice in pools], failures)


def _touched(program: LayoutProgram, choice: Choice) -> Variable:
    """Most replicas of a column that one domain may touch; at least the mean over the domains it may use."""
    supplies = {supply.index: supply for supply in program.market.supplies}
    most = max((supplies[i].size // choice.column.footprint.size for i in choice.fragments), default=0)
    touched = program.linear.integer(f"touched.{choice.used.index}", 0, most)
    for index, fragments in choice.fragments.items():
        _spread(program, supplies[index], fragments, touched)
    return touched


def _spread(program: LayoutProgram, supply: Supply, fragments: Variable, touched: Variable) -> None:
    """``fragments <= touched x domains in use``, a product of two whole numbers, linear for each value of the first."""
    domains = program.domains[supply.index]
    most = fragments.high
    levels = [program.linear.boolean(f"touched.{fragments.index}.{q}") for q in range(touched.high + 1)]
    program.linear.require("survival", total(levels), at_least=1, at_most=1)
    program.linear.require("survival", total(level * q for q, level in enumerate(levels)) - touched, at_most=0)
    for q, level in enumerate(levels):
        program.linear.require("survival", fragments - domains * q + level * most, at_most=most)


def _remain(program: LayoutProgram, group: int, role: Role, lost: list[tuple[Choice, Variable]], failures: int) -> None:
    capacity = program.capacity(group, role)
    for choice, touched in lost:
        capacity = capacity - touched * (program.rate(choice) * failures * _certain(program, failures))
    serve(program, "survival", group, role, capacity)


def _certain(program: LayoutProgram, failures: int) -> float:
    """Share of ``failures x the fullest domain`` that the fullest domains are sure to hold."""
    return 1.0 if failures == 1 or not program.optimistic else 1.0 / failures


def _survive_hosts(program: LayoutProgram) -> None:
    """Lose the hosts with most replicas: a host touches one replica that fills it, or as many as fit into it."""
    failures = program.market.survive_hosts
    if not failures:
        return
    for group in range(len(program.market.needs)):
        for role in ROLES:
            pools = list(program.serving(group, role))
            if not pools:
                continue
            capacity = program.capacity(group, role)
            for choice in pools:
                alone = capacity - choice.used * (program.rate(choice) * failures * _on_one_host(program, choice))
                serve(program, "survival", group, role, alone)


def _on_one_host(program: LayoutProgram, choice: Choice) -> int:
    """Replicas that one host may touch; the twin counts on mappings that leave no more than one."""
    if program.optimistic:
        return 1
    hosts = [max(s.host_sizes) for s in program.market.supplies if s.index in choice.fragments]
    return max((max(1, host // choice.column.footprint.size) for host in hosts), default=1)


SURVIVE_DOMAINS = Rule("survival", "the demand is still met after the loss of any so many scale-up domains", _survive_domains)
SURVIVE_HOSTS = Rule("survival", "the demand is still met after the loss of any so many hosts", _survive_hosts)
