"""The best load that keeps a promise, found for thousands of rows at once, between a point that is known to keep it and
one that is known to break it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solver.cost.pool.roots import CEILING, crossing_between

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]

#: Points that one evaluation takes for little more than one, and the most of them that one row gets.
ROWS_AT_ONCE, MOST_POINTS = 384, 47
#: With more rows than this each is asked for one point at a time; fewer get so many that they close in from both sides.
MANY_ROWS = 96
#: Share of the points that lie close about where the root should be, how far from it the farthest of them do, and how near to
#: an end it is looked for, both of the interval.
NEAR_ROOT, FARTHEST, INSIDE = 0.6, 0.1, 1e-3
#: Least share of a limit that counts while the root is interpolated.
NEGLIGIBLE = 1e-9
#: How far apart the ends of a bracket may lie unless it is said, as a ratio less 1.
WIDTH = 2e-5
#: Most evaluations: bisection of nine orders of magnitude down to the width takes 40.
MOST_EVALUATIONS = 60
#: Where more load may serve fewer requests/s, the best point is known to serve at most this much less than the peak.
PEAK_WIDTH = 1e-3
#: Share of the load at which a row must serve clearly less (this share of the requests/s), else its peak is looked for: past
#: a peak the requests/s fall to a plateau, and may rise on it again by a hair.
LIGHTER, CLEARLY = 0.8, 0.98
#: Loads about the best point of a peak at which it is looked at more closely, over that point's: first wide, then narrow.
PEAK_STEPS = tuple(1 + np.linspace(-wide, wide, 17) for wide in (0.4, 0.06, 0.008))
#: Share by which a load may fall short of the requests/s that it is to reach, and most loads at which one is looked for.
REACHED, MOST_CUTS = 1e-6, 50_000
#: Share of what is asked from which on a peak is looked at more closely, and how often, each time between the loads next to it.
NEARLY, CLOSER = 0.95, 2
#: Points of the first look for a peak, and how far below the heaviest load it starts, as a ratio.
PEAK_POINTS, PEAK_RANGE = 16, 65536.0


@dataclass(frozen=True)
class Bracket:
    """The largest value known to be allowed, and the smallest known not to be.

    Attributes
    ----------
    kept: largest value at which the excess was seen at most 0 (R,); 0 where it is above 0 throughout.
    failed: smallest value at which it was seen above 0 (R,); the upper end where it is at most 0 there.
    """

    kept: Floats
    failed: Floats


def bracket(
    excess: Callable[[Rows, Floats], Floats], low: Floats, high: Floats, width: float = WIDTH
) -> Bracket:
    """The largest value in [low, high] at which ``excess`` is at most 0, between two that are next to each other.

    ``excess(rows, values)`` must grow with the value and may be infinite; a row may occur several times. Roots are interpolated
    over the logarithm: those of many rows point by point, of few at many points at once.

    Parameters
    ----------
    low, high: ends of the range, above 0 (R,).
    width: how far apart the two may lie, as a ratio less 1.

    >>> found = bracket(lambda rows, x: x**2 - 2, np.array([1e-6]), np.array([3.0]))
    >>> bool(found.kept[0] < 2**0.5 < found.failed[0]), bool(found.failed[0] / found.kept[0] < 1.0001)
    (True, True)
    """
    high = np.maximum(high, low)
    # The two values next to the root on either side, and the excess there. What was not seen yet: 0 keeps all, infinity none.
    values = np.tile([0.0, 0.0, np.inf, np.inf], (len(high), 1))
    overs = np.tile([-1.0, -1.0, np.inf, np.inf], (len(high), 1))

    def seen(rows: Rows, points: Floats) -> Floats:
        """The excess of some rows at some values of each (r, n), which are remembered."""
        found = excess(np.repeat(rows, points.shape[1]), points.ravel()).reshape(points.shape)
        beyond = np.full((len(rows), 2), np.inf)
        value, over = np.hstack([values[rows], points, beyond]), np.hstack([overs[rows], found, beyond])
        order = np.argsort(value, axis=1, kind="stable")
        value, over = np.take_along_axis(value, order, axis=1), np.take_along_axis(over, order, axis=1)
        # What fails counts from beyond all that was seen to be allowed.
        last = value.shape[1] - 1 - np.argmax((over <= 0)[:, ::-1], axis=1)
        next_to = last[:, None] + np.arange(-1, 3)
        values[rows], overs[rows] = np.take_along_axis(value, next_to, axis=1), np.take_along_axis(over, next_to, axis=1)
        return found

    everyone = np.arange(len(low))
    first = inner_points(len(low)) if 0 < len(low) <= MANY_ROWS else 0
    ends = seen(everyone, np.hstack([low[:, None], _between(low, high, first), high[:, None]]))
    # Only rows that keep to it somewhere, and not everywhere, hold a root.
    rows = everyone[(values[:, 1] > 0) & np.isfinite(values[:, 2])]
    if len(rows) > MANY_ROWS:
        crossing_between(
            lambda some, x: _logarithm(seen(rows[some], np.exp(x)[:, None])[:, 0]),
            np.log(low[rows]),
            np.log(high[rows]),
            *_logarithm(ends[rows].T),
            evaluations=MOST_EVALUATIONS,
            width=width,
            few=MANY_ROWS,
        )
    for _ in range(MOST_EVALUATIONS):
        rows = rows[values[rows, 2] > values[rows, 1] * (1 + 1.01 * width)]
        if not len(rows):
            break
        seen(rows, _about_root(values[rows], overs[rows], width, inner_points(len(rows))))
    return Bracket(values[:, 1], np.where(np.isfinite(values[:, 2]), values[:, 2], high))


def _logarithm(over: Floats) -> Floats:
    """Of a quantity over its limit: latencies are nearly powers of the load."""
    return np.asarray(np.log1p(np.clip(over, NEGLIGIBLE - 1, CEILING)))


def _about_root(values: Floats, overs: Floats, width: float, count: int) -> Floats:
    """So many values between the second and the third of four of each row, between which its excess crosses 0 (R, count).

    Some part the interval evenly, in the logarithm; the others lie ever closer about where the root should be, from both sides.
    """
    low, high = values[:, 1], values[:, 2]
    each_side = int(count * NEAR_ROOT / 2)
    even = np.arange(1, count - 2 * each_side + 1) / (count - 2 * each_side + 1)
    with np.errstate(divide="ignore"):
        x, f = np.log(values), _logarithm(overs)
    root = _root(x, f)[:, None]
    length = np.log(high / low)[:, None]
    way = (np.arange(each_side) + 1) / max(each_side, 2)
    near = FARTHEST ** (1 - way) * np.minimum(width / 2 / length, FARTHEST) ** way
    parts = np.hstack([np.broadcast_to(even, (len(low), len(even))), root * (1 - near), root + (1 - root) * near])
    return low[:, None] * np.exp(parts * length)


def _root(x: Floats, f: Floats) -> Floats:
    """Where f is 0 between the second and the third of four points (R, 4), as a share of the way (R,).

    By inverse quadratic interpolation with the third nearest, or on the straight line.
    """
    b, a, fb, fa = x[:, 1], x[:, 2], f[:, 1], f[:, 2]
    third = np.where(np.abs(fa) < np.abs(fb), 3, 0), np.arange(len(x))
    c, fc = x[third[::-1]], f[third[::-1]]
    with np.errstate(divide="ignore", invalid="ignore"):
        straight = fb / (fb - fa)
        at = a * fb * fc / ((fa - fb) * (fa - fc)) + b * fa * fc / ((fb - fa) * (fb - fc))
        curved = (at + c * fa * fb / ((fc - fa) * (fc - fb)) - b) / (a - b)
    share = np.where((curved > 0) & (curved < 1), curved, straight)
    return np.clip(share, INSIDE, 1 - INSIDE)


def inner_points(rows: int) -> int:
    """Points of each of so many intervals that are looked at in one evaluation, which costs as much for one row as for a
    few hundred."""
    return int(np.clip(ROWS_AT_ONCE // rows, 1, MOST_POINTS))


def _between(low: Floats, high: Floats, count: int) -> Floats:
    """So many points that part intervals (R,) evenly in the logarithm (R, count)."""
    share = np.arange(1, count + 1) / (count + 1)
    return low[:, None] * (high / low)[:, None] ** share


@dataclass(frozen=True)
class BestLoad:
    """The load that serves the most requests/s of those that keep a promise.

    Attributes
    ----------
    load: that load (R,); 0 where none keeps it.
    reach: requests/s that no load which keeps it exceeds (R,).
    """

    load: Floats
    reach: Floats


def best_load(
    rate: Callable[[Rows, Floats], Floats], allowed: Bracket, served: Floats | None = None
) -> BestLoad:
    """The load below the end of a bracket at which most requests/s are served.

    More load can serve fewer: steps grow, and with them everything that waits for them. ``rate(rows, loads) / loads``
    must not grow with the load (each request is served no faster beside more), so that between two loads l < r no more
    than ``rate(l) r / l`` are served: intervals are cut until none can hold a better one.

    Parameters
    ----------
    served: requests/s at the lower end of the bracket, where they are known (R,).

    >>> def hump(rows, x): return x * np.exp(-x)
    >>> found = best_load(hump, Bracket(np.array([3.0]), np.array([3.1])))
    >>> bool(abs(found.load[0] - 1) < 0.1), bool(np.exp(-1) <= found.reach[0] <= np.exp(-1) * 1.002)
    (True, True)
    """
    load = allowed.kept.astype(float)
    rows = np.flatnonzero(load > 0)
    best = np.zeros_like(load)
    reach = np.zeros_like(load)
    if not len(rows):
        return BestLoad(load, reach)
    best[rows] = rate(rows, load[rows]) if served is None else served[rows]
    # Nothing between the two ends of the bracket serves more than the rate per load at its lower end allows.
    reach[rows] = best[rows] * allowed.failed[rows] / load[rows]
    # Where a little less load serves about as much, the peak may lie further down.
    fewer = rate(rows, load[rows] * LIGHTER) >= CLEARLY * best[rows]
    rows = rows[fewer]
    if len(rows):
        _look_for_peaks(rate, rows, load, best, reach)
    return BestLoad(load, reach)


def _look_for_peaks(
    rate: Callable[[Rows, Floats], Floats], rows: Rows, load: Floats, best: Floats, reach: Floats
) -> None:
    """Raise ``best`` and ``reach`` of some rows to their peak below ``load``, and move the load there."""
    grid = PEAK_RANGE ** np.linspace(-1, 0, PEAK_POINTS)
    row, left = np.repeat(rows, PEAK_POINTS - 1), np.outer(load[rows], grid[:-1]).ravel()
    right = np.outer(load[rows], grid[1:]).ravel()
    top, beyond = load[rows].copy(), reach.copy()
    served = rate(row, left)
    while True:
        better = np.argsort(served, kind="stable")  # the best point of a row is written last
        improved = better[served[better] > best[row[better]]]
        load[row[improved]], best[row[improved]] = left[improved], served[improved]
        bound = served * right / left
        open_ = bound > best[row] * (1 + PEAK_WIDTH)
        np.maximum.at(reach, row[~open_], bound[~open_])
        row, left, right = row[open_], left[open_], right[open_]
        if not len(row):
            break
        inner = _between(left, right, inner_points(len(row)))
        cuts = np.concatenate([left[:, None], inner, right[:, None]], axis=1)
        known, row = served[open_], np.repeat(row, inner.shape[1] + 1)
        left, right = cuts[:, :-1].ravel(), cuts[:, 1:].ravel()
        later = rate(np.delete(row, np.s_[:: inner.shape[1] + 1]), inner.ravel()).reshape(inner.shape)
        served = np.concatenate([known[:, None], later], axis=1).ravel()
    # Where it is flat on top, its middle: whoever looks from another end then finds the same.
    for near in PEAK_STEPS:
        around = np.minimum(np.outer(load[rows], near), top[:, None])
        served = rate(np.repeat(rows, len(near)), around.ravel()).reshape(around.shape)
        highest = np.argmax(served, axis=1), np.arange(len(rows))
        load[rows], best[rows] = around[highest[1], highest[0]], served[highest[1], highest[0]]
    reach[rows] = np.maximum(beyond[rows], np.maximum(reach[rows], best[rows]))


def smallest(
    rate: Callable[[Rows, Floats], Floats], asked: Floats, low: Floats, high: Floats, width: float = WIDTH
) -> Floats:
    """The smallest load between two (R,) at which every row serves so many requests/s, or nearly; the larger where none does.

    More load may serve fewer, and then more again. A peak that just serves so many may hide between two loads that are looked
    at, so the first one that comes near is looked at more closely.

    >>> def humps(rows, x): return x * np.exp(1 - x) + np.maximum(x - 4, 0.0)
    >>> one = np.ones(1)
    >>> [round(float(smallest(humps, asked * one, 1e-6 * one, 9 * one)[0]), 3) for asked in (0.9, 1.0, 1.1)]
    [0.608, 0.999, 5.009]
    """

    def look(rows: Rows, left: Floats, right: Floats) -> tuple[Floats, Floats]:
        loads = np.hstack([left[:, None], _between(left, right, MOST_POINTS), right[:, None]])
        return loads, rate(np.repeat(rows, loads.shape[1]), loads.ravel()).reshape(loads.shape)

    def reached(served: Floats, rows: Rows) -> NDArray[np.bool_]:
        return served >= asked[rows, None] * (1 - REACHED)

    everyone = np.arange(len(low))
    loads, served = look(everyone, low, high)
    enough = reached(served, everyone)
    first = np.where(enough.any(axis=1), np.argmax(enough, axis=1), loads.shape[1] - 1)
    start, end = loads[everyone, np.maximum(first - 1, 0)], loads[everyone, first]
    inner, place = served[:, 1:-1], np.arange(1, loads.shape[1] - 1)
    peaks = (inner >= served[:, :-2]) & (inner >= served[:, 2:]) & (inner >= NEARLY * asked[:, None]) & (place < first[:, None])
    rows = np.flatnonzero(peaks.any(axis=1))
    top = np.argmax(peaks[rows], axis=1) + 1
    left, right = loads[rows, top - 1], loads[rows, top + 1]
    nearly = asked.astype(float)
    for _ in range(CLOSER):
        if not len(rows):
            break
        loads, served = look(rows, left, right)
        enough, each = reached(served, rows), np.arange(len(rows))
        found, at = enough.any(axis=1), np.argmax(enough, axis=1)
        start[rows[found]] = loads[each, np.maximum(at - 1, 0)][found]
        end[rows[found]] = loads[each, at][found]
        nearly[rows[found]] = asked[rows[found]] * (1 - REACHED)
        top = np.clip(np.argmax(served, axis=1), 1, loads.shape[1] - 2)
        rows, left, right = rows[~found], loads[each, top - 1][~found], loads[each, top + 1][~found]
    return np.maximum(bracket(lambda some, x: rate(some, x) / nearly[some] - 1, start, end, width).kept, low)


def reaching(rate: Callable[[Rows, Floats], Floats], top: float, asked: float) -> float | None:
    """A load of one row up to ``top`` at which so many requests/s are served; None where none was seen.

    As in :func:`best_load` an interval is cut while it could hold one; the peak that is found there may fall short of another
    by ``PEAK_WIDTH``.

    >>> def humps(rows, x): return np.maximum(x * np.exp(1 - x), 1.0005 * (x / 9) * np.exp(1 - x / 9))
    >>> found = reaching(humps, 100.0, 1.0005)
    >>> found is not None and abs(found / 9 - 1) < 0.01
    True
    """
    cuts = top * PEAK_RANGE ** np.linspace(-1, 0, PEAK_POINTS)
    left, right = cuts[:-1], cuts[1:]
    for _ in range(MOST_EVALUATIONS):
        served = rate(np.zeros(len(left), np.intp), left)
        if (served >= asked * (1 - REACHED)).any():
            return float(left[served >= asked * (1 - REACHED)][0])
        able = served * right / left >= asked
        if not able.any() or able.sum() * MOST_POINTS > MOST_CUTS:
            return None
        inner = _between(left[able], right[able], inner_points(int(able.sum())))
        cuts = np.concatenate([left[able][:, None], inner, right[able][:, None]], axis=1)
        left, right = cuts[:, :-1].ravel(), cuts[:, 1:].ravel()
    return None
