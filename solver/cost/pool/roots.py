"""Where quantities of many rows cross zero, found for all rows at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]

#: Values beyond this are cut off.
CEILING = 1e6


def crossing_between(
    excess: Callable[[Rows, Floats], Floats],
    low: Floats,
    high: Floats,
    at_low: Floats,
    at_high: Floats,
    *,
    evaluations: int,
    width: float,
    few: int = 0,
) -> Floats:
    """About where the excess of every row crosses 0 between two ends at which it has other signs.

    Rows are asked for until their root is known to lie between two points this close, at most so many times, and no longer once
    few are left. ``excess(rows, points)`` is asked of those rows only.

    Source: Chandrupatla 1997: inverse quadratic interpolation where it is safe, bisection elsewhere. Never nearer to a known
    point than half the width, so that the last step closes in from the other side.

    >>> ends = np.zeros(1), np.full(1, 2.0), np.full(1, -2.0), np.full(1, 6.0)
    >>> root = crossing_between(lambda rows, x: x**3 - 2, *ends, evaluations=12, width=1e-9)
    >>> bool(abs(root[0] - 2 ** (1 / 3)) < 1e-9)
    True
    """
    # a is the latest point, b the other end of the bracket, c the one before a.
    b, a = low.copy(), high.copy()
    fb, fa = np.minimum(at_low, CEILING), np.minimum(at_high, CEILING)
    c, fc = b.copy(), fb.copy()
    share = np.full_like(a, 0.5)
    for _ in range(evaluations):
        rows = np.flatnonzero((np.abs(b - a) > width) & (fa != 0) & (fb != 0))
        if len(rows) <= few:
            break
        point = a[rows] + share[rows] * (b[rows] - a[rows])
        value = np.minimum(excess(rows, point), CEILING)
        same = np.sign(value) == np.sign(fa[rows])
        c[rows], fc[rows] = np.where(same, a[rows], b[rows]), np.where(same, fa[rows], fb[rows])
        b[rows], fb[rows] = np.where(same, b[rows], a[rows]), np.where(same, fb[rows], fa[rows])
        a[rows], fa[rows] = point, value
        share[rows] = _share(a[rows], b[rows], c[rows], fa[rows], fb[rows], fc[rows], width)
    return np.where(np.abs(fa) < np.abs(fb), a, b)


def _share(a: Floats, b: Floats, c: Floats, fa: Floats, fb: Floats, fc: Floats, width: float) -> Floats:
    """Where to look next between a and b, as a share of the way."""
    with np.errstate(divide="ignore", invalid="ignore"):
        xi, phi = (a - b) / (c - b), (fa - fb) / (fc - fb)
        safe = (1 - np.sqrt(1 - xi) < phi) & (phi < np.sqrt(xi))
        guess = fa / (fb - fa) * fc / (fb - fc) + (c - a) / (b - a) * fa / (fc - fa) * fb / (fc - fb)
        nearest = np.minimum(width / 2 / np.abs(b - a), 0.5)
    share = np.where(safe & np.isfinite(guess), guess, 0.5)
    return np.where(np.isfinite(nearest), np.clip(share, nearest, 1 - nearest), 0.5)
