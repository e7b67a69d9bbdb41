"""Who is served, and in which mode."""

from __future__ import annotations

from solver.optimize.linear import Expression, total
from solver.optimize.program import LEVELS, LayoutProgram, Rule
from solver.replica import ROLES, Role


#: A role that takes no part is let off by a little more than it could be asked for, so that rounding cannot bind it.
LOOSE = 1.01


def _modes(program: LayoutProgram) -> None:
    for need, disaggregated in zip(program.market.needs, program.disaggregated, strict=True):
        if not need.unified:
            program.linear.require("modes", disaggregated, at_least=1)
        if not need.disaggregated:
            program.linear.require("modes", disaggregated, at_most=0)
    for choice in program.choices:
        disaggregated = program.disaggregated[choice.column.group]
        if choice.column.role == "unified":
            program.linear.require("modes", choice.used + disaggregated, at_most=1)
        else:
            program.linear.require("modes", choice.used - disaggregated, at_most=0)


def _splits(program: LayoutProgram) -> None:
    """Prefill and decode pools of a promise share one division of its end-to-end limit."""
    for group in range(len(program.market.needs)):
        numbers = sorted({c.column.split for c in program.choices if c.column.group == group and c.column.role != "unified"})
        if len(numbers) < 2:
            continue
        chosen = {number: program.linear.boolean(f"split.{group}.{number}") for number in numbers}
        program.linear.require("splits", total(chosen.values()), at_most=1)
        for choice in program.choices:
            if choice.column.group == group and choice.column.role != "unified":
                program.linear.require("splits", choice.used - chosen[choice.column.split], at_most=0)


def _demand(program: LayoutProgram) -> None:
    for group in range(len(program.market.needs)):
        for role in ROLES:
            serve(program, "demand", group, role, program.capacity(group, role))


def serve(program: LayoutProgram, rule: str, group: int, role: Role, capacity: Expression) -> None:
    """Demand that a capacity serves all requests of a promise, if the role takes part.

    Prefill and decode take part where the promise is served disaggregated, unified pools elsewhere.
    """
    asked = program.market.needs[group].requests_per_s
    disaggregated = program.disaggregated[group]
    if program.level is None:
        if role == "unified":
            program.linear.require(rule, capacity + disaggregated * (asked * LOOSE), at_least=asked, measured=True)
        else:
            program.linear.require(rule, capacity - disaggregated * asked, at_least=0, measured=True)
        return
    surplus = capacity - program.level * (asked * program.most / LEVELS)
    most = asked * program.most * LOOSE
    if role == "unified":
        program.linear.require(rule, surplus + disaggregated * most, at_least=0, measured=True)
    else:
        program.linear.require(rule, surplus - disaggregated * most, at_least=-most, measured=True)


MODES = Rule("modes", "requests of one promise are served unified or disaggregated, not both", _modes)
SPLITS = Rule("splits", "prefill and decode together keep the end-to-end promise", _splits)
DEMAND = Rule("demand", "every role serves all requests that arrive", _demand)
