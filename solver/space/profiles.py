"""Profiles: candidates at the largest load that keeps the promises, one column per footprint and number of replicas.

How much a replica can serve depends on how many share its queue, so a column covers a band of replica counts: it is
priced at the fewest (safe) and, for the bound, at the most (optimistic). Within a cell (engine, role, promise,
footprint, partners at the hand-over, band) only the best candidate can be in a best plan: it is no worse in any row
of the program.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solver.cost.pool.mix import Mix
from solver.cost.pool.most import Fullest, fullest
from solver.cost.pool.serving import Promise, Service
from solver.cost.steps.step import Load
from solver.replica import Role
from solver.space.candidates import Candidate, Candidates, with_limits
from solver.space.cuts import recut
from solver.space.shapes import Footprint, most_replicas
from solver.workload.kv_tiers import KVTierName

Floats = NDArray[np.float64]

#: Bands hold one count each up to here, and this ratio of counts beyond.
SINGLE_COUNTS = 24
BAND_RATIO = 1.08


#: A footprint, and the class of replicas that hand over alike.
Cell = tuple[Footprint, int]


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
    touched: most replicas that any one scale-up domain may hold a part of; 0 = any number.
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
    touched: int = 0
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
    """
    low = 1
    while low <= most:
        high = low if low <= SINGLE_COUNTS else min(most, int(low * BAND_RATIO))
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
    reach: requests/s that no replica of a cell exceeds.
    """

    alive: Candidates
    mix: Mix
    promise: Promise
    group: int
    split: int
    least: int
    members: tuple[tuple[int, ...], ...]
    most: tuple[int, ...]
    reach: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.members)

    def footprint(self, cell: int) -> Footprint:
        """What a replica of a cell takes."""
        return self.alive.rows[self.members[cell][0]].footprint

    def columns(self, wanted: Mapping[int, tuple[float, float]]) -> list[Column]:
        """The best candidate of some cells in each band.

        Parameters
        ----------
        wanted: by cell, between which numbers of replicas bands shall start.
        """
        rows: list[int] = []
        lows: list[int] = []
        highs: list[int] = []
        cells: list[tuple[int, int]] = []
        for cell, (first, last) in sorted(wanted.items()):
            members = self.members[cell]
            for low, high in bands(self.most[cell]):
                if high >= self.least and first <= low <= last:
                    rows += members
                    lows += [max(low, self.least)] * len(members)
                    highs += [high] * len(members)
                    cells += [(cell, low)] * len(members)
        if not rows:
            return []
        index = np.array(rows)
        safe = _most(self.alive, index, np.array(lows, float), self.mix, self.promise).service
        bold = _most(self.alive, index, np.array(highs, float), self.mix, self.promise, optimistic=True).reach
        return _best_of_cells(self.alive, self.group, self.split, index, lows, highs, cells, safe, bold)


def cells_of(
    found: Candidates, mix: Mix, promise: Promise, group: int, split: int = 0, least_replicas: int = 1
) -> Cells | None:
    """Rows that could be best in some band: at their most favourable no worse than every rival at its least; None
    where none keeps the promise.

    A row serves more per replica the more replicas share its queue, so the rate at one replica bounds from below and
    the optimistic rate at the most replicas from above.

    Parameters
    ----------
    group, split: passed through.
    least_replicas: fewest replicas that a pool may have.
    """
    most = np.array([most_replicas(found.fleet, row.footprint) for row in found.rows], float)
    bold = _most(found, np.arange(len(found)), most, mix, promise, optimistic=True)
    able = bold.reach > 0
    if not able.any():
        return None
    alive, best, batch = found.keep(able), bold.reach[able], bold.service.batch[able]
    alive = with_limits(recut(alive, _typical(alive, mix, batch)), mix)
    worst = _most(alive, np.arange(len(alive)), np.ones(len(alive)), mix, promise).service.requests_per_s
    floor: dict[Cell, float] = defaultdict(float)
    for row, rate in zip(alive.rows, worst, strict=True):
        floor[_cell(row)] = max(floor[_cell(row)], rate)
    kept = np.array([rate >= floor[_cell(row)] for row, rate in zip(alive.rows, best, strict=True)])
    alive, best = alive.keep(kept), best[kept]
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
        reach=tuple(float(best[list(rows)].max()) for rows in members),
    )


def _cell(candidate: Candidate) -> Cell:
    """Candidates that could stand in for each other: of one footprint, with the same partners at the hand-over."""
    return candidate.footprint, candidate.handover


def _typical(found: Candidates, mix: Mix, batch: Floats) -> Load:
    """The step for which stages should be even."""
    if found.role == "prefill":
        prompts = np.array([row.setup.prompts_per_step for row in found.rows], float)
        tokens = np.minimum(found.replicas.chunk_tokens, mix.mean(mix.prompt)) * prompts
        return Load.of(prefill=tokens, prefill_keys=mix.mean(mix.cached) + mix.mean(mix.prompt) / 2)
    return Load.of(decode=np.maximum(batch, 1.0) / found.replicas.work.pp, context=mix.context)


def _most(
    found: Candidates, index: NDArray[np.intp], count: Floats, mix: Mix, promise: Promise, optimistic: bool = False
) -> Fullest:
    """The best load of some rows with so many replicas in the pool of each."""
    replicas = (found.optimistic if optimistic else found.replicas).rows(index)
    limit = (found.optimistic_limit if optimistic else found.limit)[index]
    prompts = np.array([found.rows[i].setup.prompts_per_step for i in index], float)
    return fullest(found.role, replicas, count, mix, promise, limit, prompts)


def _best_of_cells(
    found: Candidates,
    group: int,
    split: int,
    index: NDArray[np.intp],
    lows: list[int],
    highs: list[int],
    cells: list[tuple[int, int]],
    safe: Service,
    bold: Floats,
) -> list[Column]:
    """One column per cell: the safest candidate's rate, and the boldest reading of any."""
    wait = (safe.ttft_p95 if found.role != "decode" else safe.tpot_p95).max(axis=1)
    chosen: dict[tuple[int, int], int] = {}
    reach: dict[tuple[int, int], float] = defaultdict(float)
    for row, cell in enumerate(cells):
        reach[cell] = max(reach[cell], float(bold[row]))
        if cell not in chosen or _order(found, index, safe, row) > _order(found, index, safe, chosen[cell]):
            chosen[cell] = row
    return [
        Column(
            group=group,
            split=split,
            candidate=found.rows[index[row]],
            low=lows[row],
            high=highs[row],
            rate=float(safe.requests_per_s[row]),
            best_rate=max(reach[cell], float(safe.requests_per_s[row])),
            wait=float(wait[row]),
            limit=float(found.limit[index[row]]),
        )
        for cell, row in sorted(chosen.items())
        if reach[cell] > 0
    ]


def _order(found: Candidates, index: NDArray[np.intp], safe: Service, row: int) -> tuple[float, int]:
    """Better is more requests per second; of equals the row that was enumerated first (fewer degrees, smaller chunk)."""
    return round(float(safe.requests_per_s[row]), 9), -int(index[row])
