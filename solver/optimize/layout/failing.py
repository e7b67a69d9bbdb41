"""What units that may fail can hold of the replicas of some kinds, and for which kinds that is worth writing down."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

from solver.optimize.layout.hosts import joint
from solver.optimize.layout.program import Failure, Market, ReplicaKind, Units
from solver.space.profiles import Column

#: Contents of units that one program may have.
MOST_CONTENTS = 1500


def holdings(failure: Failure, units: Units, kinds: Sequence[ReplicaKind]) -> Iterator[tuple[int, ...]]:
    """Parts of replicas of each kind that one unit may hold together: every combination that fits, but the empty one."""
    rooms = dict(units.rooms)
    on: dict[str, list[int]] = defaultdict(list)
    for place, kind in enumerate(kinds):
        on[kind.footprint.device].append(place)
    devices = [device for device in on if device in rooms]
    ways: list[list[tuple[int, ...]]] = []
    for device in devices:
        parts = [failure.part(kinds[place].footprint) for place in on[device]]
        ways.append([(0,) * len(parts), *joint(rooms[device], parts)])
    for chosen in itertools.product(*ways):
        held = [0] * len(kinds)
        for device, counts in zip(devices, chosen, strict=True):
            for place, count in zip(on[device], counts, strict=True):
                held[place] = count
        if any(held):
            yield tuple(held)


def exposing(market: Market, columns: Sequence[Column]) -> Market | None:
    """The market in which the contents of units are enumerated for these columns' kinds of replicas, beside those that were
    before as far as that stays few; None where it cannot.

    All kinds together where those are few, else each promise by itself, else each role: what another role leaves of a unit
    is then left to the placement.
    """
    wanted = list(dict.fromkeys(ReplicaKind.of(column) for column in columns))
    before = [kind for together in market.exposed for kind in together]
    if set(wanted) <= set(before):
        return market
    for kinds in ([*before, *(kind for kind in wanted if kind not in before)], wanted):
        for key in (lambda kind: (), lambda kind: (kind.group,), lambda kind: (kind.group, kind.role)):
            sets: dict[tuple[object, ...], list[ReplicaKind]] = defaultdict(list)
            for kind in kinds:
                sets[key(kind)].append(kind)
            exposed = tuple(tuple(members) for members in sets.values())
            if _few(market, exposed):
                return replace(market, exposed=exposed)
    return None


def is_exposed(market: Market, column: Column) -> bool:
    """Whether what units hold of a column's replicas is enumerated."""
    kind = ReplicaKind.of(column)
    return any(kind in together for together in market.exposed)


def _few(market: Market, exposed: Sequence[Sequence[ReplicaKind]]) -> bool:
    every = (
        content
        for failure in market.failures
        for units in failure.units
        for kinds in exposed
        for content in holdings(failure, units, kinds)
    )
    return sum(1 for _ in itertools.islice(every, MOST_CONTENTS + 1)) <= MOST_CONTENTS
