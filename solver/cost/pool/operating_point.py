"""The best load that keeps a promise, found for thousands of rows at once, between a point that is known to keep it and
one that is known to break it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]

#: Evaluations of all rows between the two ends; rows that need more get them by themselves.
EVALUATIONS = 6
#: How far apart the ends of a bracket may lie unless it is said, as a ratio less 1.
WIDTH = 2e-5
#: Most evaluations of a row: bisection of nine orders of magnitude down to the width takes 40.
MOST_EVALUATIONS = 60
#: Where more load may serve fewer requests/s, the best point is known to serve at most this much less than the peak.
PEAK_WIDTH = 1e-3
#: Share of the load at which a row must serve clearly less (this share of the requests/s), else its peak is looked for: past
#: a peak the requests/s fall to a plateau, and may rise on it again by a hair.
LIGHTER, CLEARLY = 0.8, 0.98
#: Loads about the best point of a peak at which it is looked at more closely, over that point's: first wide, then narrow.
PEAK_STEPS = 1 + np.linspace(-0.08, 0.08, 17), 1 + np.linspace(-0.008, 0.008, 17)
#: Points of the first look for a peak, and how far below the heaviest load it starts, as a ratio.
PEAK_POINTS, PEAK_RANGE = 12, 64.0


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

    ``excess(rows, values)`` must grow with the value and may be infinite. Chandrupatla's method (1997) over the
    logarithm: inverse quadratic interpolation where it is safe, geometric bisection elsewhere. Rows whose ends are not
    close after a few rounds are bisected on.

    Parameters
    ----------
    low, high: ends of the range, above 0 (R,).
    width: how far apart the two may lie, as a ratio less 1.

    >>> found = bracket(lambda rows, x: x**2 - 2, np.array([1e-6]), np.array([3.0]))
    >>> bool(found.kept[0] < 2**0.5 < found.failed[0]), bool(found.failed[0] / found.kept[0] < 1.0001)
    (True, True)
    """
    high = np.maximum(high, low)
    everyone = np.arange(len(low))
    # ``kept`` is the largest value seen to keep the limit (0: not even the lowest), ``failed`` the smallest that does
    # not.
    at_low, at_high = excess(everyone, low), excess(everyone, high)
    kept, failed = np.where(at_low <= 0, low, 0.0), np.where(at_high <= 0, np.inf, high)
    kept = np.where(at_high <= 0, high, kept)

    def seen(rows: Rows, point: Floats) -> Floats:
        value = excess(rows, point)
        kept[rows] = np.where(value <= 0, np.maximum(kept[rows], point), kept[rows])
        failed[rows] = np.where(value > 0, np.minimum(failed[rows], point), failed[rows])
        return value

    # Only rows whose ends differ in sign hold a root; both sides of the one found are then asked for.
    rows = np.flatnonzero((at_low <= 0) & (at_high > 0))
    if len(rows):
        root = _root(lambda x: seen(rows, np.exp(x)), np.log(low[rows]), np.log(high[rows]), at_low[rows], at_high[rows])
        for side in (1 - width / 2, 1 + width / 2):
            seen(rows, np.clip(np.exp(root) * side, low[rows], high[rows]))
    for _ in range(MOST_EVALUATIONS):
        rows = rows[failed[rows] > kept[rows] * (1 + 1.01 * width)]
        if not len(rows):
            break
        # Geometric bisection: values are loads, compared as ratios.
        seen(rows, np.sqrt(kept[rows] * failed[rows]))
    return Bracket(kept, np.where(np.isfinite(failed), failed, high))


def _root(
    excess: Callable[[Floats], Floats], low: Floats, high: Floats, at_low: Floats, at_high: Floats
) -> Floats:
    """About where the excess crosses 0.

    a is the latest point, b the other end of the bracket, c the one before a.
    """
    ceiling = 1e6
    b, a = low.copy(), high.copy()
    fb, fa = np.minimum(at_low, ceiling), np.minimum(at_high, ceiling)
    c, fc = b, fb
    share = np.full_like(low, 0.5)
    for _ in range(EVALUATIONS):
        point = a + share * (b - a)
        value = np.minimum(excess(point), ceiling)
        same = np.sign(value) == np.sign(fa)
        c, fc = np.where(same, a, b), np.where(same, fa, fb)
        b, fb = np.where(same, b, a), np.where(same, fb, fa)
        a, fa = point, value
        share = _share(a, b, c, fa, fb, fc)
    return np.where(np.abs(fa) < np.abs(fb), a, b)


def _share(a: Floats, b: Floats, c: Floats, fa: Floats, fb: Floats, fc: Floats) -> Floats:
    """Where to look next between a and b, as a share of the way."""
    with np.errstate(divide="ignore", invalid="ignore"):
        xi, phi = (a - b) / (c - b), (fa - fb) / (fc - fb)
        safe = (1 - np.sqrt(1 - xi) < phi) & (phi < np.sqrt(xi))
        guess = fa / (fb - fa) * fc / (fb - fc) + (c - a) / (b - a) * fa / (fc - fa) * fb / (fc - fb)
    return np.clip(np.where(safe & np.isfinite(guess), guess, 0.5), 1e-6, 1 - 1e-6)


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


def best_load(rate: Callable[[Rows, Floats], Floats], allowed: Bracket) -> BestLoad:
    """The load below the end of a bracket at which most requests/s are served.

    More load can serve fewer: steps grow, and with them everything that waits for them. ``rate(rows, loads) / loads``
    must not grow with the load (each request is served no faster beside more), so that between two loads l < r no more
    than ``rate(l) r / l`` are served: intervals are cut until none can hold a better one.

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
    best[rows] = rate(rows, load[rows])
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
    while len(row):
        better = np.argsort(served, kind="stable")  # the best point of a row is written last
        improved = better[served[better] > best[row[better]]]
        load[row[improved]], best[row[improved]] = left[improved], served[improved]
        bound = served * right / left
        open_ = bound > best[row] * (1 + PEAK_WIDTH)
        np.maximum.at(reach, row[~open_], bound[~open_])
        row, left, right = row[open_], left[open_], right[open_]
        middle = np.sqrt(left * right)
        served = np.concatenate([served[open_], rate(row, middle)]) if len(row) else served[:0]
        row, left, right = np.tile(row, 2), np.concatenate([left, middle]), np.concatenate([middle, right])
    # Where it is flat on top, its middle: whoever looks from another end then finds the same.
    for near in PEAK_STEPS:
        around = np.minimum(np.outer(load[rows], near), top[:, None])
        served = rate(np.repeat(rows, len(near)), around.ravel()).reshape(around.shape)
        highest = np.argmax(served, axis=1), np.arange(len(rows))
        load[rows], best[rows] = around[highest[1], highest[0]], served[highest[1], highest[0]]
    reach[rows] = np.maximum(beyond[rows], np.maximum(reach[rows], best[rows]))
