"""Which replica counts of which cells are worth a price: those that a small linear program cannot rule out.

A cell at its most favourable rate bounds every band of it, so a program over cells that counts only devices and demand
bounds every layout. Bands of the likeliest cells are priced first and give a layout; of the others only bands whose use
does not by itself make every layout dearer than that one (reduced costs: exact, up to a margin).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from solver.cost.pool.retention import load_s, spared_s
from solver.optimize.arithmetic.run import Effort
from solver.optimize.layout.least import Servers, least
from solver.optimize.layout.program import Market
from solver.optimize.layout.search import incumbent
from solver.replica import Role
from solver.space.candidates import price
from solver.space.profiles import Cells, Column, bands
from solver.workload.kv_tiers import KVTierName

Floats = NDArray[np.float64]

#: Cells per promise, role, kind of device and way to keep KV whose bands are priced first.
FIRST_CELLS = 32
#: Bands that are priced without asking which are worth it, and so many that none is where the gap is met without.
FEW_BANDS, MANY_BANDS = 400, 1500
#: No number of replicas lies between these.
NO_BAND = (1.0, 0.0)


@dataclass(frozen=True)
class Shelf:
    """Cells that are offered together.

    Attributes
    ----------
    keeping: number of the way to keep idle KV that they are priced for; pin: of the pinned pool that they stand for.
    """

    cells: Cells
    keeping: int | None = None
    pin: int | None = None

    @property
    def role(self) -> Role:
        """Role of all cells."""
        return self.cells.alive.role

    def columns(self, market: Market, wanted: dict[int, tuple[float, float]]) -> list[Column]:
        """Bands of some cells, as the program takes them."""
        found = self.cells.columns(wanted)
        if self.pin is not None:
            replicas = market.pins[self.pin]
            found = [replace(c, pin=self.pin) for c in found if replicas is None or c.low <= replicas <= c.high]
        return found if self.keeping is None else _keeping(self.cells, found, market, self.keeping)


def worthwhile(market: Market, shelves: Sequence[Shelf], effort: Effort) -> tuple[list[Column], float | None]:
    """Columns among which a best layout is, and every layout with which the twin could beat one that is known.

    Where very many could, and the one that is known is already within the gap of what none beats, they are left out; the
    second answer is then what no layout with one of them beats.
    """
    every = [(shelf, cell) for shelf in shelves for cell in range(len(shelf.cells))]
    count = sum(sum(1 for _ in bands(shelf.cells.most[cell])) for shelf, cell in every)
    limit = least(market, _servers(every)) if count > FEW_BANDS else None
    if limit is None:
        return _priced(market, shelves, [(0.0, math.inf)] * len(every)), None
    first = [(0.0, math.inf) if likely else NO_BAND for likely in _likeliest(market, every, limit.loss)]
    columns = _priced(market, shelves, first)
    known = incumbent(market, columns, effort)
    if known is None:
        return columns + _priced(market, shelves, [(0.0, math.inf) if asked == NO_BAND else NO_BAND for asked in first]), None
    with np.errstate(divide="ignore"):
        last = np.where(limit.loss > 0, limit.room(known) / np.maximum(limit.loss, 1e-300), math.inf)
    rest = [(0.0, float(most)) if asked == NO_BAND else NO_BAND for asked, most in zip(first, last, strict=True)]
    missing = sum(
        sum(1 for low, _ in bands(shelf.cells.most[cell]) if low <= most)
        for (shelf, cell), (_, most) in zip(every, rest, strict=True)
    )
    if missing > MANY_BANDS and limit.near(known, effort.gap):
        return columns, limit.value
    return columns + _priced(market, shelves, rest), None


def _servers(every: Sequence[tuple[Shelf, int]]) -> Servers:
    """Cells at the most that a replica of each could serve."""
    return Servers(
        [shelf.cells.group for shelf, _ in every],
        [shelf.role for shelf, _ in every],
        [shelf.cells.footprint(cell).device for shelf, cell in every],
        [shelf.cells.footprint(cell).devices for shelf, cell in every],
        [1] * len(every),
        [shelf.cells.most[cell] for shelf, cell in every],
        [shelf.cells.reach[cell] for shelf, cell in every],
    )


def _priced(market: Market, shelves: Sequence[Shelf], wanted: Sequence[tuple[float, float]]) -> list[Column]:
    """Bands of all cells, each between two numbers of replicas."""
    found, position = [], 0
    for shelf in shelves:
        part = wanted[position : position + len(shelf.cells)]
        position += len(shelf.cells)
        asked = {cell: limits for cell, limits in enumerate(part) if limits[0] <= limits[1]}
        if asked:
            found += shelf.columns(market, asked)
    return found


def _likeliest(market: Market, every: Sequence[tuple[Shelf, int]], loss: Floats) -> list[bool]:
    """Cells whose bands are priced first: settled ones, and the next best of every promise, role, device and way."""
    likely = [shelf.pin is not None or _stands(market, shelf, cell) for shelf, cell in every]
    alike: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for number, (shelf, cell) in enumerate(every):
        alike[shelf.cells.group, shelf.role, shelf.cells.footprint(cell).device, shelf.keeping].append(number)
    for members in alike.values():
        for number in sorted(members, key=lambda n: (loss[n], n))[:FIRST_CELLS]:
            likely[number] = True
    return likely


def _stands(market: Market, shelf: Shelf, cell: int) -> bool:
    """Whether a replica that runs already could be in a cell."""
    held = {standing.setup.held for standing in market.standing}
    return any(shelf.cells.alive.rows[row].setup.held in held for row in shelf.cells.members[cell]) if held else False


def _keeping(cells: Cells, offered: Sequence[Column], market: Market, number: int) -> list[Column]:
    """Columns as priced for one way to keep idle KV: no more caches than it is for, and the tiers that are too slow."""
    way, legal = market.keepings[number], cells.alive
    found = [c for c in offered if not way.caches or c.high * c.candidate.setup.parallelism.dp <= way.caches]
    if not found:
        return []
    replicas = price(legal.llm, legal.fleet, legal.replicas.calibration, [c.candidate for c in found])
    slow: list[set[tuple[int, KVTierName]]] = [set() for _ in found]
    for position, kept in enumerate(way.kept):
        if not way.drop_s[position]:
            continue
        spared, _ = spared_s(replicas, kept)
        for place in market.places:
            loading = load_s(replicas, kept, place.rate_of(legal.fleet.device.name))
            for row in np.flatnonzero(loading >= spared):
                slow[row].add((position, place.name))
    return [replace(column, keeping=number, slow=frozenset(pairs)) for column, pairs in zip(found, slow, strict=True)]
