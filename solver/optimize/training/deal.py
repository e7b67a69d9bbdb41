"""Layers and activation policies of every device of a pipeline, exactly over a stated space.

An iteration takes ``(m - rho) M + rho sum_s t_s``, M being the slowest device (:mod:`solver.training.schedules`). Devices
meet only in that maximum and in the layers that are left, so the best deal falls apart:

1. for each device and run of layers, the fastest mix of policies that its HBM holds (:mod:`.mixes`);
2. for a given M, the least sum of times over all ways to cut the layers: a dynamic program over the cuts;
3. M from the least at which the layers fit anywhere, upwards, until no larger one can be better.

==============  ====================================================================================================
schedule        space of its cuts
==============  ====================================================================================================
gpipe, 1f1b,    every way to cut the layers in order, at least one on each device
zero-bubble
interleaved     every chunk as long as the others, but the first and the last, which hold the embedding and the head
                and may be shorter
dualpipe, -v    parts within one layer of their mean; a device has one from the front and its mirror from the back
==============  ====================================================================================================
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from solver.optimize.training.mixes import Mixes, PolicyMix
from solver.training.stages import StageCosts

Floats = NDArray[np.float64]
#: First layer of a part and the one after its last.
Part = tuple[int, int]


class Dealt(NamedTuple):
    """A device of the pipeline: the parts of the network that it holds, in their order, and the policies of its layers."""

    parts: tuple[Part, ...]
    mix: PolicyMix


def deal(costs: StageCosts) -> tuple[Dealt, ...] | None:
    """The deal with the shortest iteration; None where nothing fits the HBM."""
    schedule = costs.layout.schedule
    if schedule.kind == "interleaved":
        return _best(costs, _interleaved(costs))
    return _folded(costs) if schedule.folded else _straight(costs)


def _best(costs: StageCosts, deals: Iterator[tuple[Dealt, ...]]) -> tuple[Dealt, ...] | None:
    return min(deals, key=lambda dealt: costs.iteration_s([d.mix.seconds for d in dealt]), default=None)


def _interleaved(costs: StageCosts) -> Iterator[tuple[Dealt, ...]]:
    """Every deal in chunks of one length but for the first and the last."""
    stages, mixes = costs.layout.pp, Mixes(costs)
    count = costs.layout.schedule.parts(stages)
    for sizes in chunk_sizes(len(costs.kind_of), count):
        ends = np.cumsum([0, *sizes])
        dealt = []
        for device in range(stages):
            parts = tuple((int(ends[n]), int(ends[n + 1])) for n in range(device, count, stages))
            mix = mixes.fastest(costs.network.tally(*parts), device, device == 0, device == stages - 1)
            if mix is None:
                break
            dealt.append(Dealt(parts, mix))
        else:
            yield tuple(dealt)


def chunk_sizes(layers: int, chunks: int) -> Iterator[list[int]]:
    """Lengths of chunks that are alike but for the first and the last.

    >>> list(chunk_sizes(6, 4))
    [[0, 3, 3, 0], [1, 2, 2, 1], [2, 2, 2, 0], [0, 2, 2, 2]]
    """
    found = []
    for each in range(1, layers + 1):
        ends = layers - (chunks - 2) * each
        firsts = range(max(0, ends - each), min(each, ends) + 1)
        found += [[first, *[each] * (chunks - 2), ends - first] for first in firsts]
    yield from sorted(found, key=lambda s: (abs(s[0] - s[-1]), -s[1], -s[0]))


def _straight(costs: StageCosts) -> tuple[Dealt, ...] | None:
    """The best way to cut the layers into runs."""
    layers, stages, mixes = len(costs.kind_of), costs.layout.pp, Mixes(costs)
    times = []
    for device in range(stages):
        seconds = np.full((layers + 1, layers + 1), math.inf)
        found: dict[tuple[int, ...], float] = {}
        starts = range(1) if device == 0 else range(device, layers - stages + device + 1)
        for a in starts:
            last = device == stages - 1
            for b in [layers] if last else range(a + 1, layers - stages + device + 2):
                tally = costs.network.tally((a, b))
                if tally not in found:
                    mix = mixes.fastest(tally, device, device == 0, last)
                    found[tally] = math.inf if mix is None else mix.seconds
                seconds[a, b] = found[tally]
                if math.isinf(found[tally]) and not last:
                    break  # longer runs hold no less
        times.append(seconds)
    cuts = _cut(costs, times)
    if cuts is None:
        return None
    dealt = []
    for device, (a, b) in enumerate(itertools.pairwise(cuts)):
        mix = mixes.fastest(costs.network.tally((a, b)), device, device == 0, device == stages - 1)
        assert mix is not None
        dealt.append(Dealt(((a, b),), mix))
    return tuple(dealt)


def _cut(costs: StageCosts, times: Sequence[Floats]) -> tuple[int, ...] | None:
    """Where to cut for the shortest iteration."""
    rho, m = costs.bubble, costs.micro_batches
    paces = np.unique(np.concatenate([seconds[np.isfinite(seconds)] for seconds in times]))
    whole, _ = _shortest(times, math.inf)
    if math.isinf(whole):
        return None
    low, high = 0, len(paces) - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if math.isfinite(_shortest(times, paces[middle])[0]) else (middle + 1, high)
    best, found = math.inf, None
    for pace in paces[low:]:
        if (m - rho) * pace + rho * whole >= best:
            break
        total, cuts = _shortest(times, float(pace))
        if (m - rho) * pace + rho * total < best:
            best, found = (m - rho) * pace + rho * total, cuts
    return found


def _shortest(times: Sequence[Floats], pace: float) -> tuple[float, tuple[int, ...]]:
    """Least sum of times with no device slower than a pace, and the cuts: inf where there is none."""
    sums = np.full(len(times[0]), math.inf)
    sums[0] = 0.0
    came = []
    for seconds in times:
        ways = sums[:, None] + np.where(seconds <= pace, seconds, math.inf)
        came.append(np.argmin(ways, axis=0))
        sums = ways.min(axis=0)
    cuts = [len(sums) - 1]
    if math.isfinite(sums[-1]):
        for choice in reversed(came):
            cuts.append(int(choice[cuts[-1]]))
    return float(sums[-1]), tuple(reversed(cuts))


def _folded(costs: StageCosts) -> tuple[Dealt, ...] | None:
    """The best way to cut the layers from both ends at once, inwards; devices that mirror each other are alike."""
    layers, stages, schedule, mixes = len(costs.kind_of), costs.layout.pp, costs.layout.schedule, Mixes(costs)
    parts = schedule.parts(stages)
    sizes = part_sizes(layers, parts)
    mirrored = parts // 2
    open_: dict[Part, list[tuple[float, float, tuple[Part, ...]]]] = {(0, layers): [(0.0, 0.0, ())]}
    for depth in range(mirrored):
        inner = mirrored - 1 - depth
        after: dict[Part, list[tuple[float, float, tuple[Part, ...]]]] = {}
        for (front, back), ways in open_.items():
            for ahead in sizes:
                for behind in sizes:
                    left = back - behind - front - ahead
                    if not inner * 2 * sizes[0] <= left <= inner * 2 * sizes[-1]:
                        continue
                    seconds = _pair_s(costs, mixes, depth, (front, front + ahead), (back - behind, back))
                    if seconds is None:
                        continue
                    after.setdefault((front + ahead, back - behind), []).extend(
                        (max(slowest, seconds), total + seconds, (*cuts, (ahead, behind)))
                        for slowest, total, cuts in ways
                    )
        open_ = {state: _thinned(ways) for state, ways in after.items()}
    ends = [way for (front, back), ways in open_.items() if front == back for way in ways]
    return _best(costs, (_unfolded(costs, mixes, cuts) for _, _, cuts in ends))


def part_sizes(layers: int, parts: int) -> range:
    """Lengths of parts within one layer of their mean, at least one.

    >>> list(part_sizes(61, 16))
    [3, 4]
    """
    return range(max(1, math.ceil(layers / parts - 1)), math.floor(layers / parts + 1) + 1)


def _pair_s(costs: StageCosts, mixes: Mixes, depth: int, ahead: Part, behind: Part) -> float | None:
    mix = mixes.fastest(costs.network.tally(ahead, behind), depth, depth == 0, depth == 0)
    return None if mix is None else mix.seconds


def _thinned(ways: list[tuple[float, float, tuple[Part, ...]]]) -> list[tuple[float, float, tuple[Part, ...]]]:
    """The ways that no other beats in both slowest device and sum."""
    kept: list[tuple[float, float, tuple[Part, ...]]] = []
    for way in sorted(ways):
        if not kept or way[1] < kept[-1][1] - 1e-15:
            kept.append(way)
    return kept


def _unfolded(costs: StageCosts, mixes: Mixes, cuts: Sequence[Part]) -> tuple[Dealt, ...]:
    """Devices in order; with DualPipe the second half mirrors the first and a micro-batch meets half of what a device has."""
    found, front, back = [], 0, len(costs.kind_of)
    for depth, (ahead, behind) in enumerate(cuts):
        parts = ((front, front + ahead), (back - behind, back))
        mix = mixes.fastest(costs.network.tally(*parts), depth, depth == 0, depth == 0)
        assert mix is not None
        share = 2 if costs.layout.schedule.copies == 2 else 1
        found.append(Dealt(parts, PolicyMix(mix.counts, mix.seconds / share)))
        front, back = front + ahead, back - behind
    return tuple(found) if costs.layout.schedule.copies == 1 else (*found, *reversed(found))
