"""Contiguous runs of layers for pipeline stages, so that the heaviest stage is as light as can be."""

from __future__ import annotations

from collections.abc import Sequence


def balanced(weights: Sequence[float], parts: int, first: float = 0.0, last: float = 0.0) -> list[tuple[int, int]]:
    """Cut a sequence into contiguous runs whose heaviest has the least weight (exact dynamic program).

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
    """Weight of the heaviest run in the best cut: best[i] over the first i layers, one run at a time."""
    count = len(prefix) - 1
    best = [first + weight for weight in prefix]
    best[0] = float("inf")
    for part in range(2, parts + 1):
        extra = last if part == parts else 0.0
        following = [float("inf")] * (count + 1)
        for end in range(part, count + 1):
            following[end] = min(max(best[cut], prefix[end] - prefix[cut] + extra) for cut in range(part - 1, end))
        best = following
    return best[count] + (last if parts == 1 else 0.0)


def _cut(prefix: list[float], parts: int, first: float, last: float, heaviest: float) -> list[tuple[int, int]]:
    """Fill runs from the front as long as the limit allows and enough layers remain for the rest."""
    count, start, runs = len(prefix) - 1, 0, []
    for part in range(1, parts + 1):
        if part == parts:
            runs.append((start, count - 1))
            break
        end, extra = start + 1, first if part == 1 else 0.0
        room = count - (parts - part)
        while end < room and extra + prefix[end + 1] - prefix[start] <= heaviest:
            end += 1
        runs.append((start, end - 1))
        start = end
    return runs
