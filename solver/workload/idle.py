"""How long a session stays idle between its turns."""

from __future__ import annotations

import math
from bisect import bisect_right
from itertools import pairwise
from statistics import NormalDist
from typing import Annotated, Self

from pydantic import Field, model_validator

from solver.workload.fields import Record, Seconds, Share

_NORMAL = NormalDist()
_P90 = _NORMAL.inv_cdf(0.9)


class Idle(Record):
    """Time from one turn of a session to the next, among sessions that return [s].

    Attributes
    ----------
    median, p90: two quantiles; the time is lognormal through them where nothing finer is known.
    returned: finer: (age [s], share of the returns that came within it), rising to 1 at the last age; straight between.

    >>> Idle(median=60, p90=600).returned_by(60)
    0.5
    """

    median: Seconds
    p90: Seconds
    returned: Annotated[tuple[tuple[Seconds, Share], ...], Field(max_length=1000)] = ()

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.p90 < self.median:
            raise ValueError(f"p90 ({self.p90:g} s) must not be below the median ({self.median:g} s)")
        for (age, share), (later, more) in pairwise(self.returned):
            if later <= age or more < share:
                raise ValueError(
                    f"returned: ages and shares must rise; ({later:g}, {more:g}) follows ({age:g}, {share:g})"
                )
        if self.returned and self.returned[-1][1] != 1:
            raise ValueError(f"returned: the last share is {self.returned[-1][1]:g}; it must be 1: all that return")
        return self

    def returned_by(self, age_s: float) -> float:
        """Share of the returns that come within an age: F(age)."""
        if age_s <= 0:
            return 0.0
        if self.returned:
            return self._between(age_s)
        if self._sigma == 0:
            return float(age_s >= self.median)
        return _NORMAL.cdf(math.log(age_s / self.median) / self._sigma)

    def away_s(self, age_s: float) -> float:
        """Mean time away up to an age: the integral of 1 - F from 0 to there [s]."""
        if age_s <= 0:
            return 0.0
        if self.returned:
            ages = [0.0, *(a for a, _ in self.returned[: bisect_right([a for a, _ in self.returned], age_s)]), age_s]
            away = [1 - self._between(age) for age in ages]
            return math.fsum(
                (b - a) * (x + y) / 2 for (a, b), (x, y) in zip(pairwise(ages), pairwise(away), strict=True)
            )
        if self._sigma == 0:
            return min(age_s, self.median)
        z = math.log(age_s / self.median) / self._sigma
        early = self.median * math.exp(self._sigma**2 / 2) * _NORMAL.cdf(z - self._sigma)
        return early + age_s * (1 - _NORMAL.cdf(z))

    @property
    def _sigma(self) -> float:
        """Standard deviation of the logarithm."""
        return math.log(self.p90 / self.median) / _P90

    def _between(self, age_s: float) -> float:
        points = ((0.0, 0.0), *self.returned)
        place = bisect_right([age for age, _ in points], age_s)
        if place == len(points):
            return 1.0
        (low, share), (high, more) = points[place - 1], points[place]
        return share + (more - share) * (age_s - low) / (high - low)
