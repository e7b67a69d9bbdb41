"""How unevenly requests arrive: variation of the gaps between them, and of their number in windows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from solver.traces.sampling import uniform
from solver.traces.sketches import Counts, Floats, LogHistogram

#: Gaps of one block, over which the rate counts as steady.
BLOCK_GAPS = 1_000
#: With fewer blocks than this, all gaps are taken together.
FEW_BLOCKS = 3
#: Windows of the index of dispersion [s].
WINDOWS_S = (1.0, 10.0, 60.0)
#: Whole windows needed for an index of dispersion.
FEW_WINDOWS = 10


class Clock:
    """The resolution of a trace's timestamps.

    Many traces are written in ticks (Mooncake's conversation: 3 s). If more than 1 % of gaps are zero, the tick is the
    1 % quantile of the others, and requests of one tick are taken as spread evenly at random over it; else it is 0.
    """

    def __init__(self) -> None:
        self._gaps, self._ties, self._last = LogHistogram(), 0, math.nan

    def add(self, arrivals_s: Floats) -> None:
        """Note the next arrivals (n,), in order [s]."""
        gaps = np.diff(arrivals_s, prepend=self._last)
        gaps = gaps[~np.isnan(gaps)]
        self._ties += int((gaps <= 0).sum())
        self._gaps.add(gaps[gaps > 0])
        self._last = float(arrivals_s[-1])

    @property
    def tick_s(self) -> float:
        """The resolution [s]; 0 if times are as good as exact."""
        positive = self._gaps.weight
        return self._gaps.quantile(0.01) if positive and self._ties > 0.01 * (positive + self._ties) else 0.0


def spread(arrivals_s: Floats, next_s: float, tick_s: float, first: int, seed: int) -> Floats:
    """Arrivals (n,) with ties spread over their tick, in order; the draws depend on nothing but seed and ordinal.

    Parameters
    ----------
    arrivals_s: times in order (n,) [s].
    next_s: the first later time, which spreading does not pass; infinite at the end.
    first: ordinal of the first request.
    """
    if not tick_s:
        return arrivals_s
    times, places = np.unique(arrivals_s, return_inverse=True)
    room = np.minimum(np.diff(times, append=next_s), tick_s)
    draws = uniform(np.arange(first, first + len(arrivals_s), dtype=np.uint64), seed)
    return np.sort(arrivals_s + room[places] * draws)


@dataclass(frozen=True)
class Unevenness:
    """How unevenly requests arrive.

    Attributes
    ----------
    scv: squared coefficient of variation of the gaps: 0 = like a clock, 1 = Poisson; None with fewer than two gaps.
        The median over blocks of 1,000 gaps, so that neither an outage nor a slow change of rate counts as burst; over
        all gaps where there are fewer than three blocks.
    dispersion: variance over mean of the arrivals in consecutive windows of 1, 10 and 60 s (1 = Poisson); unlike
        ``scv`` it holds every slow change too. None where the trace has fewer than ten such windows.
    """

    scv: float | None
    dispersion: tuple[float | None, ...]


class Gaps:
    """Accumulates the unevenness of one stream of arrivals in order.

    Parameters
    ----------
    start_s, span_s: of the whole trace, so that windows without arrivals count [s].
    """

    def __init__(self, start_s: float, span_s: float) -> None:
        self._start_s = start_s
        self._last = math.nan
        self._rest: Floats = np.zeros(0)
        self._early: list[Floats] = []
        self._blocks: list[float] = []
        self._windows = [_Windows(width_s, math.floor(span_s / width_s)) for width_s in WINDOWS_S]

    def add(self, times_s: Floats) -> None:
        """Note the next arrivals (n,) [s]."""
        if not len(times_s):
            return
        gaps = np.diff(times_s, prepend=self._last)
        self._last = float(times_s[-1])
        self._rest = np.concatenate([self._rest, np.maximum(gaps[~np.isnan(gaps)], 0)])
        whole = len(self._rest) // BLOCK_GAPS
        for block in np.split(self._rest[: whole * BLOCK_GAPS], whole) if whole else ():
            self._blocks.append(_scv(block))
            if len(self._early) < FEW_BLOCKS:
                self._early.append(block)
        self._rest = self._rest[whole * BLOCK_GAPS :]
        for windows in self._windows:
            windows.add(times_s - self._start_s)

    @property
    def result(self) -> Unevenness:
        """What was found so far."""
        scv = math.nan
        if len(self._blocks) >= FEW_BLOCKS:
            known = [value for value in self._blocks if not math.isnan(value)]
            scv = float(np.median(known)) if known else math.nan
        else:
            scv = _scv(np.concatenate([*self._early, self._rest]))
        return Unevenness(None if math.isnan(scv) else scv, tuple(windows.dispersion for windows in self._windows))


def _scv(gaps: Floats) -> float:
    mean = float(gaps.mean()) if len(gaps) > 1 else 0.0
    return float(gaps.var()) / mean**2 if mean > 0 else math.nan


class _Windows:
    """Counts of arrivals in consecutive windows of one width; only whole windows count."""

    def __init__(self, width_s: float, whole: int) -> None:
        self._width_s, self._whole = width_s, whole
        self._current, self._in_current = -1, 0
        self._total = self._squares = 0

    def add(self, since_start_s: Floats) -> None:
        places, counts = np.unique(np.floor(since_start_s / self._width_s).astype(np.int64), return_counts=True)
        if places[0] == self._current:
            counts[0] += self._in_current
        else:
            self._shut(np.array([self._current]), np.array([self._in_current]))
        self._shut(places[:-1], counts[:-1])
        self._current, self._in_current = int(places[-1]), int(counts[-1])

    def _shut(self, places: Counts, counts: Counts) -> None:
        whole = counts[(places >= 0) & (places < self._whole)]
        self._total += int(whole.sum())
        self._squares += int(whole @ whole)

    @property
    def dispersion(self) -> float | None:
        last = self._in_current if 0 <= self._current < self._whole else 0
        total, squares = self._total + last, self._squares + last**2
        if self._whole < FEW_WINDOWS or not total:
            return None
        mean = total / self._whole
        return (squares - total * mean) / (self._whole - 1) / mean
