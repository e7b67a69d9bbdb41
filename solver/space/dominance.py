"""Columns that another column can replace in any plan: no worse in every row of the program."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from solver.space.profiles import Column

Floats = NDArray[np.float64]


def undominated(columns: Sequence[Column]) -> list[Column]:
    """Drop every column that another of its promise, role and device can replace wherever it stands.

    A replaces B if it serves at least as much, safely and at best, and fits into the space that B takes:

    * a replica in one domain may lie anywhere, so its hosts dividing those of B's fragments, its devices on each those of
      B's, and no more devices in all suffice;
    * with fragments of one kind, A spreads over no more fragments in all and has no fewer replicas than B, so that no
      domain that B fills holds more of A than A has replicas (Gale and Ryser).

    * it has the same partners at the hand-over;
    * where idle KV is kept, a device's memory counts too, so A has as many devices and the same way to keep.

    Only for programs in which a column's part is its space, its rate and its promise: not where failures must be
    survived. Pinned columns stay.
    """
    alike: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for number, column in enumerate(columns):
        place = column.group, column.role, column.split, column.footprint.device, column.candidate.handover
        key = (*place, column.keeping, column.slow)
        alike[key].append(number)
    kept: set[int] = {number for number, column in enumerate(columns) if column.pin is not None}
    for members in alike.values():
        kept.update(_survivors(columns, [n for n in members if columns[n].pin is None]))
    return [columns[number] for number in sorted(kept)]


def _survivors(columns: Sequence[Column], members: Sequence[int]) -> Iterable[int]:
    if not members:
        return []
    size, domains = _table(columns, members, "size"), _table(columns, members, "domains")
    hosts, part = _table(columns, members, "hosts"), _table(columns, members, "per_host")
    low = np.array([columns[n].low for n in members], float)
    high = np.array([columns[n].high for n in members], float)
    single = low == high
    safe = np.array([columns[n].rate for n in members]) * low
    bold = np.array([columns[n].best_rate for n in members]) * high
    parts = domains * low
    space = size * parts
    order = np.arange(len(members))
    keeping = columns[members[0]].keeping is not None
    survivors = []
    for b in order:
        serves = (safe >= safe[b]) & (bold >= bold[b]) & single & bool(single[b])
        inside = (domains == 1) & (hosts[b] % hosts == 0) & (part[b] % part == 0) & (space <= space[b])
        inside |= (hosts == hosts[b]) & (part == part[b]) & (parts <= parts[b]) & (low >= low[b])
        inside &= (space == space[b]) | (not keeping)
        better = serves & inside & (order != b)
        equal = better & (safe == safe[b]) & (bold == bold[b]) & (space == space[b])
        if not (better & (~equal | (order < b))).any():
            survivors.append(members[int(b)])
    return survivors


def _table(columns: Sequence[Column], members: Sequence[int], name: str) -> Floats:
    return np.array([getattr(columns[n].footprint, name) for n in members], float)
