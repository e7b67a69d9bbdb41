"""Errors of predictions against measurements: sizes, bias, order of layouts, and what a wrong choice costs."""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from solver.study.fidelity.runs import MeasuredRun

Floats = NDArray[np.float64]

#: Two layouts whose measured throughputs differ by less are not told apart.
CLOSE = 0.05
WIDE = 0.2
#: Days apart at which two runs without an image still count as of one version.
DAYS = 3
#: TPOT bounds at which a layout is chosen for the regret [ms].
BOUNDS_MS = (8, 12, 16, 24, 32, 48)


@dataclass(frozen=True)
class Accuracy:
    """Errors of one quantity, as fractions; NaN without measurements.

    Attributes
    ----------
    runs: how many, repeats included.
    mape, median: mean and median of |predicted / measured - 1|.
    bias: geometric mean of predicted / measured, less 1.
    rank: mean Spearman correlation within groups of runs that differ only in layout and load.
    """

    runs: int
    mape: float
    median: float
    bias: float
    rank: float

    def to_json(self) -> dict[str, float | None]:
        """Fractions by name; None where there is no figure."""
        values = {"mape": self.mape, "median": self.median, "bias": self.bias, "rank": self.rank}
        return {"runs": self.runs, **{name: None if math.isnan(v) else v for name, v in values.items()}}


def accuracy(
    predicted: Floats, measured: Floats, groups: Sequence[Hashable], weights: Floats | None = None
) -> Accuracy:
    """Errors over the runs that were measured (R,).

    Parameters
    ----------
    weights: of each run (R,); all alike without.
    """
    known = np.isfinite(measured) & np.isfinite(predicted)
    if not known.any():
        return Accuracy(0, math.nan, math.nan, math.nan, math.nan)
    ratio = predicted[known] / measured[known]
    off = np.abs(ratio - 1)
    weight = np.ones(len(ratio)) if weights is None else weights[known]
    bias = float(np.expm1(np.average(np.log(ratio), weights=weight)))
    middle = weighted_median(off, weight)
    return Accuracy(
        int(known.sum()), float(np.average(off, weights=weight)), middle, bias, _rank(predicted, measured, groups)
    )


def weighted_median(values: Floats, weights: Floats) -> float:
    """The value with half of the weight on either side; between two of them their middle."""
    order = np.argsort(values)
    reached = np.cumsum(weights[order]) / weights.sum()
    low, high = (values[order][np.searchsorted(reached, 0.5 + shift)] for shift in (-1e-9, 1e-9))
    return float(low + high) / 2


def once_each(configurations: Sequence[Hashable]) -> Floats:
    """Weights with which a configuration counts once, however often it was repeated (R,)."""
    counts = Counter(configurations)
    return np.array([1 / counts[each] for each in configurations])


def _rank(predicted: Floats, measured: Floats, groups: Sequence[Hashable]) -> float:
    """Mean rank correlation within groups of at least three, by their sizes."""
    members: dict[Hashable, list[int]] = defaultdict(list)
    for position, group in enumerate(groups):
        if math.isfinite(measured[position]) and math.isfinite(predicted[position]):
            members[group].append(position)
    found = [(len(m), _spearman(predicted[m], measured[m])) for m in members.values() if len(m) >= 3]
    found = [(size, value) for size, value in found if math.isfinite(value)]
    if not found:
        return math.nan
    return sum(size * value for size, value in found) / sum(size for size, _ in found)


def _spearman(one: Floats, other: Floats) -> float:
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return math.nan
    return float(np.corrcoef(_ranks(one), _ranks(other))[0, 1])


