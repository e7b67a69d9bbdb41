"""What is left when domains or hosts fail still meets the demand.

Two things are true of every plan and hold for every column: units that fail first take at least their share of a role, and
at least so much of each of its pools as the pigeonhole principle says. For kinds of replicas that a solution uses, what
lies on every unit is enumerated (:mod:`solver.optimize.layout.failing`), and their losses are exact.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from solver.optimize.arithmetic.linear import Demand, Expression, Variable, at_least, at_most, equal, total
from solver.optimize.layout.failing import holdings
from solver.optimize.layout.hosts import least_hosts
from solver.optimize.layout.program import Choice, LayoutProgram, ReplicaKind, UnitLoss, Units
from solver.optimize.layout.rule import rule
from solver.optimize.layout.rules.service import serves
from solver.replica import ROLES, Role
from solver.space.shapes import Fragment

#: Steps in which the loss of a unit is counted.
STEPS = 2**14
#: Numbers of units in use, beyond the fewest, for each of which a tangent is drawn; beyond them one for every so much more.
EACH_UNIT, WIDER = 12, 1.25


@dataclass(frozen=True)
class _Losses:
    """What a role loses with the units that it misses most, the greatest loss first.

    Attributes
    ----------
    levels: loss of each, in steps; step: requests/s of one.
    slack: what the twin is let off, since it counts in steps too [requests/s].
    """

    levels: tuple[Variable, ...]
    step: float
    slack: float

    @property
    def whole(self) -> Expression:
        """All that is lost [requests/s]."""
        return total(level * self.step for level in self.levels)


@rule("survival", "the demand is still met after the loss of any so many scale-up domains or hosts")
def survive(program: LayoutProgram) -> Iterator[Demand]:
    """A replica is lost with any unit that it has a part in, and counted once with each."""
    for failure in program.market.failures:
        yield at_least(_in_use(program, failure), failure.failures + 1)
        lost: dict[tuple[int, Role], _Losses] = {}
        for group in range(len(program.market.needs)):
            for role in ROLES:
                pools = [choice for choice in program.serving(group, role) if choice.fragments]
                if pools:
                    lost[group, role] = losses = _losses(program, failure, pools)
                    yield serves(program, group, role, program.capacity(group, role) - losses.whole)
                    yield from _pigeonholes(program, failure, pools, losses)
                    yield from _shares(program, failure, group, role, pools)
        taken: list[Expression] = []
        for number, kinds in enumerate((*program.market.exposed, *program.market.beside)):
            yield from _exposed(program, failure, number, kinds, lost, taken)
        if program.market.whole_hosts and not program.optimistic:
            yield at_most(total(taken[: len(program.market.exposed)]), total(program.hosts.values()))


def _in_use(program: LayoutProgram, failure: UnitLoss) -> Expression:
    """Units in use; hosts with parts of several domains may count more than once."""
    if failure.unit == "host" and program.rented:
        return total(program.rented)
    return total((program.domains if failure.unit == "domain" else program.hosts).values())


def _lost_rate(program: LayoutProgram, failure: UnitLoss, choice: Choice) -> float:
    """Requests/s lost with one part: as the program counts capacity, but in the twin the least that it could be where a replica
    is counted with several units."""
    once = failure.failures == 1 or failure.parts(choice.column.footprint) == 1
    return program.rate(choice) if once else choice.column.rate


def _losses(program: LayoutProgram, failure: UnitLoss, pools: Sequence[Choice]) -> _Losses:
    """Variables for what each of the worst units takes."""
    most = sorted(
        _lost_rate(program, failure, choice) * max(failure.most(units, choice.column.footprint) for units in failure.units)
        for choice in pools
    )
    step = math.fsum(most[-program.market.max_pools :]) / (STEPS - 1)  # a step to spare for rounding
    name = f"lost.{failure.unit}.{pools[0].column.group}.{pools[0].column.role}"
    levels = tuple(program.linear.integer(f"{name}.{number}", 0, STEPS) for number in range(failure.failures))
    return _Losses(levels, step, step if program.optimistic else 0.0)


def _pigeonholes(
    program: LayoutProgram, failure: UnitLoss, pools: Sequence[Choice], losses: _Losses
) -> Iterator[Demand]:
    """Of each pool a replica for every unit lost, as long as there are any, and its even share rounded up."""
    for choice in pools:
        column = choice.column
        parts, able = failure.parts(column.footprint), failure.able(column.footprint)
        fewest = max(min(failure.failures, column.low), -(-failure.failures * parts * column.low // max(able, 1)))
        rate = _lost_rate(program, failure, choice)
        yield at_least(losses.whole, choice.used * (rate * fewest - losses.slack * len(losses.levels)))


def _shares(
    program: LayoutProgram, failure: UnitLoss, group: int, role: Role, pools: Sequence[Choice]
) -> Iterator[Demand]:
    """The units lost hold at least the mean: n of H units take n/H of a role, and of U in use n/U.

    With U units in use a role needs f(U) = U / (U - n) times its demand, a convex function: its chords between whole numbers
    bound it from below.
    """
    lost = failure.failures
    footprints = {choice.column.footprint for choice in pools}
    every = sum(units.count for units in failure.units if any(failure.most(units, each) for each in footprints))
    capacity = program.capacity(group, role)
    mean = total(
        c.replicas * (_lost_rate(program, failure, c) * lost * failure.parts(c.column.footprint) / max(every, 1))
        for c in pools
    )
    yield serves(program, group, role, capacity - mean)
    if program.level is not None:
        return
    asked, in_use = program.market.needs[group].requests_per_s, _in_use(program, failure)
    for fewer in _breaks(lost + 1, every - 1):
        high, low = fewer / (fewer - lost), (fewer + 1) / (fewer + 1 - lost)
        at_none = high + (high - low) * fewer
        yield serves(program, group, role, (capacity + in_use * (asked * (high - low))) * (1 / at_none))


def _breaks(first: int, last: int) -> Iterator[int]:
    """Every whole number of a range at first, then fewer and fewer.

    >>> list(_breaks(2, 20))
    [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 18]
    """
    number = first
    while number <= last:
        yield number
        number = number + 1 if number < first + EACH_UNIT else math.ceil(number * WIDER)


@dataclass(frozen=True)
class _Holding:
    """What so many of some units hold: parts of replicas of each kind."""

    units: Units
    content: tuple[int, ...]
    count: Variable


def _exposed(
    program: LayoutProgram,
    failure: UnitLoss,
    number: int,
    kinds: Sequence[ReplicaKind],
    lost: dict[tuple[int, Role], _Losses],
    taken: list[Expression],
) -> Iterator[Demand]:
    """Every unit holds one of the contents that fit, and each content that is in use counts among the losses.

    Parameters
    ----------
    taken: where the hosts are put on which that lies.
    """
    of_kind: dict[ReplicaKind, list[Choice]] = defaultdict(list)
    for choice in program.choices:
        if choice.fragments:
            of_kind[ReplicaKind.of(choice.column)].append(choice)
    kinds = tuple(kind for kind in kinds if kind in of_kind)
    held = [
        _Holding(units, content, program.linear.integer(_name("lies", failure, number, of, *content), 0, units.count))
        for of, units in enumerate(failure.units)
        for content in holdings(failure, units, kinds, program.market.max_pools)
    ]
    for units in failure.units:
        yield at_most(total(each.count for each in held if each.units == units), units.count)
    yield at_most(total(each.count for each in held), _in_use(program, failure))
    taken.append(total(each.count * (_hosts(each, kinds) if failure.unit == "domain" else 1) for each in held))
    yield at_most(taken[-1], total(program.hosts.values()))
    for place, kind in enumerate(kinds):
        parts = failure.parts_of_fragment(kind.footprint)
        placed = total(x * parts for choice in of_kind[kind] for x in choice.fragments.values())
        yield equal(placed, total(each.count * each.content[place] for each in held))
    for role in dict.fromkeys(kind[:2] for kind in kinds):
        mine = {place: of_kind[kind] for place, kind in enumerate(kinds) if kind[:2] == role}
        yield from _worst(program, failure, number, mine, held, lost[role])


def _name(what: str, failure: UnitLoss, *numbers: object) -> str:
    return ".".join(map(str, (what, failure.unit, *numbers)))


def _hosts(holding: _Holding, kinds: Sequence[ReplicaKind]) -> int:
    """Fewest hosts of a domain on which its content lies."""
    found = 0
    for device, rooms in holding.units.rooms:
        parts: dict[Fragment, int] = defaultdict(int)
        for kind, count in zip(kinds, holding.content, strict=True):
            if kind.footprint.device == device:
                parts[kind.footprint.fragment] += count
        found += least_hosts(rooms, parts) or 0
    return found


def _worst(
    program: LayoutProgram,
    failure: UnitLoss,
    number: int,
    mine: dict[int, list[Choice]],
    held: Sequence[_Holding],
    losses: _Losses,
) -> Iterator[Demand]:
    """The n-th greatest loss is no smaller than what any unit takes, unless fewer than n units take more.

    Parameters
    ----------
    mine: columns of one role, by the place of their kind in the contents.
    """
    alike: dict[tuple[int, ...], list[Variable]] = defaultdict(list)
    for each in held:
        if any(each.content[place] for place in mine):
            alike[tuple(each.content[place] for place in mine)].append(each.count)
    beyond: list[list[Variable]] = [[] for _ in losses.levels]
    for counts, some in alike.items():
        rates = [
            [(choice, count * _lost_rate(program, failure, choice)) for choice in choices]
            for count, choices in zip(counts, mine.values(), strict=True)
            if count
        ]
        taken = total(choice.used * rate for pools in rates for choice, rate in pools)
        most, units = math.fsum(max(rate for _, rate in pools) for pools in rates), sum(one.high for one in some)
        name = (number, *mine, *counts)
        any_ = program.linear.boolean(_name("any", failure, *name))
        yield at_most(total(some), any_ * units)
        for level, variable in enumerate(losses.levels):
            left = variable * losses.step - taken - any_ * most
            if level:
                many = program.linear.boolean(_name("many", failure, level, *name))
                counted = program.linear.integer(_name("beyond", failure, level, *name), 0, level)
                yield at_least(counted - total(some) - many * units, -units)
                beyond[level].append(counted)
                left = left + many * most
            yield at_least(left, -most - losses.slack)
    for level, counted_beyond in enumerate(beyond):
        if counted_beyond:
            yield at_most(total(counted_beyond), level)
