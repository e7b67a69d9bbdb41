"""Two passes over a trace: parse and follow reuse, then gather the statistics of every class."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np

from solver.errors import BadFile, BadInput
from solver.traces.burstiness import Clock
from solver.traces.clustering import ClassTree, cluster, points, tree_of
from solver.traces.found import STAY
from solver.traces.measure import Measured, no_collector
from solver.traces.reading import Reading, Trace
from solver.traces.replay import replay
from solver.traces.sampling import Sample
from solver.traces.sketches import Floats
from solver.traces.spool import REQUEST, ROWS, Spool
from solver.traces.summary import TraceSummary
from solver.traces.timing import ArrivalTiming

#: Requests on which the classes are found.
SAMPLE = 20_000
#: Different labels a trace may have before they are no classes.
MOST_LABELS = 64
_UNNAMED = "unnamed"


def summarise(
    path: str | Path, reading: Reading | None = None, *, most_classes: int = 12, seed: int = 0
) -> TraceSummary:
    """Read a trace once and gather its statistics, in memory that does not grow with it.

    Parameters
    ----------
    path: the trace.
    reading: how to read it.
    most_classes: the largest number of classes that can be asked of the summary later.
    seed: of the sample, the clustering and the spreading of ties; the same seed gives the same summary.

    Raises
    ------
    BadInput: unreadable, empty, of no known format, or too many broken lines; one line naming the file and the line.
    """
    if not 1 <= most_classes <= MOST_LABELS:
        raise BadInput(f"most_classes of {most_classes} is not between 1 and {MOST_LABELS}")
    how = reading or Reading()
    with ExitStack() as stack:
        requests, stays = stack.enter_context(Spool(REQUEST)), stack.enter_context(Spool(STAY))
        first = _FirstPass(Measured(Trace(path, how), how), requests, stays, how, seed)
        with no_collector():
            first.run()
        tree = first.tree(most_classes, seed)
        groups = replay(requests, stays, tree, bool(first.labels), first.timing, seed)
    trace = first.measured.trace
    return TraceSummary(
        source=trace.name,
        format=trace.name_of_format,
        clock=trace.clock,
        notes=tuple(trace.notes),
        lines=trace.tally.lines,
        broken=trace.tally.broken,
        unanswered=trace.tally.unanswered,
        faults=tuple(trace.tally.faults),
        timing=first.timing,
        block_tokens=trace.layout.block_tokens if first.blocks else None,
        blocks=first.blocks,
        hit_blocks=first.hit_blocks,
        horizon_s=first.measured.tracker.horizon_s,
        tree=tree,
        groups=groups,
        labels=tuple(first.labels),
    )


class _FirstPass:
    """Sets the columns aside and keeps what the classes need: a sample, the clock, the labels' sums."""

    def __init__(self, measured: Measured, requests: Spool, stays: Spool, reading: Reading, seed: int) -> None:
        self.measured = measured
        self._requests, self._stays = requests, stays
        self._sample, self._clock = Sample(SAMPLE, seed, REQUEST), Clock()
        self._start_s = self._end_s = 0.0
        by = reading.classes_by
        self._labelled = by == "labels" or (by == "auto" and measured.trace.by_label)
        self.labels: dict[str, int] = {}
        self._label_sums: Floats = np.zeros((MOST_LABELS, 3))
        self._label_counts: Floats = np.zeros(MOST_LABELS)
        self.blocks = self.hit_blocks = 0

    def run(self) -> None:
        """Read the trace to its end."""
        rows: list[tuple[float, int, int, int, int, float, int]] = []
        for entry, found in self.measured:
            label = self._label(entry.label) if self._labelled else 0
            rows.append(
                (
                    entry.arrival_s,
                    entry.prompt_tokens,
                    entry.output_tokens,
                    found.shared_tokens,
                    found.private_tokens,
                    found.idle_s,
                    label,
                )
            )
            self.blocks += found.blocks
            self.hit_blocks += found.hit_blocks
            if len(rows) == ROWS:
                self._flush(rows)
                rows = []
        self._flush(rows)
        if self._labelled and set(self.labels) == {_UNNAMED} and not self.measured.trace.by_label:
            raise BadInput(f"{self.measured.trace.name}: names no classes; find them from the lengths (classes_by)")

    def _flush(self, rows: list[tuple[float, int, int, int, int, float, int]]) -> None:
        if stays := self.measured.tracker.stays:
            self._stays.append(stays.take())
        if not rows:
            return
        table = np.array(rows, REQUEST)
        if not self._requests.rows:
            self._start_s = float(table["arrival_s"][0])
        self._end_s = float(table["arrival_s"][-1])
        self._requests.append(table)
        self._sample.add(table)
        self._clock.add(table["arrival_s"])
        if self._labelled:
            places = points(table["prompt"], table["output"], table["shared"] + table["private"])
            np.add.at(self._label_sums, table["label"], places)
            np.add.at(self._label_counts, table["label"], 1)

    def _label(self, label: str | None) -> int:
        name = label or _UNNAMED
        index = self.labels.setdefault(name, len(self.labels))
        if index >= MOST_LABELS:
            raise BadFile(
                f"{self.measured.trace.name}: more than {MOST_LABELS} different classes (the last is {name[:40]!r}); "
                "leave the class column out and classes are found from the lengths"
            )
        return index

    @property
    def timing(self) -> ArrivalTiming:
        return ArrivalTiming(self._start_s, self._end_s - self._start_s, self._clock.tick_s)

    def tree(self, most: int, seed: int) -> ClassTree:
        """Leaves and merges: from the labels, or by clustering the sample."""
        sample = self._sample.rows
        places = points(sample["prompt"], sample["output"], sample["shared"] + sample["private"])
        if not self.labels:
            return cluster(places, most, seed)
        variance = float(((places - places.mean(axis=0)) ** 2).sum() / len(places))
        count = len(self.labels)
        return tree_of(self._label_sums[:count], self._label_counts[:count], variance)
