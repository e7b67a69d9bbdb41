"""Errors that a user can act on.

::

    RackplanError                 every error this project raises on purpose
    └── BadInput                  what was given cannot be used (exit status 2)
        ├── UnknownName           a name that no catalog holds; carries the nearest ones
        └── BadCluster            a cluster graph that breaks the schema

Each message names the subject, the quantity with its unit, the limit and the nearest thing that works.
The solver adds its own branches in :mod:`solver.errors`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MOST_LETTERS = 1000
"""Longest message that quotes what was given."""


class RackplanError(Exception):
    """Root of every error raised on purpose; its text is one line meant for a person."""


class BadInput(RackplanError):
    """What was given cannot be used as it stands; what its message quotes is shown by :func:`one_line`."""

    def __str__(self) -> str:
        return one_line(super().__str__())


class UnknownName(BadInput):
    """A name that no catalog holds.

    >>> str(UnknownName("device", "h300", ["h100", "h200", "b200"]))
    "unknown device 'h300'; nearest: h100, h200, b200"
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        self.kind, self.name = kind, name
        self.nearest = nearest(name, known)
        tail = f"; nearest: {', '.join(self.nearest)}" if self.nearest else ""
        super().__init__(f"unknown {kind} {name!r}{tail}{hint}")


class BadCluster(BadInput):
    """A cluster graph that breaks the schema of :mod:`topologies.cluster`."""


def one_line(text: str) -> str:
    r"""Text that may quote a hostile file, as a terminal can show it: one line, no control codes, not too long.

    >>> one_line("vertex 'a\x1b]0;b\n'")
    "vertex 'a?]0;b '"
    """
    line = "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))
    return line if len(line) <= MOST_LETTERS else f"{line[: MOST_LETTERS // 2]} ... {line[-MOST_LETTERS // 2 :]}"


def nearest(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Return the ``count`` known names most like ``name``, best first."""
    wanted = name[:100].lower()

    def unlikeness(other: str) -> tuple[float, str]:
        return -difflib.SequenceMatcher(None, wanted, other.lower()).ratio(), other

    return sorted(set(known), key=unlikeness)[:count]