def _ranks(values: Floats) -> Floats:
    """Ranks, equal values sharing the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts - 1) / 2
    shared: Floats = middle[inverse]
    return shared


@dataclass(frozen=True)
class Decisions:
    """How well predictions choose layouts.

    Attributes
    ----------
    ordered, pairs: pairs of layouts at equal load per device and of one version that are ordered rightly, and all that
        differ by over 5 %. ordered_wide, pairs_wide: those that differ by over 20 %.
    ordered_dp, pairs_dp, ordered_ep, pairs_ep: those whose layouts differ in dp, and in ep.
    regret: mean loss of throughput of the layout chosen by prediction; choices: how many were made.
    """

    ordered: int
    pairs: int
    ordered_dp: int
    pairs_dp: int
    ordered_ep: int
    pairs_ep: int
    ordered_wide: int
    pairs_wide: int
    regret: float
    choices: int

    def to_json(self) -> dict[str, float | None]:
        """Shares and counts by name."""

        def share(part: int, whole: int) -> float | None:
            return part / whole if whole else None

        return {
            "ordering": share(self.ordered, self.pairs),
            "pairs": self.pairs,
            "ordering_dp": share(self.ordered_dp, self.pairs_dp),
            "pairs_dp": self.pairs_dp,
            "ordering_ep": share(self.ordered_ep, self.pairs_ep),
            "pairs_ep": self.pairs_ep,
            "ordering_wide": share(self.ordered_wide, self.pairs_wide),
            "pairs_wide": self.pairs_wide,
            "regret": self.regret if self.choices else None,
            "choices": self.choices,
        }


@dataclass(frozen=True)
class _Point:
    """Replicates of one layout at one load, by their medians."""

    layout: tuple[int, ...]
    load: float
    tpot_ms: float
    rate: float
    predicted_tpot_ms: float
    predicted_rate: float


def decisions(runs: Sequence[MeasuredRun], tpot_s: Floats, rate: Floats, devices: Floats) -> Decisions:
    """Choices between layouts of one LLM, device, engine, precision and request shape.

    Ordering: pairs of layouts at the same concurrency per device, of the same image or else measured within three days
    of each other, whose measured throughput per device differs by more than 5 %. Regret: for every TPOT bound the layout
    whose predicted best throughput within the bound is highest (where none is predicted to meet it, the one predicted
    fastest), its measured best against the best layout's.

    Parameters
    ----------
    tpot_s: predicted; rate: predicted output tokens/s per device (R,).
    """
    counts = [0] * 8
    losses: list[float] = []
    same = versions(runs)
    for points in _groups(runs, tpot_s, rate, devices, same):
        for one, other in itertools.combinations(points, 2):
            if one.load != other.load or one.layout == other.layout:
                continue
            margin = abs(one.rate - other.rate) / max(one.rate, other.rate)
            if margin <= CLOSE:
                continue
            right = (one.rate > other.rate) == (one.predicted_rate > other.predicted_rate)
            differs = [one.layout[place] != other.layout[place] for place in (1, 3)]
            for slot, counted in enumerate((True, *differs, margin > WIDE)):
                counts[2 * slot] += right and counted
                counts[2 * slot + 1] += counted
    for points in _groups(runs, tpot_s, rate, devices, [0] * len(runs)):
        losses += _regrets(points)
    regret = sum(losses) / len(losses) if losses else math.nan
    ordered, pairs, ordered_dp, pairs_dp, ordered_ep, pairs_ep, ordered_wide, pairs_wide = map(int, counts)
    return Decisions(
        ordered, pairs, ordered_dp, pairs_dp, ordered_ep, pairs_ep, ordered_wide, pairs_wide, regret, len(losses)
    )


def versions(runs: Sequence[MeasuredRun]) -> list[Hashable]:
    """What runs of one version have in common (R,): the image, else a stretch of days no longer than ``DAYS``."""
    dates = sorted({_day(run) for run in runs})
    starts: dict[int, int] = {}
    for day in dates:
        first = starts[dates[dates.index(day) - 1]] if starts else day
        starts[day] = first if day - first <= DAYS else day
    return [run.image or starts[_day(run)] for run in runs]


def _day(run: MeasuredRun) -> int:
    """Number of the day on which a run was measured; 0 where nobody wrote it down."""
    try:
        return date.fromisoformat(run.measured_on).toordinal()
    except ValueError:
        return 0


def group_of(run: MeasuredRun) -> tuple[object, ...]:
    """What the runs compared with each other have in common."""
    return run.llm, run.device, run.engine, run.precision, run.prompt_tokens, run.output_tokens


def _groups(
    runs: Sequence[MeasuredRun], tpot_s: Floats, rate: Floats, devices: Floats, same: Sequence[Hashable]
) -> Iterator[list[_Point]]:
    found: dict[tuple[object, ...], dict[tuple[tuple[int, ...], float], list[tuple[float, ...]]]] = defaultdict(dict)
    for position, run in enumerate(runs):
        if run.disaggregated or run.tpot_ms is None or run.output_tokens_per_s_per_device is None:
            continue
        count = int(devices[position])
        layout = (run.tp, run.dp, run.moe_tp or 0, run.ep, count)
        figures = (run.tpot_ms, run.output_tokens_per_s_per_device, tpot_s[position] * 1e3, rate[position])
        found[(*group_of(run), same[position])].setdefault((layout, run.concurrency / count), []).append(figures)
    for points in found.values():
        yield [_Point(layout, load, *np.median(rows, axis=0)) for (layout, load), rows in points.items()]


def _regrets(points: list[_Point]) -> Iterator[float]:
    layouts = {point.layout: [p for p in points if p.layout == point.layout] for point in points}
    if len(layouts) < 2:
        return
    for bound in BOUNDS_MS:
        best = {name: max((p.rate for p in of if p.tpot_ms <= bound), default=0.0) for name, of in layouts.items()}
        if not any(best.values()):
            continue
        promised = {
            name: max((p.predicted_rate for p in of if p.predicted_tpot_ms <= bound), default=0.0)
            for name, of in layouts.items()
        }
        if any(promised.values()):
            chosen = max(promised, key=lambda name: promised[name])
        else:
            chosen = min(layouts, key=lambda name: min(p.predicted_tpot_ms for p in layouts[name]))
        yield 1 - best[chosen] / max(best.values())
