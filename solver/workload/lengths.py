"""Lengths inside a class: lognormal, and no longer than what engines are told to accept.

Cut at two standard deviations above the mean and scaled so that the mean stays; the coefficient of variation is then a
little smaller than the one stated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

_NORMAL = NormalDist()


@dataclass(frozen=True)
class Lengths:
    """Lengths over their mean.

    Attributes
    ----------
    sigma: standard deviation of the logarithm before the cut. most: where it is cut.
    scale: median before the cut, so that the mean is 1 after it.
    """

    sigma: float
    most: float
    scale: float

    def quantile(self, probability: float) -> float:
        """Length over mean length that a share ``probability`` of the requests does not exceed."""
        if not self.sigma:
            return 1.0
        return min(self.scale * math.exp(self.sigma * _NORMAL.inv_cdf(probability)), self.most)


@cache
def lengths(cv: float) -> Lengths:
    """Lengths of a coefficient of variation; all alike for 0.

    >>> round(lengths(0.5).quantile(0.5), 2)
    0.91
    """
    if not cv:
        return Lengths(0.0, 1.0, 1.0)
    sigma, most = math.sqrt(math.log1p(cv**2)), 1 + 2 * cv

    def mean(scale: float) -> float:
        z = math.log(most / scale) / sigma
        return scale * math.exp(sigma**2 / 2) * _NORMAL.cdf(z - sigma) + most * (1 - _NORMAL.cdf(z))

    low, high = math.exp(-(sigma**2) / 2), 4.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if mean(middle) < 1 else (low, middle)
    return Lengths(sigma, most, low)
