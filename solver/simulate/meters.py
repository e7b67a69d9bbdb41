"""What is written down while the simulation runs: a few numbers per step and per request, never a list of events."""

from __future__ import annotations

import math
from array import array
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from solver.simulate.requests import ServedRequest

#: Bins per factor e of the histogram of gaps between tokens: 0.5 % apart.
GAP_BINS = 200


@dataclass
class PoolMeter:
    """One pool, from the end of the warm-up to the end of the arrivals.

    Attributes
    ----------
    recording: whether steps count now.
    busy_s: replica-seconds (or rank-seconds) in which a step was under way.
    batches: seconds by running sequences of a rank, rounded up; gaps: gaps between tokens by bin.
    fullest_bytes: the most that any rank's KV cache held; never reset.
    preempted: sequences that lost their place to others.
    """

    recording: bool = False
    busy_s: float = 0.0
    batches: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    gaps: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    fullest_bytes: float = 0.0
    largest_batch: int = 0
    preempted: int = 0

    def steps(self, steps: int, step_s: float, running: int, ranks: int, waited_s: float = 0.0) -> None:
        """So many steps of a replica that ran so many sequences on its ranks, which had waited so long before the first."""
        self.ran(steps, step_s, -(-running // ranks))
        if self.recording and step_s > 0 and running:
            if waited_s:
                self.gaps[round(math.log(waited_s + step_s) * GAP_BINS)] += running
                steps -= 1
            if steps:
                self.gaps[round(math.log(step_s) * GAP_BINS)] += steps * running

    def ran(self, steps: int, step_s: float, most: int) -> None:
        """So many steps while so many sequences were on the fullest rank."""
        if most > self.largest_batch:
            self.largest_batch = most
        if self.recording:
            self.busy_s += steps * step_s
            self.batches[most] += steps * step_s

    def filled(self, stored_bytes: float) -> None:
        """The KV cache of the fullest rank."""
        if stored_bytes > self.fullest_bytes:
            self.fullest_bytes = stored_bytes


def gap(meters: Iterable[PoolMeter], share: float | None) -> float:
    """Quantile of the gaps between two tokens of some pools, or their mean [s]; 0 where none was seen."""
    gaps: dict[int, int] = defaultdict(int)
    for meter in meters:
        for place, count in meter.gaps.items():
            gaps[place] += count
    total, below = sum(gaps.values()), 0
    if share is None and total:
        return math.fsum(count * math.exp(place / GAP_BINS) for place, count in gaps.items()) / total
    for place in sorted(gaps):
        below += gaps[place]
        if below >= (share or 0.0) * total:
            return math.exp(place / GAP_BINS)
    return 0.0


@dataclass
class ClassMeter:
    """Requests of one class that arrived while it was recording: 28 bytes each, whatever their length.

    Attributes
    ----------
    ttft, tpot, e2e: latencies in order of completion [s]; TPOT only of those with more than one output token.
    wait: of each TTFT, what it would not take alone: for a train, for a seat, for its caches to arrive [s].
    output_tokens: of the finished ones. kept: how many kept every promise by themselves.
    """

    ttft: array[float] = field(default_factory=lambda: array("f"))
    tpot: array[float] = field(default_factory=lambda: array("f"))
    e2e: array[float] = field(default_factory=lambda: array("f"))
    wait: array[float] = field(default_factory=lambda: array("f"))
    output_tokens: int = 0
    kept: int = 0

    def finished(self, request: ServedRequest, ttft_limit_s: float, tpot_limit_s: float, e2e_limit_s: float) -> None:
        """A request has its last token."""
        arrival = request.arrival
        first, whole = request.first_s - arrival.time_s, request.end_s - arrival.time_s
        gaps = arrival.output_tokens - 1
        each = (request.end_s - request.first_s) / gaps if gaps else 0.0
        self.ttft.append(first)
        self.wait.append(max(first - request.alone_s, 0.0))
        self.e2e.append(whole)
        if gaps:
            self.tpot.append(each)
        self.output_tokens += arrival.output_tokens
        self.kept += first <= ttft_limit_s and each <= tpot_limit_s and whole <= e2e_limit_s


#: Stands for a tier where no history was found.
NOWHERE = "none"


@dataclass
class RequestCounts:
    """Where every request is: each is counted once under how it ended, or is still under way.

    Attributes
    ----------
    arrived: all. finished: with their last token. refused: longer than the engines accept.
    requeued: times that a failure sent one back to the start.
    tiers: by the tier in which their session's history was found, :data:`NOWHERE` included.
    """

    arrived: int = 0
    finished: int = 0
    refused: int = 0
    requeued: int = 0
    tiers: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    @property
    def under_way(self) -> int:
        """Requests that have not ended."""
        return self.arrived - self.finished - self.refused


@dataclass
class Samples:
    """A few hundred looks at the pools: time, requests that wait, that run, and share of the KV cache in use."""

    time_s: list[float] = field(default_factory=list)
    waiting: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    running: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    stored: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
