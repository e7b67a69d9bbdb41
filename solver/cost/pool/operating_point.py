"""The largest load that keeps a promise, found for thousands of rows at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Evaluations after the two ends; Chandrupatla's method then has latencies within 1e-6 of the limit.
EVALUATIONS = 9
#: The answer steps back by this much, so that it keeps the promise and not merely touches it.
STEP_BACK = 1e-5


def largest(excess: Callable[[Floats], Floats], low: Floats, high: Floats, evaluations: int = EVALUATIONS) -> Floats:
    """Largest value in [low, high] at which ``excess`` is at most 0; 0 where it is above 0 throughout.

    ``excess`` must grow with the value and may be infinite. Chandrupatla's method (1997): inverse quadratic
    interpolation where it is safe, bisection elsewhere. The value returned keeps the promise.

    >>> largest(lambda x: x**2 - 2, np.array([0.1]), np.array([3.0])).round(4)
    array([1.4142])
    """
    high = np.maximum(high, low)
    at_low, at_high = excess(low), excess(high)
    root = _root(excess, low, high, at_low, at_high, evaluations)
    careful = low + (root - low) * (1 - STEP_BACK)
    kept = excess(careful) <= 0
    return np.where(at_high <= 0, high, np.where(at_low <= 0, np.where(kept, careful, low), 0.0))


def _root(
    excess: Callable[[Floats], Floats], low: Floats, high: Floats, at_low: Floats, at_high: Floats, evaluations: int
) -> Floats:
    """Where the excess crosses 0, from below if it is not hit exactly.

    a is the latest point, b the other end of the bracket, c the one before a.
    """
    ceiling = 1e6
    b, a = low.copy(), high.copy()
    fb, fa = np.minimum(at_low, ceiling), np.minimum(at_high, ceiling)
    c, fc = b, fb
    share = np.full_like(low, 0.5)
    below = low.copy()
    for _ in range(evaluations):
        point = a + share * (b - a)
        value = np.minimum(excess(point), ceiling)
        below = np.where(value <= 0, np.maximum(below, point), below)
        same = np.sign(value) == np.sign(fa)
        c, fc = np.where(same, a, b), np.where(same, fa, fb)
        b, fb = np.where(same, b, a), np.where(same, fb, fa)
        a, fa = point, value
        share = _share(a, b, c, fa, fb, fc)
    best = np.where(np.abs(fa) < np.abs(fb), a, b)
    return np.maximum(below, np.where(fa * fb <= 0, best, below))


def _share(a: Floats, b: Floats, c: Floats, fa: Floats, fb: Floats, fc: Floats) -> Floats:
    """Where to look next between a and b, as a share of the way."""
    with np.errstate(divide="ignore", invalid="ignore"):
        xi, phi = (a - b) / (c - b), (fa - fb) / (fc - fb)
        safe = (1 - np.sqrt(1 - xi) < phi) & (phi < np.sqrt(xi))
        guess = fa / (fb - fa) * fc / (fb - fc) + (c - a) / (b - a) * fa / (fc - fa) * fb / (fc - fb)
    return np.clip(np.where(safe & np.isfinite(guess), guess, 0.5), 1e-6, 1 - 1e-6)
