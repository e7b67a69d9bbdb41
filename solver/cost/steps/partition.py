"""Contiguous runs of layers for pipeline stages, so that the heaviest stage is as light as can be."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise


def balanced(weights: Sequence[float], parts: int, first: float = 0.0, last: float = 0.0) -> list[tuple[int, int]]:
    """Cut a sequence into contiguous runs whose heaviest has the least weight.

    Parameters
    ----------
    weights: weight of each layer, in order.
    parts: number of runs; each gets at least one layer.
    first, last: what the first stage carries besides its layers (embedding) and the last one (output head).

    Returns
    -------
    First and last layer of each run, both included. Of equally good cuts the one whose earlier runs are longer.

    >>> balanced([1, 1, 1, 1, 1], 2, last=1.0)
    [(0, 2), (3, 4)]
    """
    if not 1 <= parts <= len(weights):
        raise ValueError(f"{len(weights)} layers cannot make {parts} stages")
    prefix = [0.0]
    for weight in weights:
        prefix.append(prefix[-1] + weight)
    heaviest = _least_heaviest(prefix, parts, first, last)
    return _cut(prefix, parts, first, last, heaviest * (1 + 1e-12))


def _least_heaviest(prefix: list[float], parts: int, first: float, last: float) -> float:
    """Weight of the heaviest run in the best cut: bisection on the limit, then the exact weight that attains it."""
    # Runs that are filled up to the mean and one layer more take everything.
    whole = prefix[-1] + first + last
    layer = max(after - before for before, after in pairwise(prefix)) + first + last
    low, high = max(prefix[-1] / parts, 0.0), min(whole, whole / parts + layer)
    finest = high * 1e-12 if any(weight % 1 for weight in (*prefix, first, last)) else 0.5
    while high - low > finest:
        middle = (low + high) / 2
        if _fits(prefix, parts, first, last, middle):
            high = middle
        else:
            low = middle
    runs = _cut(prefix, parts, first, last, high)
    return max(_weights(prefix, runs, first, last))


def _weights(prefix: list[float], runs: Sequence[tuple[int, int]], first: float, last: float) -> list[float]:
    """What each run weighs, with what the ends carry besides."""
    weights = [prefix[end + 1] - prefix[start] for start, end in runs]
    weights[0] += first
    weights[-1] += last
    return weights


def _fits(prefix: list[float], parts: int, first: float, last: float, limit: float) -> bool:
    """Whether runs filled greedily from the front stay within the limit."""
    return max(_weights(prefix, _cut(prefix, parts, first, last, limit), first, last)) <= limit


def _cut(prefix: list[float], parts: int, first: float, last: float, heaviest: float) -> list[tuple[int, int]]:
    """Fill runs from the front as long as the limit allows and enough layers remain for the rest."""
    count, start, runs = len(prefix) - 1, 0, []
    for part in range(1, parts + 1):
        if part == parts:
            runs.append((start, count - 1))
            break
        end, extra = start + 1, first if part == 1 else 0.0
        room = count - (parts - part)
        end = min(room, max(end, bisect_right(prefix, heaviest - extra + prefix[start], start + 1) - 1))
        runs.append((start, end - 1))
        start = end
    return runs
