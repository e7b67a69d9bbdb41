"""Which prefill pools may feed which decode pools: connectors as sets of replicas that all connect with each other.

Every prefill replica may meet every decode replica behind one router, so the pools of a promise are all on one maximal
set of compatible replicas (a biclique) of one connector. Replicas that connect alike are one class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from solver.engines import EngineRules
from solver.llm import LLM
from solver.replica import Role, Setup
from solver.space.legality import Inquiry, connects
from topologies import Device

Mask = NDArray[np.bool_]
#: What connectors look at in a replica.
Signature = tuple[int, int, int, bool]


def signature(setup: Setup) -> Signature:
    """What connectors look at in a replica: tp, pp, cp, and whether it speculates."""
    degrees = setup.parallelism
    return degrees.tp, degrees.pp, degrees.cp, setup.draft_tokens > 0


@dataclass(frozen=True)
class Connection:
    """Classes of prefill and of decode replicas that all connect over one connector, as many as can."""

    connector: str
    prefill: frozenset[int]
    decode: frozenset[int]

    def classes(self, role: Role) -> frozenset[int]:
        """Classes of one role that are on it."""
        return self.prefill if role == "prefill" else self.decode


@dataclass(frozen=True)
class Handover:
    """Classes of replicas that connect alike, and the connections among them.

    Attributes
    ----------
    prefill, decode: class of every signature.
    connections: of the connectors in their order; none that another of an earlier connector contains.
    """

    prefill: dict[Signature, int] = field(default_factory=dict)
    decode: dict[Signature, int] = field(default_factory=dict)
    connections: tuple[Connection, ...] = ()

    def class_of(self, setup: Setup) -> int:
        """Class of a replica; 0 for unified ones, which hand nothing over."""
        table = {"prefill": self.prefill, "decode": self.decode, "unified": {}}[setup.role]
        return table.get(signature(setup), 0)

    @property
    def free(self) -> bool:
        """Whether everything connects over the first connector, so that nothing needs to be demanded."""
        first = self.connections[0] if self.connections else None
        return first is not None and first.prefill == set(self.prefill.values()) and first.decode == set(
            self.decode.values()
        )


def handover(llm: LLM, engine: EngineRules, device: Device, setups: Sequence[Setup]) -> Handover:
    """The classes and connections of some replicas of one engine.

    Parameters
    ----------
    device: any kind: no rule between pools looks at it.
    """
    sides: dict[str, dict[Signature, Setup]] = {"prefill": {}, "decode": {}}
    for setup in setups:
        if setup.role in sides:
            sides[setup.role].setdefault(signature(setup), setup)
    prefill, decode = (sorted(sides[role].items()) for role in ("prefill", "decode"))
    if not prefill or not decode:
        return Handover()
    asked = [Inquiry(llm, engine, device, [setup for _, setup in side]) for side in (prefill, decode)]
    tables = [connects(connector, *asked) for connector in engine.connectors]
    rows = _classes(np.concatenate(tables, axis=1))
    columns = _classes(np.concatenate(tables, axis=0).T)
    found: list[Connection] = []
    for connector, table in zip(engine.connectors, tables, strict=True):
        for ours, theirs in _bicliques(_merged(table, rows, columns)):
            one = Connection(connector.name, ours, theirs)
            if not any(one.prefill <= other.prefill and one.decode <= other.decode for other in found):
                found.append(one)
    return Handover(
        {key: number for (key, _), number in zip(prefill, rows, strict=True)},
        {key: number for (key, _), number in zip(decode, columns, strict=True)},
        tuple(found),
    )


def _classes(table: Mask) -> list[int]:
    """Number of the class of each row: rows that are alike share one."""
    numbers: dict[bytes, int] = {}
    return [numbers.setdefault(row.tobytes(), len(numbers)) for row in np.ascontiguousarray(table)]


def _merged(table: Mask, rows: Sequence[int], columns: Sequence[int]) -> Mask:
    """The table of classes: one row and one column for each."""
    first_row = [rows.index(number) for number in range(max(rows) + 1)]
    first_column = [columns.index(number) for number in range(max(columns) + 1)]
    return np.asarray(table[np.ix_(first_row, first_column)])


def _bicliques(table: Mask) -> list[tuple[frozenset[int], frozenset[int]]]:
    """All maximal sets of rows and columns that are full of ones, the largest first.

    Their sets of columns are the intersections of the rows' sets: those are closed under intersection step by step.

    >>> [(sorted(a), sorted(b)) for a, b in _bicliques(np.array([[1, 1, 0], [0, 1, 1]], bool))]
    [([0], [0, 1]), ([0, 1], [1]), ([1], [1, 2])]
    """
    sets = [frozenset(np.flatnonzero(row).tolist()) for row in table]
    closed: set[frozenset[int]] = set()
    for own in sets:
        closed |= {own} | {own & other for other in closed}
    full = [(frozenset(r for r, own in enumerate(sets) if columns <= own), columns) for columns in closed if columns]
    return sorted(full, key=lambda pair: (-len(pair[0]) * len(pair[1]), sorted(pair[0]), sorted(pair[1])))
