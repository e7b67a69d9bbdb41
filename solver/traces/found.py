"""What a request finds of earlier ones, and what becomes of what each leaves behind."""

from __future__ import annotations

import math
from array import array
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from solver.traces.record import Entry

#: One stay of KV in an unbounded cache, from a use to the next one or to the end of what is known.
STAY = np.dtype([("user", "u4"), ("idle_s", "f8"), ("tokens", "u4"), ("shared", "?"), ("reused", "?")])
_FIELDS = STAY.names or ()


class Found(NamedTuple):
    """What a request finds in an unbounded cache that holds all prompts before it.

    Attributes
    ----------
    session: the session it belongs to, from the trace or inferred; None where neither is possible.
    shared_tokens: of its prompt, in blocks that many sessions have used [tokens].
    private_tokens: of its prompt, in blocks of its own session or of few [tokens].
    idle_s: since the last use of the deepest private block it finds; NaN if it finds none [s].
    blocks, hit_blocks: blocks of its prompt, and those found.
    """

    session: int | str | None = None
    shared_tokens: int = 0
    private_tokens: int = 0
    idle_s: float = math.nan
    blocks: int = 0
    hit_blocks: int = 0


class Stays:
    """Stays that have ended, column by column, until someone takes them.

    A stay belongs to the request whose use began it (``user``, its ordinal). ``reused`` tells a stay that ended in a
    use from one cut off: by the end of the trace, by being forgotten, or by its session going on without it.
    """

    def __init__(self) -> None:
        self._cells = array("d")

    def __len__(self) -> int:
        return len(self._cells) // len(_FIELDS)

    def add(self, user: int, idle_s: float, tokens: int, shared: bool, reused: bool) -> None:
        """Note one stay."""
        self._cells.extend((user, idle_s, tokens, shared, reused))

    def take(self) -> NDArray[np.void]:
        """All stays noted since the last call (n,), of type ``STAY``."""
        cells = np.array(self._cells).reshape(-1, len(_FIELDS))
        self._cells = array("d")
        table = np.zeros(len(cells), STAY)
        for name, column in zip(_FIELDS, cells.T, strict=True):
            table[name] = column
        return table


class Tracker(Protocol):
    """Follows reuse through a trace; requests come in order of arrival.

    Attributes
    ----------
    stays: where ended stays are noted.
    horizon_s: reuse is seen in full up to this idle time [s]; None while nothing was forgotten.
    """

    stays: Stays
    horizon_s: float | None

    def use(self, ordinal: int, entry: Entry) -> Found:
        """What the request finds; afterwards the cache holds its prompt too."""
        ...

    def close(self, end_s: float) -> None:
        """Note all that is still held as cut off at the end of the trace."""
        ...
