"""The best load that keeps a promise, found for thousands of rows at once, between a point that is known to keep it and
one that is known to break it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solver.cost.pool.roots import crossing_between

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]

#: Points that one evaluation takes for little more than one, and the most of them that one row gets.
ROWS_AT_ONCE, MOST_POINTS = 384, 47
#: With more rows than this the root is interpolated; fewer are parted into so many sections that it does not pay.
MANY_ROWS = 96
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

    ``excess(rows, values)`` must grow with the value and may be infinite; a row may occur several times. The
    roots of many rows are interpolated over the logarithm; few are parted into many sections at once.

    Parameters
    ----------
    low, high: ends of the range, above 0 (R,).
    width: how far apart the two may lie, as a ratio less 1.

    >>> found = bracket(lambda rows, x: x**2 - 2, np.array([1e-6]), np.array([3.0]))
    >>> bool(found.kept[0] < 2**0.5 < found.failed[0]), bool(found.failed[0] / found.kept[0] < 1.0001)
    (True, True)
    """
    high = np.maximum(high, low)
    kept, failed = np.zeros_like(high), np.full_like(high, np.inf)

    def seen(rows: Rows, points: Floats) -> Floats:
        """The excess of some rows at some growing values of each (r, n), which are remembered."""
        value = excess(np.repeat(rows, points.shape[1]), points.ravel()).reshape(points.shape)
        good = np.where(value <= 0, points, 0.0).max(axis=1)
        kept[rows] = np.maximum(kept[rows], good)
        # Of what was seen to fail, the first beyond all that was seen to be allowed.
        bad = np.where((value > 0) & (points > kept[rows][:, None]), points, np.inf).min(axis=1)
        failed[rows] = np.minimum(np.where(failed[rows] > kept[rows], failed[rows], np.inf), bad)
        return value

    rows = np.arange(len(low))
    ends = seen(rows, np.stack([low, high], axis=1))
    # Only rows whose ends differ in sign hold a root.
    rows = np.flatnonzero((ends[:, 0] <= 0) & (ends[:, 1] > 0))
    if len(rows) > MANY_ROWS:
        # Latencies over their limits are nearly powers of the load.
        def logarithm(over: Floats) -> Floats:
            return np.log1p(np.maximum(over, NEGLIGIBLE - 1))

        crossing_between(
            lambda some, x: logarithm(seen(rows[some], np.exp(x)[:, None])[:, 0]),
            np.log(low[rows]),
            np.log(high[rows]),
            *logarithm(ends[rows].T),
            evaluations=MOST_EVALUATIONS,
            width=width,
            few=MANY_ROWS,
        )
    for _ in range(MOST_EVALUATIONS):
        rows = rows[failed[rows] > kept[rows] * (1 + 1.01 * width)]
        if not len(rows):
            break
        # Loads are compared as ratios, so parts are even in the logarithm.
        seen(rows, _between(kept[rows], failed[rows], inner_points(len(rows))))
    return Bracket(kept, np.where(np.isfinite(failed), failed, high))


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
