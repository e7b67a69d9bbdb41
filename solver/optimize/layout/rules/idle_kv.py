"""Where idle KV waits: one way for each promise, in memory that the pool brings along."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain

from solver.optimize.arithmetic.linear import Demand, Expression, at_least, at_most, equal, total
from solver.optimize.layout.kv_tiers.keeping import TIER_AMOUNTS, TierAmount
from solver.optimize.layout.kv_tiers.places import BUDGET, Place
from solver.optimize.layout.program import LEVELS, Choice, LayoutProgram
from solver.optimize.layout.rule import rule


@rule("keeping", "a promise's idle KV is kept in one way, on one side")
def keeping(program: LayoutProgram) -> Iterator[Demand]:
    """A promise keeps its KV in one way, in one pool, whose columns are priced for it.

    Pools that keep nothing may stand beside no pool that does: a session's history is looked for in one place.
    """
    for group in range(len(program.market.needs)):
        ways = [number for number in program.keeps if program.market.keepings[number].group == group]
        if not ways:
            continue
        chosen = total(program.keeps[number].chosen for number in ways)
        yield at_most(chosen, 1)
        for choice in program.choices:
            if choice.column.group == group and choice.column.role != "decode" and choice.column.keeping is None:
                yield at_most(choice.used + chosen, 1)
        for number in ways:
            yield equal(total(choice.used for choice in _of(program, number)), program.keeps[number].chosen)
            yield from _one_split(program, number)


def _one_split(program: LayoutProgram, number: int) -> Iterator[Demand]:
    keeps = program.keeps[number]
    for variables in keeps.splits:
        several = [variable for variable in variables if variable is not None]
        if several:
            yield equal(total(several), keeps.chosen)


def _of(program: LayoutProgram, number: int) -> Iterator[Choice]:
    return (choice for choice in program.choices if choice.column.keeping == number)


@rule("loads", "history is loaded only where that is faster than computing it again")
def loads(program: LayoutProgram) -> Iterator[Demand]:
    """A pool that computes a history sooner than a tier gives it back has no hits there."""
    for number, keeps in program.keeps.items():
        ways = program.market.keepings[number].splits
        pairs = sorted(set(chain.from_iterable(choice.column.slow for choice in _of(program, number))))
        for position, tier in pairs:
            slow = total(choice.used for choice in _of(program, number) if (position, tier) in choice.column.slow)
            hit = [
                keeps.chosen if variable is None else variable
                for split, variable in zip(ways[position], keeps.splits[position], strict=True)
                if split.hits_per_s.get(tier, 0.0) > 0
            ]
            if hit:
                yield at_most(slow + total(hit), 1)


@rule("served with", "what is served with each division of the waiting time adds up to what is served")
def served_with(program: LayoutProgram) -> Iterator[Demand]:
    """Objective ``throughput``: the served multiple times a choice is a product.

    A step count that is at most all steps where the split is chosen, and adds up to those served, says the same in rows.
    """
    if program.level is None or not program.market.places:
        return
    for number, keeps in program.keeps.items():
        keeping = program.market.keepings[number]
        level = program.levels[keeping.group][keeping.role != "unified"]
        for position, variables in enumerate(keeps.splits):
            chosen = [keeps.chosen if variable is None else variable for variable in variables]
            steps = [program.linear.integer(f"steps.{number}.{position}.{n}", 0, LEVELS) for n in range(len(chosen))]
            program.served_with[number, position] = steps
            for each, split in zip(steps, chosen, strict=True):
                yield at_most(each, split * LEVELS)
            yield at_least(total(steps) - level - keeps.chosen * LEVELS, -LEVELS)


@rule("room", "idle KV fits into its tiers, and their links carry it")
def room(program: LayoutProgram) -> Iterator[Demand]:
    """What waits in a tier fits into it, and what goes in and out leaves its link a margin."""
    for place in program.market.places:
        for number in program.keeps:
            for what in TIER_AMOUNTS:
                brought, waiting = _brought(program, number, place, what), _amount(program, number, place, what)
                largest = max((factor for _, factor in waiting.sorted()), default=0.0)
                if brought is not None and largest:
                    yield at_least((brought - waiting) * (1 / largest), 0)
        if place.shared is None:
            continue
        whole: dict[TierAmount, float] = {
            "bytes": place.shared.capacity_bytes + place.more_bytes,
            "bytes_per_s": place.shared.bytes_per_s * BUDGET,
        }
        for what, most in whole.items():
            waiting = total(_amount(program, number, place, what) for number in program.keeps)
            if any(factor for _, factor in waiting.sorted()):
                yield at_least(waiting * (-1 / most), -1)


def _brought(program: LayoutProgram, number: int, place: Place, what: TierAmount) -> Expression | None:
    """What the devices of a keeping's pool bring of a tier; None where that is no limit.

    Ranks share alike, so a pool over several kinds of hosts has the least of any of them on each rank; the twin counts
    every device's own.
    """
    each = [part.capacity_bytes if what == "bytes" else part.bytes_per_s * BUDGET for part in place.rooms]
    least = min(each)
    if math.isinf(least):
        return None
    more = program.keeps[number].chosen * (place.more_bytes if what == "bytes" else 0.0)
    return more + total(
        fragments * (choice.column.footprint.size * (each[supply] if program.optimistic else least))
        for choice in _of(program, number)
        for supply, fragments in choice.fragments.items()
    )


def _amount(program: LayoutProgram, number: int, place: Place, what: TierAmount) -> Expression:
    """Bytes, or bytes/s, that a keeping puts into a tier at the rates that are served."""
    if program.level is None:
        return program.waiting(number, what, place.name)
    parts = []
    for position, way in enumerate(program.market.keepings[number].splits):
        for split, steps in zip(way, program.served_with[number, position], strict=True):
            parts.append(steps * (split.amount(what).get(place.name, 0.0) * program.most / LEVELS))
    return total(parts)
