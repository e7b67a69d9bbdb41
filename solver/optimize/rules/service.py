"""Who is served, and in which mode."""

from __future__ import annotations

from solver.optimize.linear import Expression, total
from solver.optimize.program import LEVELS, LayoutProgram, Rule
from solver.replica import ROLES, Role

#: Unified pools are let off by a little more than they could be asked for, so that rounding cannot bind them.
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
        numbers = sorted(
            {c.column.split for c in program.choices if c.column.group == group and c.column.role != "unified"}
        )
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
    """Demand that a capacity serves all requests of a promise that its role is asked to serve.

    Unified pools serve what is not disaggregated, prefill and decode pools each what is.
    """
    asked = program.market.needs[group].requests_per_s
    if program.level is None:
        part = program.disaggregated[group] * asked
        if role == "unified":
            program.linear.require(rule, capacity + part * LOOSE, at_least=asked, measured=True)
        else:
            program.linear.require(rule, capacity - part, at_least=0, measured=True)
        return
    level = program.levels[group][role != "unified"]
    program.linear.require(rule, capacity - level * (asked * program.most / LEVELS), at_least=0, measured=True)


def _levels(program: LayoutProgram) -> None:
    """The multiple of the mix that is served is served in one mode or the other."""
    if program.level is None:
        return
    for disaggregated, (together, apart) in zip(program.disaggregated, program.levels, strict=True):
        program.linear.require("modes", together + apart - program.level, at_least=0, at_most=0)
        program.linear.require("modes", apart - disaggregated * LEVELS, at_most=0)
        program.linear.require("modes", together + disaggregated * LEVELS, at_most=LEVELS)


LEVELS_OF_MODES = Rule("modes", "requests of one promise are served unified or disaggregated, not both", _levels)
MODES = Rule("modes", "requests of one promise are served unified or disaggregated, not both", _modes)
SPLITS = Rule("splits", "prefill and decode together keep the end-to-end promise", _splits)
DEMAND = Rule("demand", "every role serves all requests that arrive", _demand)
