"""Which replica counts of which cells are worth a price: those that a small linear program cannot rule out.

A cell at its most favourable rate bounds every band of it, so a program over cells that counts only devices and demand
bounds every layout. Bands of the likeliest cells are priced first and give a layout; of the others only bands whose use
does not by itself make every layout dearer than that one (reduced costs: exact, up to a margin).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from solver.cost.pool.retention import load_s, spared_s
from solver.optimize.arithmetic.run import Effort
from solver.optimize.layout.least import Limit, Servers, least
from solver.optimize.layout.program import Market
from solver.optimize.layout.search import incumbent
from solver.replica import Role
from solver.space.candidates import price
from solver.space.profiles import Cells, Column
from solver.workload.kv_tiers import KVTierName

#: Cells per promise, role, kind of device and way to keep KV whose bands are priced first.
FIRST_CELLS = 32
#: Bands that are priced without asking which are worth it, and so many that none is where the gap is met without.
FEW_BANDS, MANY_BANDS = 400, 1500
#: Plain cells per promise, role and kind of device whose bands are priced because they may be simpler, not cheaper.
PLAIN_CELLS = 24
#: Share of the optimum by which a band may worsen it and still be among the first to be priced.
FIRST_ROOM = 0.03


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

    def plain(self, cell: int) -> bool:
        """Whether the replicas of a cell are plain."""
        return self.cells.alive.rows[self.cells.members[cell][0]].plain

    def columns(self, market: Market, wanted: Sequence[Band]) -> list[Column]:
        """Some bands, as the program takes them."""
        found = self.cells.columns([(band.cell, band.low, band.high) for band in wanted])
        if self.pin is not None:
            replicas = market.pins[self.pin]
            found = [replace(c, pin=self.pin) for c in found if replicas is None or c.low <= replicas <= c.high]
        return found if self.keeping is None else _keeping(self.cells, found, market, self.keeping)


class Band(NamedTuple):
    """Numbers of replicas of a cell that are priced together; ``shelf`` is the place of its shelf in the list."""

    shelf: int
    cell: int
    low: int
    high: int


@dataclass(frozen=True)
class Worthwhile:
    """Columns that were worth a price.

    Attributes
    ----------
    beyond: what no layout beats that has a column which is not here; None where none of those is better.
    known: those of a layout that was found on the way.
    """

    columns: tuple[Column, ...]
    beyond: float | None = None
    known: tuple[Column, ...] = ()


def worthwhile(market: Market, shelves: Sequence[Shelf], effort: Effort) -> Worthwhile:
    """Columns among which a best layout is, and every layout with which the twin could beat one that is known; and the
    likeliest plain ones of layouts that may be simpler and cost little more.

    Where very many could, and the one that is known is already within the gap of what none beats, they are left out.
    """
    every = [
        Band(number, cell, low, high)
        for number, shelf in enumerate(shelves)
        for cell in range(len(shelf.cells))
        for low, high in shelf.cells.bands(cell)
    ]
    whole = [Band(number, cell, 1, most) for number, s in enumerate(shelves) for cell, most in enumerate(s.cells.most)]
    limit = least(market, _servers(shelves, whole)) if len(every) > FEW_BANDS else None
    if limit is None:
        return Worthwhile(tuple(_priced(market, shelves, every)))
    loss = {(band.shelf, band.cell): worse for band, worse in zip(whole, limit.loss, strict=True)}
    first = _first(market, shelves, every, limit)
    columns = _priced(market, shelves, first)
    known, others = incumbent(market, columns, effort), sorted(set(every) - set(first))
    if known is None:
        return Worthwhile((*columns, *_priced(market, shelves, others)))
    rest = [band for band in others if loss[band.shelf, band.cell] * band.low <= limit.room(known.value)]
    many = len(rest) > MANY_BANDS and limit.near(known.value, effort.gap)
    wanted = [] if many else rest
    wanted += _plain(market, shelves, sorted(set(others) - set(wanted)), loss, limit.room(market.allowed(known.value)))
    return Worthwhile((*columns, *_priced(market, shelves, wanted)), limit.value if many else None, known.columns)


def _plain(
    market: Market, shelves: Sequence[Shelf], some: Sequence[Band], loss: Mapping[tuple[int, int], float], room: float
) -> list[Band]:
    """Bands of the likeliest plain cells of every promise, role and device that worsen a layout by no more than a room."""
    if not market.simplicity:
        return []
    alike: dict[tuple[object, ...], dict[tuple[int, int], list[Band]]] = defaultdict(lambda: defaultdict(list))
    for band in some:
        shelf = shelves[band.shelf]
        if loss[band.shelf, band.cell] * band.low <= room and shelf.plain(band.cell):
            key = shelf.cells.group, shelf.role, shelf.cells.footprint(band.cell).device
            alike[key][band.shelf, band.cell].append(band)
    return [
        band
        for cells in alike.values()
        for cell in sorted(cells, key=lambda cell: (loss[cell], cell))[:PLAIN_CELLS]
        for band in cells[cell]
    ]


def _servers(shelves: Sequence[Shelf], some: Sequence[Band]) -> Servers:
    """Bands at the most that a replica of their cells could serve."""
    cells = [shelves[band.shelf].cells for band in some]
    prints = [each.footprint(band.cell) for each, band in zip(cells, some, strict=True)]
    return Servers(
        [each.group for each in cells],
        [shelves[band.shelf].role for band in some],
        [footprint.device for footprint in prints],
        [footprint.devices for footprint in prints],
        [band.low for band in some],
        [band.high for band in some],
        [each.reach[band.cell] for each, band in zip(cells, some, strict=True)],
    )


def _priced(market: Market, shelves: Sequence[Shelf], wanted: Sequence[Band]) -> list[Column]:
    """The columns of some bands."""
    by_shelf: dict[int, list[Band]] = defaultdict(list)
    for band in wanted:
        by_shelf[band.shelf].append(band)
    return [column for number, some in sorted(by_shelf.items()) for column in shelves[number].columns(market, some)]


def _first(market: Market, shelves: Sequence[Shelf], every: Sequence[Band], limit: Limit) -> list[Band]:
    """Bands that are priced first: settled ones, and those of the next best cells of every promise, role, device and way
    that are near the best for these cells, as far as devices and demand alone can tell."""
    settled, alike = set(), defaultdict(list)
    cells = [(number, cell) for number, shelf in enumerate(shelves) for cell in range(len(shelf.cells))]
    for place, (number, cell) in enumerate(cells):
        shelf = shelves[number]
        if shelf.pin is not None or _stands(market, shelf, cell):
            settled.add((number, cell))
        key = shelf.cells.group, shelf.role, shelf.cells.footprint(cell).device, shelf.keeping
        alike[key].append((limit.loss[place], number, cell))
    near = {(number, cell) for members in alike.values() for _, number, cell in sorted(members)[:FIRST_CELLS]}
    hopeful = [band for band in every if (band.shelf, band.cell) in near | settled]
    among = least(market, _servers(shelves, hopeful))
    if among is None or market.failures:  # what failures take is on top of the demand
        return hopeful
    return [
        band
        for band, loss in zip(hopeful, among.loss, strict=True)
        if loss <= FIRST_ROOM * among.value or (band.shelf, band.cell) in settled
    ]


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
