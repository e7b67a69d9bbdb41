"""Contiguous runs of layers for the stages of one replica: the slowest stage as fast as can be, within every memory.

Layers may differ (dense ones before MoE ones), the ends carry more (embedding, output head), and stages may sit on
unlike devices: all of it exact. The first answer is the least time of the slowest stage, which sets the throughput; of
all cuts with it, the one of least total time, which is the latency of a token.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from solver.errors import BadInput, NoPlan
from solver.optimize.stages.kinds import Floats, StageKind

TOLERANCE = 1e-12
"""Relative slack when times of stages are compared."""


@dataclass(frozen=True)
class PlacedStage:
    """Layers ``first`` to ``last`` (both included) on ``tp`` devices of a type in a domain."""

    first: int
    last: int
    device: str
    tp: int
    domain: str
    time_s: float
    bytes: float


@dataclass(frozen=True)
class StageCut:
    """Stages in order; no other cut of what was asked has a faster slowest stage."""

    stages: tuple[PlacedStage, ...]

    @property
    def slowest_s(self) -> float:
        """Time of the slowest stage [s]."""
        return max(stage.time_s for stage in self.stages)

    @property
    def total_s(self) -> float:
        """Time through all stages, without the hops between them [s]."""
        return sum(stage.time_s for stage in self.stages)

    @property
    def balance(self) -> float:
        """Slowest over mean stage."""
        return self.slowest_s * len(self.stages) / self.total_s


def cut_layers(kinds: Sequence[StageKind]) -> StageCut:
    """Cut the layers for stages in this order, one for each kind given, each with a layer or more.

    Raises
    ------
    NoPlan: the stages have no room for all layers.

    >>> kind = StageKind.of("h100", 8, "host0", [1, 1, 1, 1, 1], [1] * 5, memory_bytes=9, last=(1.0, 0.0))
    >>> [(stage.first, stage.last) for stage in cut_layers([kind, kind]).stages]
    [(0, 2), (3, 4)]
    """
    _refuse_unlike(kinds)
    slowest = float(_through(kinds, np.maximum, np.inf)[0][-1, -1])
    if not np.isfinite(slowest):
        raise NoPlan(_too_small(kinds))
    _, starts = _through(kinds, np.add, slowest * (1 + TOLERANCE))
    stages, end = [], kinds[0].layers
    for number in range(len(kinds), 0, -1):
        first = int(starts[number, end])
        stages.append(_placed(kinds[number - 1], first, end))
        end = first
    return StageCut(tuple(reversed(stages)))


def assign_stages(kinds: Sequence[StageKind], free: Mapping[str, int], stages: int) -> StageCut:
    """Choose kind, domain and order of ``stages`` stages, and the cut, from what is free.

    Parameters
    ----------
    kinds: what a stage may be; a kind may serve several stages.
    free: devices in each domain; a stage takes ``tp`` of them.
    stages: number of stages.

    Raises
    ------
    NoPlan: the free devices have no room for all layers in so many stages.

    >>> fast = StageKind.of("h200", 1, "new", [1] * 6, [1] * 6, memory_bytes=6)
    >>> slow = StageKind.of("a100", 1, "old", [2] * 6, [1] * 6, memory_bytes=3)
    >>> found = assign_stages([fast, slow], {"new": 1, "old": 1}, stages=2)
    >>> [(stage.device, stage.last - stage.first + 1) for stage in found.stages], found.slowest_s
    ([('h200', 4), ('a100', 2)], 4.0)
    """
    _refuse_unlike(kinds)
    layers = kinds[0].layers
    if not 1 <= stages <= layers:
        raise BadInput(f"{layers} layers cannot make {stages} stages")
    runs = np.stack([kind.times_s for kind in kinds])
    times = np.unique(runs[np.isfinite(runs)])
    low, high = 0, len(times)
    while low < high:
        middle = (low + high) // 2
        if _order_within(kinds, free, stages, float(times[middle])) is None:
            low = middle + 1
        else:
            high = middle
    order = None if low == len(times) else _order_within(kinds, free, stages, float(times[low]))
    if order is None:
        devices = ", ".join(f"{number} in {domain}" for domain, number in free.items())
        raise NoPlan(f"{layers} layers do not fit on {stages} stages on the free devices ({devices})")
    return cut_layers([kinds[number] for number in order])


def _order_within(kinds: Sequence[StageKind], free: Mapping[str, int], stages: int, limit: float) -> list[int] | None:
    """Kinds in an order whose stages all stay within a time, or None.

    What counts of the stages so far is only which devices they took and how many layers they hold: the more, the
    better, since what is left is then easier.
    """
    layers, domains = kinds[0].layers, sorted(free)
    within = [[bisect_right(_reached(kind, first), limit) for first in range(layers)] for kind in kinds]
    last_fits = [kind.times_s[:, layers] <= limit for kind in kinds]
    reached: dict[tuple[int, ...], tuple[int, tuple[int, ...]]] = {(0,) * len(domains): (0, ())}
    for stage in range(1, stages + 1):
        after: dict[tuple[int, ...], tuple[int, tuple[int, ...]]] = {}
        for used, (first, order) in reached.items():
            for number, kind in enumerate(kinds):
                at = domains.index(kind.domain)
                taken = used[at] + kind.tp
                if taken > free[kind.domain]:
                    continue
                if stage == stages:
                    if last_fits[number][first]:
                        return [*order, number]
                    continue
                end = min(first + within[number][first], layers - (stages - stage))
                now = (*used[:at], taken, *used[at + 1 :])
                if end > first and (now not in after or after[now][0] < end):
                    after[now] = end, (*order, number)
        reached = after
    return None


def _reached(kind: StageKind, first: int) -> list[float]:
    """Times of the runs from a layer that do not reach the last one, ascending by length."""
    times: list[float] = kind.times_s[first, first + 1 : kind.layers].tolist()
    return times


def _through(kinds: Sequence[StageKind], join: np.ufunc, limit: float) -> tuple[Floats, Floats]:
    """Least joined time of the first stages by where they end, stages beyond a limit left out, and where each starts.

    Both (stages + 1, layers + 1); row s for s stages.
    """
    layers = kinds[0].layers
    best = np.full((len(kinds) + 1, layers + 1), np.inf)
    starts = np.zeros_like(best)
    best[0, 0] = 0.0
    for number, kind in enumerate(kinds, start=1):
        times = np.where(kind.times_s <= limit, kind.times_s, np.inf)
        joined = join(best[number - 1][:, None], times)
        starts[number] = joined.argmin(axis=0)
        best[number] = joined.min(axis=0)
    return best, starts


def _placed(kind: StageKind, first: int, end: int) -> PlacedStage:
    return PlacedStage(
        first, end - 1, kind.device, kind.tp, kind.domain, kind.time_s(first, end), kind.bytes(first, end)
    )


def _refuse_unlike(kinds: Sequence[StageKind]) -> None:
    if not kinds:
        raise BadInput("a pipeline needs at least one stage")
    for one, other in itertools.pairwise(kinds):
        if one.layers != other.layers:
            raise BadInput(
                f"all stages must know the same layers; {one.device} has {one.layers}, {other.device} {other.layers}"
            )


def _too_small(kinds: Sequence[StageKind]) -> str:
    layers = kinds[0].layers
    if len(kinds) > layers:
        return f"{layers} layers cannot make {len(kinds)} stages"
    needed = min(kind.bytes(0, layers) for kind in kinds) / 1e9
    room = ", ".join(f"{kind.device} {kind.memory_bytes / 1e9:.4g} GB" for kind in kinds)
    return f"no cut of {layers} layers ({needed:.4g} GB on a rank) fits on {len(kinds)} stages: {room}"
