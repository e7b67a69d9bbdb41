"""A fingerprint of an irregular wiring that does not depend on names."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

ROUNDS = 12


def fingerprint(near: Mapping[str, Mapping[str, float]], seeds: Mapping[str, str]) -> str:
    """Colour refinement: equal for isomorphic wirings, and different for most that are not.

    Parameters
    ----------
    near: neighbours of each vertex and the bandwidth of the link [bytes/s].
    seeds: what is known of each vertex beforehand.

    >>> line, turned = {"a": {"b": 1.0}, "b": {"a": 1.0}}, {"y": {"x": 1.0}, "x": {"y": 1.0}}
    >>> fingerprint(line, dict.fromkeys(line, "")) == fingerprint(turned, dict.fromkeys(turned, ""))
    True
    """
    colour = dict(seeds)
    for _ in range(min(ROUNDS, len(near))):
        colour = {
            vertex: _digest([colour[vertex], *sorted(f"{rate:.9g} {colour[other]}" for other, rate in links.items())])
            for vertex, links in near.items()
        }
    return _digest(sorted(colour.values()))


def _digest(parts: list[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
