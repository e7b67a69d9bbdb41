"""Lengths inside a class: lognormal, and no longer than what engines are told to accept.

Cut there and scaled so that the mean stays; the coefficient of variation is then a little smaller than the one stated.
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

    def quantile(self, share: float) -> float:
        """Length over mean length that a share of the requests does not exceed.

        >>> round(lengths(0.5).quantile(0.5), 3)
        0.915
        """
        return min(self.scale * math.exp(self.sigma * _NORMAL.inv_cdf(share)), self.most)

    def mean_between(self, low: float, high: float) -> float:
        """Mean length over mean length of the requests between two quantiles.

        >>> round(lengths(0.5).mean_between(0.0, 1.0), 6)
        1.0
        """
        if not self.sigma:
            return 1.0
        return (self._below(high) - self._below(low)) / (high - low)

    def _below(self, probability: float) -> float:
        """Mean of the length where it is among the shortest of that share, else 0."""
        edge = math.log(self.most / self.scale) / self.sigma
        cut = _NORMAL.cdf(edge)
        z = edge if probability >= cut else _NORMAL.inv_cdf(probability) if probability > 0 else -math.inf
        whole = self.scale * math.exp(self.sigma**2 / 2) * _NORMAL.cdf(z - self.sigma) if z > -math.inf else 0.0
        return whole + self.most * max(probability - cut, 0.0)


@cache
def lengths(cv: float, most: float = 0.0) -> Lengths:
    """Lengths of a coefficient of variation; all alike for 0.

    Parameters
    ----------
    most: longest length over mean length; two standard deviations above it if that is more.
    """
    if not cv:
        return Lengths(0.0, 1.0, 1.0)
    sigma, most = math.sqrt(math.log1p(cv**2)), max(1 + 2 * cv, most)

    low, high = math.exp(-(sigma**2) / 2), 4.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if Lengths(sigma, most, middle)._below(1.0) < 1 else (low, middle)
    return Lengths(sigma, most, low)
