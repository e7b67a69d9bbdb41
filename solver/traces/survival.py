"""How long KV stays idle: the share of uses that have not been followed by another after a given time."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from solver.errors import BadInput
from solver.traces.sketches import LogHistogram, centres

#: Points of the table in each factor of ten of the age.
PER_DECADE = 8
#: Ages below are not told apart [s].
YOUNGEST_S = 0.1


@dataclass(frozen=True)
class Survival:
    """S(u): share of tokens in the cache not used again within u seconds of a use.

    A stay begins with each use of a block and ends with the next one, so that a token is in one stay at a time: with
    arrivals at rate L of T tokens each, a cache that drops what was idle for A holds ``L T held_s(A)`` tokens and finds
    ``L T (1 - S(A))`` a second. Between the points S is linear in u, before the first from 1 at u = 0; beyond the last,
    the longest idle time the trace could show, it stays as it is.

    Attributes
    ----------
    ages_s: rising ages (n,) [s].
    shares: S at those ages (n,), falling, in [0, 1].

    >>> idle = Survival((10.0, 60.0), (0.8, 0.5))
    >>> idle.at(35), idle.held_s(10), Survival.from_plain(idle.to_plain()) == idle
    (0.65, 9.0, True)
    """

    ages_s: tuple[float, ...]
    shares: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.ages_s) != len(self.shares) or not all(map(math.isfinite, (*self.ages_s, *self.shares))):
            raise BadInput("a survival table needs a finite share for each age")
        ages, shares = (0.0, *self.ages_s), (1.0, *self.shares)
        if any(later <= age for age, later in pairwise(ages)):
            raise BadInput("the ages of a survival table must rise from above 0 s")
        if any(later > share for share, later in pairwise(shares)) or shares[-1] < 0:
            raise BadInput("the shares of a survival table must fall from at most 1, and not below 0")

    def at(self, age_s: float) -> float:
        """S(age): share not used again within ``age_s``."""
        return float(np.interp(age_s, (0.0, *self.ages_s), (1.0, *self.shares)))

    def held_s(self, age_s: float) -> float:
        """Mean time a token stays in a cache that drops it once idle for ``age_s``: the integral of S from 0 [s]."""
        inner = bisect_right(self.ages_s, age_s)
        ages = [0.0, *self.ages_s[:inner], age_s]
        return math.fsum((end - start) * (self.at(start) + self.at(end)) / 2 for start, end in pairwise(ages))

    def to_plain(self) -> list[list[float]]:
        """``[[age_s, share], ...]``, for JSON and YAML."""
        return [[age, share] for age, share in zip(self.ages_s, self.shares, strict=True)]

    @classmethod
    def from_plain(cls, points: Sequence[Sequence[float]]) -> Survival:
        """Read ``[[age_s, share], ...]``.

        Raises
        ------
        BadInput: not pairs of numbers, or out of order.
        """
        try:
            pairs = [(float(age), float(share)) for age, share in points]
        except (TypeError, ValueError):
            raise BadInput("a survival table is a list of [age in seconds, share]") from None
        return cls(tuple(age for age, _ in pairs), tuple(share for _, share in pairs))


def kaplan_meier(reused: LogHistogram, cut_off: LogHistogram) -> Survival | None:
    """Survival from stays that ended in a use and stays that were cut off before one could be seen.

    S(u) is the product over bins up to u of 1 - d/n, with d stays ended by a use in the bin and n stays that lasted
    until it: a stay cut off at age a tells that it lasted a and nothing of what came after (Kaplan and Meier, JASA
    1958). Ages are told apart to one per cent. None if there were no stays.

    Parameters
    ----------
    reused, cut_off: tokens by idle time.
    """
    ended = reused.counts + cut_off.counts
    if not ended.any():
        return None
    at_risk = np.cumsum(ended[::-1])[::-1]
    steps = 1 - reused.counts / np.maximum(at_risk, 1)
    shares, values = np.cumprod(steps), centres()
    last = int(np.flatnonzero(ended)[-1])
    longest = max(float(values[last]), 2 * YOUNGEST_S)
    low, high = math.floor(PER_DECADE * math.log10(YOUNGEST_S)), math.floor(PER_DECADE * math.log10(longest))
    ages = [age for step in range(low, high + 1) if (age := 10 ** (step / PER_DECADE)) < longest * 0.98] + [longest]
    places = np.searchsorted(values, ages, side="right") - 1
    return Survival(tuple(ages), tuple(float(shares[place]) for place in places))
