"""What the simulation tells: figures beside the plan's prediction, and which promises were kept."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from solver.simulate.meters import NOWHERE, Samples
from solver.workload.measures import MEASURES, QUANTITIES, TPOT_P50, TPOT_P95, TTFT_P50, TTFT_P95, Measure
from topologies.units import show_seconds

#: Figures that are told of every replay; what was promised comes beside them.
SHARED = (TTFT_P50, TTFT_P95, TPOT_P50, TPOT_P95)
#: Latencies whose statistics are set beside the plan's.
COMPARED = ("ttft", "tpot")


@dataclass(frozen=True)
class Figures:
    """Latencies and rates of one class, or of all, over the requests that arrived while it was recording.

    Attributes
    ----------
    requests: how many.
    ttft_p50_s, ...: as a plan's prediction has them [s]; gaps are those of the pools that serve the class, whoever's they are.
    wait_p50_s, wait_p95_s: of the time to first token, what a request alone would not take: it waits for the step under
        way to end, for other prompts, for its caches to arrive [s].
    goodput_requests_per_s: of those that kept every promise by themselves.
    """

    requests: int
    ttft_p50_s: float
    ttft_p95_s: float
    ttft_p99_s: float
    ttft_mean_s: float
    tpot_p50_s: float
    tpot_p95_s: float
    tpot_p99_s: float
    tpot_mean_s: float
    itl_p50_s: float
    itl_p95_s: float
    itl_p99_s: float
    itl_mean_s: float
    e2e_p50_s: float
    e2e_p95_s: float
    e2e_p99_s: float
    e2e_mean_s: float
    wait_p50_s: float
    wait_p95_s: float
    output_tokens_per_s: float
    output_tokens_per_s_per_device: float
    requests_per_s: float
    goodput_requests_per_s: float

    def figure(self, measure: Measure) -> float:
        """What was seen of a measure [s]."""
        found: float = getattr(self, measure.field)
        return found


@dataclass(frozen=True)
class PoolFigures:
    """One pool.

    Attributes
    ----------
    utilisation: share of the time in which a step was under way, over its replicas (unified: ranks).
    batches: share of the busy time by running sequences of a rank.
    itl_p95_s: gap between two tokens; 0 for prefill.
    kv_fullest: the most that any rank's KV cache was filled.
    preempted: sequences that lost their place to others.
    """

    name: str
    role: str
    utilisation: float
    batches: dict[int, float]
    itl_p95_s: float
    kv_fullest: float
    preempted: int


@dataclass(frozen=True)
class PromiseVerdict:
    """One promise: how its statistic came out, and whether it was kept.

    Attributes
    ----------
    margin: half of its 95 % confidence interval, from the spread over ten parts of the run [s].
    """

    class_name: str
    measure: Measure
    limit_s: float
    simulated_s: float
    margin_s: float

    @property
    def kept(self) -> bool:
        """Whether the figure is within the limit."""
        return self.simulated_s <= self.limit_s

    def to_plain(self) -> dict[str, Any]:
        """As JSON has it."""
        what = {"promise": QUANTITIES[self.measure.quantity], "statistic": self.measure.statistic}
        figures = {"limit_s": self.limit_s, "simulated_s": self.simulated_s, "margin_s": self.margin_s}
        return {"class_name": self.class_name, **what, **figures, "kept": self.kept}


@dataclass(frozen=True)
class ReplayReport:
    """A replay.

    Attributes
    ----------
    seconds: recorded, after a warm-up of ``warm_up_s``.
    arrived, finished, refused, under_way: every request of the run is one of the last three; requeued: times that a
        failure sent one back to the start.
    tiers: requests by where their session's cache was found.
    predicted: by class and for all (``""``), the plan's figures.
    distributions: by class, percentiles 0 to 100 of ``ttft`` and ``tpot`` [s].
    """

    seed: int
    rate: float
    seconds: float
    warm_up_s: float
    arrived: int
    finished: int
    refused: int
    under_way: int
    requeued: int
    tiers: dict[str, int]
    overall: Figures
    classes: dict[str, Figures]
    pools: tuple[PoolFigures, ...]
    verdicts: tuple[PromiseVerdict, ...]
    predicted: dict[str, dict[str, float]]
    samples: Samples
    distributions: dict[str, dict[str, list[float]]]

    @property
    def slo_kept(self) -> bool:
        """Whether every promise was kept and every request served."""
        return all(verdict.kept for verdict in self.verdicts) and not self.under_way

    def to_plain(self) -> dict[str, Any]:
        """As JSON has it."""
        names = (
            "seed",
            "rate",
            "seconds",
            "warm_up_s",
            "arrived",
            "finished",
            "refused",
            "under_way",
            "requeued",
            "tiers",
        )
        return {
            "predicted": {**self.predicted[""], "classes": {k: v for k, v in self.predicted.items() if k}},
            "simulated": {**asdict(self.overall), "classes": {k: asdict(v) for k, v in self.classes.items()}},
            "slo_kept": self.slo_kept,
            "promises": [v.to_plain() for v in self.verdicts],
            "pools": [asdict(pool) for pool in self.pools],
            **{name: getattr(self, name) for name in names},
        }

    def __str__(self) -> str:
        return "\n".join(_lines(self))


def _lines(report: ReplayReport) -> Sequence[str]:
    lines = [
        f"{report.arrived:,} requests arrived, {report.finished:,} finished, {report.refused:,} refused, "
        f"{report.under_way:,} unfinished, {report.requeued:,} sent back by failures; {report.seconds:,.0f} s recorded "
        f"after {report.warm_up_s:,.0f} s, seed {report.seed}",
        f"{'':24}{'predicted':>12}{'simulated':>12}",
    ]
    for measure in MEASURES:
        one, other = report.predicted[""].get(measure.field), report.overall.figure(measure)
        if one is not None and measure.quantity in COMPARED:
            change = f"{other / one - 1:+8.1%}" if one else ""
            lines.append(f"{measure.field:24}{one:12.4g}{other:12.4g}{change}")
    lines.append(
        f"{'requests_per_s':24}{report.predicted['']['requests_per_s']:12.4g}{report.overall.requests_per_s:12.4g}"
    )
    lines.append(f"{'goodput_requests_per_s':24}{'':12}{report.overall.goodput_requests_per_s:12.4g}")
    lines.append(
        f"a request waits {show_seconds(report.overall.wait_p50_s)} for its train in the median and "
        f"{show_seconds(report.overall.wait_p95_s)} at p95: what its TTFT would not take alone"
    )
    lines += [
        f"pool {pool.name}: busy {pool.utilisation:.0%}, KV cache at most {pool.kv_fullest:.0%} full"
        + (f", {pool.preempted:,} sequences preempted" if pool.preempted else "")
        for pool in report.pools
    ]
    if set(report.tiers) - {NOWHERE}:
        total = sum(report.tiers.values())
        lines.append("session caches: " + ", ".join(f"{k} {v / total:.0%}" for k, v in sorted(report.tiers.items())))
    for verdict in report.verdicts:
        word = "kept" if verdict.kept else "MISSED"
        lines.append(
            f"{word}: {verdict.measure} of class {verdict.class_name!r} is {verdict.simulated_s:.4g} s "
            f"(± {verdict.margin_s:.2g}) of {verdict.limit_s:.4g} s"
        )
    return lines


def statistic(values: Sequence[float], share: float | None) -> float:
    """Quantile of some latencies, or their mean; 0 of none."""
    if not len(values):
        return 0.0
    known = np.frombuffer(values, dtype=np.float32)  # type: ignore[call-overload]
    return float(known.mean(dtype=float) if share is None else np.quantile(known, share))


def percentiles(values: Sequence[float]) -> list[float]:
    """Percentiles 0 to 100 of some latencies; none of none."""
    return np.quantile(np.asarray(values), np.linspace(0, 1, 101)).tolist() if len(values) else []


def margin(values: Sequence[float], share: float | None, parts: int = 10) -> float:
    """Half of the 95 % confidence interval of a quantile or mean, by batch means over successive parts of the run."""
    if len(values) < 20 * parts:
        return math.inf
    split = np.array_split(np.asarray(values), parts)
    found = [float(part.mean() if share is None else np.quantile(part, share)) for part in split]
    return 2.26 * float(np.std(found, ddof=1)) / math.sqrt(parts)


def predicted(prediction: Any, names: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """The plan's figures under the simulation's names."""
    rates = ("output_tokens_per_s", "output_tokens_per_s_per_device", "requests_per_s")
    kept = (*(measure.field for measure in MEASURES), *rates)
    every = {"": prediction} | dict(names)
    return {
        name: {figure: value for figure in kept if (value := getattr(latency, figure)) is not None}
        for name, latency in every.items()
    }
