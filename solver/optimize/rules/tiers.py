"""Where idle KV waits: one way for each promise, in memory that the pool brings along."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain

from solver.optimize.kv_tiers.places import BUDGET, Place
from solver.optimize.linear import Expression, Variable, total
from solver.optimize.program import LEVELS, Choice, LayoutProgram, Rule


def _keeping(program: LayoutProgram) -> None:
    """A promise keeps its KV in one way, in one pool, whose columns are priced for it.

    Pools that keep nothing may stand beside no pool that does: a session's history is looked for in one place.
    """
    for group in range(len(program.market.needs)):
        ways = [number for number in program.keeps if program.market.keepings[number].group == group]
        if not ways:
            continue
        chosen = total(program.keeps[number].chosen for number in ways)
        program.linear.require("keeping", chosen, at_most=1)
        for choice in program.choices:
            if choice.column.group == group and choice.column.role != "decode" and choice.column.keeping is None:
                program.linear.require("keeping", choice.used + chosen, at_most=1)
        for number in ways:
            used = total(choice.used for choice in _of(program, number))
            program.linear.require("keeping", used - program.keeps[number].chosen, at_least=0, at_most=0)
            _one_split(program, number)


def _one_split(program: LayoutProgram, number: int) -> None:
    keeps = program.keeps[number]
    for variables in keeps.splits:
        several = [variable for variable in variables if variable is not None]
        if several:
            program.linear.require("keeping", total(several) - keeps.chosen, at_least=0, at_most=0)


def _of(program: LayoutProgram, number: int) -> Iterator[Choice]:
    return (choice for choice in program.choices if choice.column.keeping == number)


def _loads(program: LayoutProgram) -> None:
    """A pool that computes a history sooner than a tier gives it back has no hits there."""
    for number, keeps in program.keeps.items():
        ways = program.market.keepings[number].splits
        pairs = sorted(set(chain.from_iterable(choice.column.slow for choice in _of(program, number))))
        for position, tier in pairs:
            slow = total(choice.used for choice in _of(program, number) if (position, tier) in choice.column.slow)
            hit = [
                keeps.chosen if variable is None else variable
                for split, variable in zip(ways[position], keeps.splits[position], strict=True)
                if split.hits_per_s.get(tier, 0.0) > 0  # type: ignore[call-overload]
            ]
            if hit:
                program.linear.require("loads", slow + total(hit), at_most=1)


def _room(program: LayoutProgram) -> None:
    """What waits in a tier fits into it, and what goes in and out leaves its link a margin."""
    for place in program.market.places:
        for number in program.keeps:
            for what, size in (("bytes", "capacity_bytes"), ("bytes_per_s", "bytes_per_s")):
                brought = _brought(program, number, place, size)
                if brought is not None:
                    _fits(program, number, place, what, brought)
        if place.shared is not None:
            for what, most in (
                ("bytes", place.shared.capacity_bytes + place.more_bytes),
                ("bytes_per_s", place.shared.bytes_per_s * BUDGET),
            ):
                waiting = total(_amount(program, number, place, what) for number in program.keeps)
                if any(factor for _, factor in waiting.sorted()):
                    program.linear.require("room", waiting * (-1 / most), at_least=-1, measured=True)


def _brought(program: LayoutProgram, number: int, place: Place, size: str) -> Expression | None:
    """What the devices of a keeping's pool bring of a tier; None where that is no limit.

    Ranks share alike, so a pool over several kinds of hosts has the least of any of them on each rank; the twin counts
    every device's own.
    """
    least = min(getattr(room, size) for room in place.rooms)
    if math.isinf(least):
        return None
    share = BUDGET if size == "bytes_per_s" else 1.0
    more = program.keeps[number].chosen * (place.more_bytes if size == "capacity_bytes" else 0.0)
    return more + total(
        fragments
        * (choice.column.footprint.size * share * (getattr(place.rooms[s], size) if program.optimistic else least))
        for choice in _of(program, number)
        for s, fragments in choice.fragments.items()
    )


def _fits(program: LayoutProgram, number: int, place: Place, what: str, brought: Expression) -> None:
    waiting = _amount(program, number, place, what)
    largest = max((factor for _, factor in waiting.sorted()), default=0.0)
    if largest:
        program.linear.require("room", (brought - waiting) * (1 / largest), at_least=0, measured=True)


def _amount(program: LayoutProgram, number: int, place: Place, what: str) -> Expression:
    """Bytes, or bytes/s, that a keeping puts into a tier at the rates that are served.

    Objective ``throughput``: the served multiple times a choice is a product; a step count that is at most all steps
    where the split is chosen, and adds up to those served, says the same in rows.
    """
    assert what in ("bytes", "bytes_per_s")
    if program.level is None:
        return program.waiting(number, what, place.name)  # type: ignore[arg-type]
    parts = []
    keeps, keeping = program.keeps[number], program.market.keepings[number]
    for position, (way, variables) in enumerate(zip(keeping.splits, keeps.splits, strict=True)):
        steps = _steps(program, number, position, [keeps.chosen if v is None else v for v in variables])
        for split, step in zip(way, steps, strict=True):
            parts.append(step * (getattr(split, what).get(place.name, 0.0) * program.most / LEVELS))
    return total(parts)


def _steps(program: LayoutProgram, number: int, position: int, chosen: list[Variable]) -> list[Variable]:
    """Steps of the multiple that is served with each split of a class, made once for all tiers."""
    known = program.served_with.setdefault((number, position), [])
    if not known:
        for place, variable in enumerate(chosen):
            steps = program.linear.integer(f"steps.{number}.{position}.{place}", 0, LEVELS)
            program.linear.require("room", steps - variable * LEVELS, at_most=0)
            known.append(steps)
        keeping = program.market.keepings[number]
        level = program.levels[keeping.group][keeping.role != "unified"]
        kept = total(known) - level - program.keeps[number].chosen * LEVELS
        program.linear.require("room", kept, at_least=-LEVELS)
    return known


KEEPING = Rule("keeping", "a promise's idle KV is kept in one way, on one side", _keeping)
LOADS = Rule("loads", "history is loaded only where that is faster than computing it again", _loads)
ROOM = Rule("room", "idle KV fits into its tiers, and their links carry it", _room)
