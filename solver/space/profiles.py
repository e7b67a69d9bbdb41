"""Profiles: candidates at the largest load that keeps the promises, one column per footprint and number of replicas.

How much a replica can serve depends on how many share its queue, so a column covers a band of replica counts: it is
priced at the fewest (safe) and, for the bound, at the most (optimistic), limits on medians at both. Within a cell (engine,
role, promise, footprint, partners at the hand-over, mechanisms without a measured run, band) only the best candidate can be
in a best plan: it is no worse in any row of the program, and as simple.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from solver.cost.pool.mix import Mix
from solver.cost.pool.most import Fullest, fullest
from solver.cost.pool.operating_point import WIDTH
from solver.cost.pool.promise import Promise
from solver.cost.pool.serving import Service
from solver.cost.steps.step import Load
from solver.replica import Role
from solver.space.candidates import Candidate, Candidates, with_limits
from solver.space.cuts import recut
from solver.space.shapes import Footprint, most_replicas
from solver.workload.kv_tiers import KVTierName
from solver.workload.measures import TPOT_P95, TTFT_P95

Floats = NDArray[np.float64]

#: Bands hold one count each up to here, and beyond it this share more than their least, times the fourth root of how far
#: beyond: what a replica serves falls short of its most by about 1 / sqrt(replicas), so that each band spans less of it.
SINGLE_COUNTS = 24
BAND_SHARE = 0.08


#: How roughly rows are first bounded, as a ratio less 1.
ROUGH = 0.03
#: Rates that differ by less count as equal.
EQUAL = 1e-9

#: A footprint, the class of replicas that hand over alike, the mechanisms that no run had, whether stages share a domain.
Cell = tuple[Footprint, int, tuple[str, ...], bool]


@dataclass(frozen=True)
class Column:
    """One choice of the program: low to high replicas of a candidate.

    Attributes
    ----------
    group: index of the promise that it serves; split: which division of its end-to-end limit.
    rate: requests/s of one replica when ``low`` share the queue: what a plan may count on.
    best_rate: requests/s of one replica under the most favourable reading: what no plan can exceed.
    wait: its TTFT (decode: TPOT) at the 95th percentile [s]; breaks ties.
    limit: most sequences that a rank may run.
    pin: number of the pinned pool that it stands for.
    keeping: number of the way to keep idle KV that it is priced for; None where nothing is kept.
    slow: (class, tier) pairs, by position in the promise and name, from which loading takes longer than it spares.
    """

    group: int
    split: int
    candidate: Candidate
    low: int
    high: int
    rate: float
    best_rate: float
    wait: float
    limit: float
    pin: int | None = None
    keeping: int | None = None
    slow: frozenset[tuple[int, KVTierName]] = frozenset()

    @property
    def role(self) -> Role:
        """Role of its replicas."""
        return self.candidate.setup.role

    @property
    def footprint(self) -> Footprint:
        """What one replica takes from the cluster."""
        return self.candidate.footprint


def bands(most: int) -> Iterator[tuple[int, int]]:
    """Bands of replica counts up to ``most``.

    >>> [band for band in bands(30)][-3:]
    [(24, 24), (25, 27), (28, 30)]
    >>> len(list(bands(1000))), len(list(bands(100_000)))
    (54, 70)
    """
    low = 1
    while low <= most:
        share = BAND_SHARE * (low / SINGLE_COUNTS) ** 0.25
        high = low if low <= SINGLE_COUNTS else min(most, int(low * (1 + share)))
        yield low, high
        low = high + 1


@dataclass(frozen=True)
class Cells:
    """Candidates that could be best in some band of replica counts, by cell, before those counts are priced.

    Attributes
    ----------
    alive: all of them; members: rows of each cell.
    group, split: as columns have them.
    least: fewest replicas that a pool may have; most: replicas of each cell that fit when nothing else runs.
    bold: requests/s that no replica of a row exceeds (R,); reach: and none of a cell.
    """

    alive: Candidates
    mix: Mix
    promise: Promise
    group: int
    split: int
    least: int
    members: tuple[tuple[int, ...], ...]
    most: tuple[int, ...]
    bold: Floats
    reach: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.members)

    def footprint(self, cell: int) -> Footprint:
        """What a replica of a cell takes."""
        return self.alive.rows[self.members[cell][0]].footprint

    def bands(self, cell: int) -> Iterator[tuple[int, int]]:
        """Bands of replica counts of a cell."""
        return ((max(low, self.least), high) for low, high in bands(self.most[cell]) if high >= self.least)

    def columns(self, asked: Sequence[tuple[int, int, int]]) -> list[Column]:
        """The best candidate of a cell in each band that is asked about: (cell, fewest, most replicas)."""
        if not asked:
            return []
        lows, highs = (np.array([band[side] for band in asked], float) for side in (1, 2))
        # Whichever may serve most goes first; of the others only those that might still beat it are priced.
        leader = np.array([max(self.members[cell], key=lambda row: (self.bold[row], -row)) for cell, _, _ in asked])
        pairs = [(n, row) for n, band in enumerate(asked) for row in self.members[band[0]] if row != leader[n]]
        number, other = np.array(pairs, np.intp).reshape(-1, 2).T
        rate, wait = self._safe(leader, lows, highs)
        reach = self._bold(leader, highs)
        rival = self.bold[other] >= rate[number] * (1 - EQUAL)
        bolder = self.bold[other] > reach[number]
        rates, waits = self._safe(other[rival], lows[number[rival]], highs[number[rival]])
        np.maximum.at(reach, number[bolder], self._bold(other[bolder], highs[number[bolder]]))
        band = np.concatenate([np.arange(len(asked)), number[rival]])
        row, rate, wait = (np.concatenate(pair) for pair in ((leader, other[rival]), (rate, rates), (wait, waits)))
        # Of rows that serve equally much the one that was enumerated first (fewer degrees, smaller chunk).
        order = np.lexsort((row, -np.round(rate, 9), band))
        best = order[np.unique(band[order], return_index=True)[1]]
        return [
            Column(
                group=self.group,
                split=self.split,
                candidate=self.alive.rows[row[n]],
                low=low,
                high=high,
                rate=float(rate[n]),
                best_rate=float(max(most, rate[n])),
                wait=float(wait[n]),
                limit=float(self.alive.limit[row[n]]),
            )
            for n, (_, low, high), most in zip(best, asked, reach, strict=True)
            if most > 0
        ]

    def _safe(self, rows: NDArray[np.intp], low: Floats, high: Floats) -> tuple[Floats, Floats]:
        """Requests/s that a replica of each row is sure to serve beside low to high ones, and its TTFT (decode: TPOT) beside
        the fewest [s]."""
        if not len(rows):
            return np.zeros(0), np.zeros(0)
        service = _sure(self.alive, rows, low, high, self.mix, self.promise)
        waits = service.latency(TPOT_P95 if self.alive.role == "decode" else TTFT_P95)
        return service.requests_per_s, waits.max(axis=1)

    def _bold(self, rows: NDArray[np.intp], count: Floats) -> Floats:
        """Requests/s that a replica of each row does not exceed beside so many or fewer."""
        if not len(rows):
            return np.zeros(0)
        return _boldest(self.alive, rows, count, self.mix, self.promise).reach


def cells_of(
    found: Candidates, mix: Mix, promise: Promise, group: int, split: int = 0, least_replicas: int = 1
) -> Cells | None:
    """Rows that could be best in some band: at their most favourable no worse than every rival at its least; None
    where none keeps the promise.

    A row serves more per replica the more replicas share its queue, but for limits on medians, so the rate at one replica
    bounds from below (asked of the row of each cell that may serve most) and the optimistic rate at the most from above.

    Parameters
    ----------
    group, split: passed through.
    least_replicas: fewest replicas that a pool may have.
    """
    most = np.array([most_replicas(found.fleet, row.footprint) for row in found.rows], float)
    # Most rows fall far short of the best of their cell, so a rough bound on each is enough to leave them out.
    rough = _boldest(found, np.arange(len(found)), most, mix, promise, width=ROUGH)
    able = rough.reach > 0
    if not able.any():
        return None
    alive, best, most, batch = found.keep(able), rough.reach[able], most[able], rough.service.batch[able]
    cells = [_cell(row) for row in alive.rows]
    boldest: dict[Cell, int] = {}
    for number in np.argsort(-best, kind="stable"):
        boldest.setdefault(cells[number], int(number))
    index = np.array(list(boldest.values()))
    leaders = _cut(alive.keep(index), mix, batch[index])
    worst = _sure(leaders, np.arange(len(index)), np.ones(len(index)), most[index], mix, promise).requests_per_s
    floor = dict(zip(boldest, worst, strict=True))
    kept = np.array([rate >= floor[cell] for cell, rate in zip(cells, best, strict=True)])
    alive = _cut(alive.keep(kept), mix, batch[kept])
    best = np.minimum(best[kept], _boldest(alive, np.arange(len(alive)), most[kept], mix, promise).reach)
    by_cell: dict[Cell, list[int]] = defaultdict(list)
    for number, candidate in enumerate(alive.rows):
        by_cell[_cell(candidate)].append(number)
    members = tuple(tuple(rows) for _, rows in sorted(by_cell.items()))
    return Cells(
        alive=alive,
        mix=mix,
        promise=promise,
        group=group,
        split=split,
        least=least_replicas,
        members=members,
        most=tuple(most_replicas(alive.fleet, alive.rows[rows[0]].footprint) for rows in members),
        bold=best,
        reach=tuple(float(best[list(rows)].max()) for rows in members),
    )


def _cell(candidate: Candidate) -> Cell:
    """Candidates that could stand in for each other: of one footprint, with the same partners at the hand-over, and as
    simple: the plan may be the simplest within a tolerance."""
    return candidate.footprint, candidate.handover, candidate.untried, candidate.pipelined


def _cut(found: Candidates, mix: Mix, batch: Floats) -> Candidates:
    """Rows with layers divided over stages as suits the step of so many sequences, and the batches that fit then."""
    return with_limits(recut(found, _typical(found, mix, batch)), mix)


def _typical(found: Candidates, mix: Mix, batch: Floats) -> Load:
    """The step for which stages should be even."""
    if found.role == "prefill":
        prompts = np.array([row.setup.prompts_per_step for row in found.rows], float)
        tokens = np.minimum(found.replicas.chunk_tokens, mix.mean(mix.prompt)) * prompts
        return Load.of(prefill=tokens, prefill_keys=mix.mean(mix.cached) + mix.mean(mix.prompt) / 2)
    return Load.of(decode=np.maximum(batch, 1.0) / found.replicas.work.pp, context=mix.context)


def _sure(
    found: Candidates, index: NDArray[np.intp], low: Floats, high: Floats, mix: Mix, promise: Promise
) -> Service:
    """The best load of some rows with ``low`` replicas in the pool of each; what they serve is what they are sure to serve with
    any number up to ``high``."""
    service = _most(found, index, low, mix, promise).service
    _, medians = promise.parted()
    wide = np.flatnonzero(high > low)
    if not medians.limits or not len(wide):
        return service
    rate = service.requests_per_s.copy()
    there = _most(found, index[wide], high[wide], mix, medians).service.requests_per_s
    rate[wide] = np.minimum(rate[wide], there)
    return replace(service, requests_per_s=rate)


def _boldest(
    found: Candidates, index: NDArray[np.intp], high: Floats, mix: Mix, promise: Promise, width: float = WIDTH
) -> Fullest:
    """The best load of some rows with so many replicas in the pool of each, most favourably read, and what a replica does not
    exceed however many of these share its queue."""
    best = _most(found, index, high, mix, promise, optimistic=True, width=width)
    others, medians = promise.parted()
    if not medians.limits:
        return best
    ends = [_most(found, index, count, mix, medians, True, width).reach for count in (np.ones(len(index)), high)]
    eased = _most(found, index, high, mix, others, True, width).reach if others.limits else np.full(len(index), np.inf)
    return replace(best, reach=np.minimum(eased, np.maximum(*ends)))


def _most(
    found: Candidates,
    index: NDArray[np.intp],
    count: Floats,
    mix: Mix,
    promise: Promise,
    optimistic: bool = False,
    width: float = WIDTH,
) -> Fullest:
    """The best load of some rows with so many replicas in the pool of each."""
    replicas = (found.optimistic if optimistic else found.replicas).rows(index)
    limit = (found.optimistic_limit if optimistic else found.limit)[index]
    prompts = np.array([found.rows[i].setup.prompts_per_step for i in index], float)
    several = found.bold if optimistic else (found.safe,)
    best = [
        fullest(found.role, replicas, count, mix, promise, limit, prompts, stretch and stretch.rows(index), width)
        for stretch in several or (None,)
    ]
    return replace(best[0], reach=np.min([each.reach for each in best], axis=0))
