"""A trace as a stream of arrivals, for a simulator to replay."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from solver.traces.clustering import points
from solver.traces.found import Found
from solver.traces.measure import Measured
from solver.traces.reading import Reading, Trace
from solver.traces.record import Entry
from solver.traces.summary import TraceSummary


@dataclass(frozen=True, slots=True)
class Request:
    """One arrival.

    Attributes
    ----------
    arrival_s: since the first request of the trace [s].
    prompt_tokens, output_tokens: lengths.
    class_name: its class in the summary that was given, else the trace's own label, else None.
    session: named by the trace or inferred from blocks; None where neither is possible.
    shared_tokens, private_tokens: of the prompt, found in a cache without bounds.
    blocks: hashes of the prompt's blocks, each standing for all before it; empty where not recorded.
    """

    arrival_s: float
    prompt_tokens: int
    output_tokens: int
    class_name: str | None
    session: int | str | None
    shared_tokens: int
    private_tokens: int
    blocks: tuple[int, ...]


def arrivals(
    path: str | Path,
    reading: Reading | None = None,
    *,
    summary: TraceSummary | None = None,
    count: int | str = "auto",
) -> Iterator[Request]:
    """The requests of a trace in order of arrival, read as they are asked for.

    Parameters
    ----------
    summary, count: give each request the name of its class among ``count`` classes of a summary of this trace.

    Raises
    ------
    BadInput: while iterating, as :func:`solver.traces.summarise`; on the first request, if the count cannot be had.
    """
    how = reading or Reading()
    names = _names(summary, count) if summary else {}
    start_s: float | None = None
    for entry, found in Measured(Trace(path, how), how):
        start_s = entry.arrival_s if start_s is None else start_s
        name = _class_of(summary, names, entry, found) if summary else entry.label
        yield Request(
            entry.arrival_s - start_s,
            entry.prompt_tokens,
            entry.output_tokens,
            name,
            found.session,
            found.shared_tokens,
            found.private_tokens,
            tuple(entry.blocks or ()),
        )


def _names(summary: TraceSummary, count: int | str) -> dict[int, str]:
    """Class names by leaf."""
    return {leaf: one.name for one in summary.classes(count) for leaf in summary.tree.members(one.node)}


def _class_of(summary: TraceSummary, names: dict[int, str], entry: Entry, found: Found) -> str | None:
    if summary.labels:
        label = entry.label or "unnamed"
        return names[summary.labels.index(label)] if label in summary.labels else label
    reused = found.shared_tokens + found.private_tokens
    place = points(np.array([entry.prompt_tokens]), np.array([entry.output_tokens]), np.array([reused]))
    return names.get(int(summary.tree.leaf_of(place)[0]))
