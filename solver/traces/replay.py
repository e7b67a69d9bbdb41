"""The second pass: statistics of every possible class, from the columns the first pass set aside."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from solver.traces.burstiness import Gaps, spread
from solver.traces.clustering import ClassTree, points
from solver.traces.groups import Content, Group
from solver.traces.sketches import Counts
from solver.traces.spool import ROWS, Spool
from solver.traces.timing import ArrivalTiming

#: Bins of the timeline.
TIMELINE_BINS = 240


def replay(
    requests: Spool, stays: Spool, tree: ClassTree, by_label: bool, timing: ArrivalTiming, seed: int
) -> tuple[Group, ...]:
    """Statistics of each node of the class tree, leaves first; the last is the whole trace."""
    leaf = np.zeros(requests.rows, np.uint8)
    contents = [Content() for _ in range(tree.leaves)]
    gaps = [Gaps(timing.start_s, timing.span_s) for _ in range(tree.nodes)]
    timelines = np.zeros((tree.leaves, TIMELINE_BINS), np.int64)
    under = _membership(tree)
    done = 0
    for table, next_s in whole_ticks(requests):
        here = _leaves(table, tree, by_label)
        leaf[done : done + len(table)] = here
        times = spread(table["arrival_s"], next_s, timing.tick_s, done, seed)
        done += len(table)
        for index, content in enumerate(contents):
            content.add(table[here == index])
        for node, stream in enumerate(gaps):
            stream.add(times[under[node][here]])
        timelines += _timeline(here, times, timing, tree.leaves)
    for table in stays.chunks():
        here = leaf[table["user"]]
        for index, content in enumerate(contents):
            content.add_stays(table[here == index])
    return _groups(tree, contents, gaps, timelines, timing)


def whole_ticks(requests: Spool, rows: int = ROWS) -> Iterator[tuple[NDArray[np.void], float]]:
    """Chunks of requests cut between two times, and the first time after each; infinite after the last.

    Requests of one time are held together, so that spreading them does not depend on the cut, unless they alone fill
    several chunks.
    """
    held: list[NDArray[np.void]] = []
    for chunk in requests.chunks(rows):
        table = np.concatenate([*held, chunk])
        last_s = float(table["arrival_s"][-1])
        cut = int(np.searchsorted(table["arrival_s"], last_s))
        if not cut and len(table) > 4 * rows:
            cut = len(table)
        if cut:
            yield table[:cut], last_s
        held = [table[cut:]]
    if held and len(held[0]):
        yield held[0], math.inf


def _leaves(table: NDArray[np.void], tree: ClassTree, by_label: bool) -> NDArray[np.int64]:
    if by_label:
        return table["label"].astype(np.int64)
    return tree.leaf_of(points(table["prompt"], table["output"], table["shared"].astype(np.int64) + table["private"]))


def _membership(tree: ClassTree) -> NDArray[np.bool_]:
    """Which leaves lie under which node (nodes, leaves)."""
    under = np.zeros((tree.nodes, tree.leaves), bool)
    for node in range(tree.nodes):
        under[node, tree.members(node)] = True
    return under


def _timeline(leaf: NDArray[np.int64], times: NDArray[np.float64], timing: ArrivalTiming, leaves: int) -> Counts:
    """Arrivals by leaf and bin (leaves, bins)."""
    place = (times - timing.start_s) / (timing.span_s or 1.0) * TIMELINE_BINS
    bins = np.clip(place.astype(np.int64), 0, TIMELINE_BINS - 1)
    found = np.bincount(leaf * TIMELINE_BINS + bins, minlength=leaves * TIMELINE_BINS)
    return found.reshape(leaves, TIMELINE_BINS).astype(np.int64)


def _groups(
    tree: ClassTree, contents: list[Content], gaps: list[Gaps], timelines: Counts, timing: ArrivalTiming
) -> tuple[Group, ...]:
    nodes, lines = list(contents), list(timelines)
    for left, right in tree.merges:
        nodes.append(nodes[left] + nodes[right])
        lines.append(lines[left] + lines[right])
    total = nodes[-1].prompt.moments.count
    return tuple(
        Group(content, timing.rate(total, content.prompt.moments.count), stream.result, line)
        for content, stream, line in zip(nodes, gaps, lines, strict=True)
    )
