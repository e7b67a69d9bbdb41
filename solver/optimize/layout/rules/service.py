"""Who is served, and in which mode."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from solver.optimize.arithmetic.linear import Demand, Expression, at_least, at_most, equal, total
from solver.optimize.arithmetic.relaxation import MARGIN
from solver.optimize.layout.pairs import MOST_POOLS, least_cost
from solver.optimize.layout.program import LEVELS, LayoutProgram, device_prices
from solver.optimize.layout.rule import rule
from solver.replica import ROLES, Role

#: Unified pools are let off by a little more than they could be asked for, so that rounding cannot bind them.
LOOSE = 1.01


@rule("modes", "requests of one promise are served unified or disaggregated, not both")
def modes(program: LayoutProgram) -> Iterator[Demand]:
    for need, disaggregated in zip(program.market.needs, program.disaggregated, strict=True):
        if not need.unified:
            yield at_least(disaggregated, 1)
        if not need.disaggregated:
            yield at_most(disaggregated, 0)
    for choice in program.choices:
        disaggregated = program.disaggregated[choice.column.group]
        if choice.column.role == "unified":
            yield at_most(choice.used + disaggregated, 1)
        else:
            yield at_most(choice.used, disaggregated)


@rule("levels of modes", "the multiple of the mix that is served is served in one mode or the other")
def levels_of_modes(program: LayoutProgram) -> Iterator[Demand]:
    if program.level is None:
        return
    for disaggregated, (together, apart) in zip(program.disaggregated, program.levels, strict=True):
        yield equal(together + apart, program.level)
        yield at_most(apart, disaggregated * LEVELS)
        yield at_most(together + disaggregated * LEVELS, LEVELS)


@rule("hand-over", "every prefill replica can hand its KV cache over to every decode replica of a promise")
def handover(program: LayoutProgram) -> Iterator[Demand]:
    """One connection for each promise whose pools are apart; only classes of replicas that are on it serve."""
    connections = program.market.connections
    for group, chosen in enumerate(program.connected):
        if not chosen:
            continue
        yield equal(total(chosen), program.disaggregated[group])
        for role in ("prefill", "decode"):
            for choice in program.serving(group, role):
                able = [
                    variable
                    for variable, connection in zip(chosen, connections, strict=True)
                    if choice.column.candidate.handover in connection.classes(role)
                ]
                yield at_most(choice.used, total(able))


@rule("splits", "prefill and decode together keep the end-to-end promise")
def splits(program: LayoutProgram) -> Iterator[Demand]:
    """Prefill and decode pools of a promise share one division of its end-to-end limit."""
    for group in range(len(program.market.needs)):
        numbers = sorted(
            {c.column.split for c in program.choices if c.column.group == group and c.column.role != "unified"}
        )
        if len(numbers) < 2:
            continue
        chosen = {number: program.linear.boolean(f"split.{group}.{number}") for number in numbers}
        yield at_most(total(chosen.values()), 1)
        for choice in program.choices:
            if choice.column.group == group and choice.column.role != "unified":
                yield at_most(choice.used, chosen[choice.column.split])


@rule("demand", "every role serves all requests that arrive")
def demand(program: LayoutProgram) -> Iterator[Demand]:
    for group in range(len(program.market.needs)):
        for role in ROLES:
            yield serves(program, group, role, program.capacity(group, role))


@rule("least rent", "no role costs less than the cheapest one or two pools that serve it")
def least_rent(program: LayoutProgram) -> Iterator[Demand]:
    """Follows from the other rules; says in one row what they leave to the search."""
    market = program.market
    if program.level is not None or market.owned or market.max_pools > MOST_POOLS:
        return
    prices = device_prices(market)
    for group, need in enumerate(market.needs):
        for role in ROLES:
            pools = list(program.serving(group, role))
            rents = [prices[c.column.footprint.device] * c.column.footprint.devices for c in pools]
            costs, _ = least_cost(
                np.array([program.rate(c) for c in pools]),
                np.array(rents),
                np.array([c.column.low for c in pools], float),
                np.array([c.column.high for c in pools], float),
                need.requests_per_s,
                market.max_pools,
            )
            least = float(min(costs, default=math.inf)) * (1 - MARGIN)
            if math.isfinite(least):
                rent = total(c.replicas * usd for c, usd in zip(pools, rents, strict=True))
                apart = program.disaggregated[group] * least
                yield at_least(rent + apart * LOOSE, least) if role == "unified" else at_least(rent, apart)


def serves(program: LayoutProgram, group: int, role: Role, capacity: Expression) -> Demand:
    """That a capacity serves all requests of a promise that its role is asked to serve.

    Unified pools serve what is not disaggregated, prefill and decode pools each what is.
    """
    asked = program.market.needs[group].requests_per_s
    if program.level is None:
        part = program.disaggregated[group] * asked
        return at_least(capacity + part * LOOSE, asked) if role == "unified" else at_least(capacity, part)
    level = program.levels[group][role != "unified"]
    return at_least(capacity, level * (asked * program.most / LEVELS))
