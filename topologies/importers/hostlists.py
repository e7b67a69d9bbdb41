"""Hostlists: ``node[01-18,20],login1`` as the names that it stands for.

ClusterShell expands them; what is handed to it is checked first, so that no short text stands for endless names and
nothing but names and ranges (no groups, no set operators) is looked at.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from topologies.importers.source import Source

MAX_HOSTS = 100_000
_RANGES = r"\[\d{1,9}(?:-\d{1,9})?(?:,\d{1,9}(?:-\d{1,9})?)*\]"
_PART = re.compile(rf"[\w.:-]*(?:{_RANGES}[\w.:-]*){{0,8}}", re.ASCII)
_GROUP = re.compile(r"\[([^\]]*)\]")
_COMMA = re.compile(r",(?![^\[]*\])")


def expand(source: Source, line: int | None, text: str) -> list[str]:
    """The names of a hostlist, sorted as ClusterShell sorts them.

    >>> expand(Source("t.conf", ""), 1, "n[9-11],m1")
    ['m1', 'n9', 'n10', 'n11']

    Raises
    ------
    BadInput: not a hostlist, or more than 100,000 names.
    """
    from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet, NodeSetException  # type: ignore[import-untyped]

    parts = [part.strip() for part in _COMMA.split(text) if part.strip()]
    count = sum(_size(source, line, part) for part in parts)
    if not parts or count > MAX_HOSTS:
        raise source.error(line, f"hostlist {text[:60]!r} names {count:,} hosts; 1 to {MAX_HOSTS:,} is expected")
    try:
        return [str(name) for name in NodeSet(",".join(parts), resolver=RESOLVER_NOGROUP)]
    except NodeSetException as error:
        raise source.error(line, f"hostlist {text[:60]!r}: {str(error)[:100]}") from error


def expand_all(source: Source, line: int | None, parts: Iterable[str]) -> list[str]:
    """The names of several hostlists, in their order, each once."""
    found: dict[str, None] = {}
    for part in parts:
        found |= dict.fromkeys(expand(source, line, part))
        if len(found) > MAX_HOSTS:
            raise source.error(line, f"more than {MAX_HOSTS:,} hosts in one list")
    return list(found)


def _size(source: Source, line: int | None, part: str) -> int:
    """How many names one part stands for."""
    if len(part) > 100_000 or not _PART.fullmatch(part):
        raise source.error(line, f"{part[:60]!r} is not a hostlist such as node[01-18,20]")
    return math.prod(sum(_span(piece) for piece in group.split(",")) for group in _GROUP.findall(part))


def _span(piece: str) -> int:
    low, _, high = piece.partition("-")
    return max(1, int(high) - int(low) + 1) if high else 1
