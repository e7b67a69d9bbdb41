"""Ages at which idle KV may move on: a grid, and the sets of ages that are worth considering together."""

from __future__ import annotations

from collections.abc import Sequence

from solver.cost.pool.retention import Retention

#: Ages offered where the user names none [s].
AGES_S = (15.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 2400.0, 3600.0, 14400.0, 86400.0)
#: Ages at which KV may leave HBM for another tier [s]; it may also never leave.
HBM_AGES_S = (0.0, 60.0)
#: Sets of ages that are priced for one promise, besides keeping nothing and no private tokens.
MOST_SETS = 6
#: Ages at which this share of the returns has come are old enough.
NEARLY_ALL = 0.999

Ages = tuple[float, ...]


def grid(kept: Retention, ages_s: Sequence[float]) -> Ages:
    """Ages at which a class's KV may be dropped, from 0 to the first at which nearly all have returned."""
    idle = kept.request_class.idle_s
    if idle is None or not kept.request_class.returns or kept.found <= 0:
        return (0.0,)
    found = [0.0]
    for age in sorted(set(ages_s)):
        found.append(age)
        if idle.returned_by(age) >= NEARLY_ALL:
            break
    return tuple(found)


def sets_of_ages(kept: Sequence[Retention], ages_s: Sequence[float]) -> list[Ages]:
    """Ages at which each class's KV is dropped, from nothing private kept to all: the frontier of tokens found per byte.

    Each step lets the class wait longer that finds most for what it then holds. A common age for all classes, as
    operators set it, is in the list for every age of the grid where there is but one class, else for those that are
    common.
    """
    grids = [grid(one, ages_s) for one in kept]
    now = [0] * len(kept)
    path = [tuple(0.0 for _ in kept)]
    while True:
        best, gain = None, 0.0
        for number, one in enumerate(kept):
            for later in range(now[number] + 1, len(grids[number])):
                slope = _slope(one, grids[number][now[number]], grids[number][later])
                if slope > gain:
                    best, gain = (number, later), slope
        if best is None:
            break
        now[best[0]] = best[1]
        path.append(tuple(g[i] for g, i in zip(grids, now, strict=True)))
    if len(kept) == 1:
        path = [(age,) for age in grids[0]]
    return list(dict.fromkeys([*_thinned(kept, path), *_common(grids, ages_s, one_class=len(kept) == 1)]))


def _slope(one: Retention, age: float, later: float) -> float:
    """Tokens found more, per token held longer."""
    held = one.stored * (one.held_s(later) - one.held_s(age))
    return one.found * (one.hit(later) - one.hit(age)) / held if held > 0 else 0.0


def _thinned(kept: Sequence[Retention], path: list[Ages]) -> list[Ages]:
    """At most ``MOST_SETS`` steps beyond the first, evenly spaced by the tokens they find; the last stays."""
    if len(path) <= MOST_SETS + 1:
        return path
    found = [
        sum(k.request_class.requests_per_s * k.found * k.hit(a) for k, a in zip(kept, ages, strict=True))
        for ages in path
    ]
    targets = [found[-1] * step / MOST_SETS for step in range(MOST_SETS + 1)]
    places = {min(range(len(path)), key=lambda i, t=target: abs(found[i] - t)) for target in targets}  # type: ignore[misc]
    return [path[i] for i in sorted(places | {0, len(path) - 1})]


def _common(grids: Sequence[Ages], ages_s: Sequence[float], one_class: bool) -> list[Ages]:
    """Every class dropped at one and the same age: the habit of five minutes, where the grid has it."""
    if one_class:
        return []
    return [tuple(min(300.0, g[-1]) for g in grids)] if 300.0 in ages_s and any(len(g) > 1 for g in grids) else []
