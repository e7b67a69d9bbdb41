"""The order in which people list vertices: ``host2`` before ``host10``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

_DIGITS = re.compile(r"([0-9]{1,15})")


@lru_cache(maxsize=2**18)  # more than 100,080 devices with their hosts, stores and switches have
def natural(name: str) -> tuple[tuple[str | int, ...], str]:
    """Sort key that compares runs of digits as numbers.

    >>> sorted(["host10", "host2", "host"], key=natural)
    ['host', 'host2', 'host10']
    """
    parts = _DIGITS.split(name)
    return tuple(int(part) if index % 2 else part for index, part in enumerate(parts)), name


def in_order(names: Iterable[str]) -> list[str]:
    """The names in natural order."""
    return sorted(names, key=natural)
