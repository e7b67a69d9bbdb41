"""Mergeable statistics: exact moments, and quantiles to one per cent from logarithmic histograms."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: A quantile read from a histogram is off by at most this share of its value.
RELATIVE_ERROR = 0.0099
#: Values up to here count as zero; those beyond ``HIGHEST`` as ``HIGHEST``.
LOWEST, HIGHEST = 1e-6, 1e10

_LOG_STEP = math.log((1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR))
BINS = math.ceil(math.log(HIGHEST / LOWEST) / _LOG_STEP) + 1

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass
class ExactMoments:
    """Count, sum, sum of squares and range of whole numbers, all exact.

    >>> both = ExactMoments.of(np.array([1, 2])) + ExactMoments.of(np.array([6]))
    >>> both.mean, both.count
    (3.0, 3)
    """

    count: int = 0
    total: int = 0
    squares: int = 0
    lowest: int = 0
    highest: int = 0

    @classmethod
    def of(cls, values: NDArray[Any]) -> ExactMoments:
        """ExactMoments of counts (n,) below 2^32."""
        if not len(values):
            return cls()
        high, low = np.divmod(values.astype(np.int64), 1 << 16)
        squares = (int(high @ high) << 32) + (int(high @ low) << 17) + int(low @ low)
        return cls(len(values), int(values.sum(dtype=np.int64)), squares, int(values.min()), int(values.max()))

    def __add__(self, other: ExactMoments) -> ExactMoments:
        if not self.count or not other.count:
            return other if other.count else self
        return ExactMoments(
            self.count + other.count,
            self.total + other.total,
            self.squares + other.squares,
            min(self.lowest, other.lowest),
            max(self.highest, other.highest),
        )

    @property
    def mean(self) -> float:
        """Mean; 0 of nothing."""
        return self.total / self.count if self.count else 0.0

    @property
    def cv(self) -> float:
        """Coefficient of variation: standard deviation (of the population) over mean."""
        if not self.total:
            return 0.0
        return math.sqrt(self.count * self.squares - self.total**2) / self.total


def bins_of(values: NDArray[Any]) -> NDArray[np.int64]:
    """The bin of each value (n,); bin 0 holds zero."""
    clipped = np.clip(np.asarray(values, float), LOWEST, HIGHEST)
    return np.asarray(np.ceil(np.log(clipped / LOWEST) / _LOG_STEP), np.int64)


def centres() -> Floats:
    """The value that stands for each bin (BINS,): off by at most ``RELATIVE_ERROR`` of any value in it."""
    upper = LOWEST * np.exp(_LOG_STEP * np.arange(BINS))
    values = upper * (1 - RELATIVE_ERROR)
    values[0] = 0.0
    return np.asarray(values)


@dataclass
class LogHistogram:
    """Weight of values in bins of equal width on a log axis (after DDSketch, Masson et al., VLDB 2019, section 2).

    >>> sketch = LogHistogram()
    >>> sketch.add(np.arange(1, 1001))
    >>> round(sketch.quantile(0.5) / 500, 1), sketch.weight
    (1.0, 1000)
    """

    counts: Counts = field(default_factory=lambda: np.zeros(BINS, np.int64))

    def add(self, values: NDArray[Any], weights: NDArray[Any] | None = None) -> None:
        """Count values (n,), each by its weight (n,) or as one."""
        if len(values):
            found = np.bincount(bins_of(values), weights, BINS)
            self.counts += np.rint(found).astype(np.int64)

    def __add__(self, other: LogHistogram) -> LogHistogram:
        return LogHistogram(self.counts + other.counts)

    @property
    def weight(self) -> int:
        """Total weight."""
        return int(self.counts.sum())

    def quantile(self, share: float) -> float:
        """The smallest value with at least ``share`` of the weight up to it, to ``RELATIVE_ERROR``; NaN of nothing."""
        if not self.weight:
            return math.nan
        passed = np.cumsum(self.counts)
        return float(centres()[int(np.searchsorted(passed, max(1.0, share * passed[-1] - 1e-9)))])

    def grouped(self, per_decade: int) -> list[tuple[float, float, float]]:
        """Lower end, upper end and share of the weight of coarser bins, for drawing; empty ones are left out."""
        edges = np.arange(math.floor(math.log10(LOWEST)) * per_decade, math.ceil(math.log10(HIGHEST)) * per_decade + 1)
        place = np.log10(np.maximum(centres(), LOWEST)) * per_decade
        found, _ = np.histogram(place, edges, weights=self.counts)
        total = max(1, self.weight)
        return [
            (10 ** (edge / per_decade), 10 ** ((edge + 1) / per_decade), count / total)
            for edge, count in zip(edges.tolist(), found.tolist(), strict=False)
            if count
        ]
