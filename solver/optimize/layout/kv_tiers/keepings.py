"""All ways to keep idle KV that the layout program chooses from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product

from solver.cost.instance import Instance, PromiseGroup
from solver.cost.pool.retention import Retention
from solver.optimize.layout.kv_tiers.ages import AGES_S, HBM_AGES_S, grid, sets_of_ages
from solver.optimize.layout.kv_tiers.keeping import Keeping, splits
from solver.optimize.layout.kv_tiers.places import Place
from solver.replica import Role

#: Numbers of caches among which sessions may land at random and still be worth keeping.
CACHES = (1, 2, 4)


def keepings(instance: Instance, group: PromiseGroup, roles: Sequence[Role], places: Sequence[Place]) -> tuple[Keeping, ...]:
    """Ways to keep the idle KV of a promise; none where its classes reuse nothing or the user wants none.

    Under random routing a session finds its history in one cache of n, so pools of few caches are priced for that; a
    pooled remote tier is one cache for all.
    """
    options = instance.scenario.options
    if not any(c.reuses for c in group.classes) or options.kv_tiers == ():
        return ()
    ages_s = options.kv_ages_s or AGES_S
    found: list[Keeping] = []
    for role in (role for role in roles if role != "decode"):
        sides = [True] if role == "unified" else [False, True] if _generates(group) else [False]
        for back, (caches, tiers) in product(sides, _caches(instance, places)):
            kept = tuple(Retention.of(c, back, max(caches, 1)) for c in group.classes)
            found += _of_side(instance, group, role, kept, back and role == "prefill", caches, tiers, ages_s)
    return tuple(found)


def _generates(group: PromiseGroup) -> bool:
    return any(c.returns and c.generated_tokens > 0 for c in group.classes)


def _caches(instance: Instance, places: Sequence[Place]) -> Iterator[tuple[int, Sequence[Place]]]:
    """Most caches in which a session's next turn may land, and the tiers that it is then looked for in.

    0: any number, because routing finds the right one or the tier is pooled and serves them all.
    """
    if instance.scenario.traffic.routing != "random":
        yield 0, places
        return
    for number in CACHES:
        yield number, [place for place in places if place.shared is None]
    pooled = [place for place in places if place.shared is not None]
    if pooled:
        yield 0, pooled


def _of_side(
    instance: Instance,
    group: PromiseGroup,
    role: Role,
    kept: tuple[Retention, ...],
    write_back: bool,
    caches: int,
    tiers: Sequence[Place],
    ages_s: Sequence[float],
) -> Iterator[Keeping]:
    """The sets of ages of one side; with tiers behind it, HBM may be left early."""
    pooled = caches == 0 and instance.scenario.traffic.routing == "random"
    grids = [grid(one, ages_s) for one in kept]
    for drop_s in sets_of_ages(kept, ages_s):
        if not any(drop_s) and (write_back or not any(c.reused_tokens.shared for c in group.classes)):
            continue
        limits = (0.0,) if pooled else (*HBM_AGES_S, math.inf) if tiers else (math.inf,)
        for hbm_s in dict.fromkeys(tuple(min(limit, age) for age in drop_s) for limit in limits):
            ways = tuple(
                tuple(splits(one, instance.llm, hbm, drop, ages, tiers))
                for one, hbm, drop, ages in zip(kept, hbm_s, drop_s, grids, strict=True)
            )
            yield Keeping(group.index, role, kept, hbm_s, drop_s, write_back, caches, ways)
