"""What could serve a scenario: every cell of replicas that could stand in for each other, priced anew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from solver.cost.instance import Instance, PromiseGroup
from solver.cost.pool.promise import Promise
from solver.engines import EngineRules, engine_rules
from solver.experts.recorded import balance_of
from solver.replica import Engine, Role
from solver.space.candidates import candidates, context_degrees, startable
from solver.space.certainty import certain
from solver.space.handover import Handover, handover
from solver.space.profiles import Cells, Column, cells_of
from solver.space.shapes import Footprint, shapes

#: Shares of an end-to-end promise that the first token may take: those that the search tries.
SHARES = (0.05, 0.1, 0.2, 0.35, 0.5, 0.7)


@dataclass(frozen=True)
class Good:
    """One cell: replicas of one footprint, role and promise that hand over alike."""

    cells: Cells
    number: int

    @property
    def group(self) -> int:
        """The promise that it serves."""
        return self.cells.group

    @property
    def split(self) -> int:
        """Division of the end-to-end limit that it keeps."""
        return self.cells.split

    @property
    def role(self) -> Role:
        """Role of its replicas."""
        return self.cells.alive.role

    @property
    def footprint(self) -> Footprint:
        """What a replica takes."""
        return self.cells.footprint(self.number)

    @property
    def handover(self) -> int:
        """Class of its replicas at the hand-over."""
        return self.cells.alive.rows[self.cells.members[self.number][0]].handover

    @property
    def reach(self) -> float:
        """Requests/s that no replica exceeds."""
        return self.cells.reach[self.number]

    @property
    def most(self) -> int:
        """Replicas that fit when nothing else runs."""
        return self.cells.most[self.number]

    def bands(self) -> list[Column]:
        """Its columns, for every band of replica counts."""
        return self.cells.columns([(self.number, *band) for band in self.cells.bands(self.number)])


@dataclass(frozen=True)
class Stock:
    """All goods of one engine, and how its pools hand over."""

    engine: Engine
    goods: tuple[Good, ...]
    handover: Handover


def stock(instance: Instance, engine: Engine) -> Stock:
    """Everything that an engine would start for a scenario and that keeps its promises at some load."""
    rules = engine_rules(engine, instance.scenario.engine_version)
    joined = _handover(instance, rules)
    goods = tuple(
        Good(cells, number) for cells in _cells(instance, engine, rules, joined) for number in range(len(cells))
    )
    return Stock(engine, goods, joined)


def _cells(instance: Instance, engine: Engine, rules: EngineRules, joined: Handover) -> Iterator[Cells]:
    scenario, balance = instance.scenario, balance_of(instance)
    for fleet in instance.fleets:
        calibration, _ = instance.calibration(engine, fleet.device.name)
        for role in roles(instance):
            drafting = {drafts: instance.accepted(drafts, role) for drafts in instance.drafts(role)}
            started = startable(
                instance.llm, fleet, rules, role, scenario.constraints, drafting, balance, joined,
                scenario.options.memory_fraction,
            )  # fmt: skip
            for group in instance.groups:
                legal, _ = candidates(started, calibration, group.mix, scenario.constraints, instance.longest)
                if legal is None:
                    continue
                legal = certain(legal, instance)
                pins = scenario.constraints.pools
                allowed = [
                    (scenario.constraints.other_pools and row.setup.parallelism.cp == 1)
                    or any(pin.device in (None, fleet.device.name) and pin.fits(row.setup) for pin in pins)
                    for row in legal.rows
                ]
                if not any(allowed):
                    continue
                least = scenario.constraints.min_replicas if not pins else 1
                for split, promise in promises(group, role):
                    found = cells_of(legal.keep(np.array(allowed)), group.mix, promise, group.index, split, least)
                    if found is not None:
                        yield found


def roles(instance: Instance) -> list[Role]:
    """Roles that pools may have."""
    allowed = instance.scenario.constraints.roles or ("prefill", "decode", "unified")
    wanted = instance.scenario.options.disaggregate
    found: list[Role] = ["unified"] if "unified" in allowed and wanted is not True else []
    return found + (["prefill", "decode"] if {"prefill", "decode"} <= set(allowed) and wanted is not False else [])


def promises(group: PromiseGroup, role: Role) -> Iterator[tuple[int, Promise]]:
    """What a role must keep, for each share that the first token may take of an end-to-end limit."""
    whole = group.promise
    if role == "unified":
        yield 0, whole
        return
    for number, share in enumerate(SHARES if whole.end_to_end else (0.0,)):
        yield number, whole.first(share) if role == "prefill" else whole.later(share, group.mix.later_tokens)


def _handover(instance: Instance, rules: EngineRules) -> Handover:
    constraints = instance.scenario.constraints
    sides: tuple[Role, ...] = ("prefill", "decode")
    setups = [
        replace(shape.setup(rules, role), draft_tokens=drafts)
        for fleet in instance.fleets
        for role in sides
        for shape in {s[:6]: s for s in shapes(instance.llm, fleet, context=context_degrees(constraints, role))}.values()
        for drafts in instance.drafts(role)
    ]
    return handover(instance.llm, rules, instance.fleets[0].device, setups)

