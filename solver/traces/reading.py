"""How a trace is read, and the requests of one file in order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Literal

from solver.errors import BadFile, BadInput
from solver.traces.clocks import unit_named
from solver.traces.documents import MOST_BYTES, expand, is_document
from solver.traces.fields import Keyed, columns_of
from solver.traces.formats import DOCUMENTS, SEARCHED_LINES, LineLayout, named, recognise
from solver.traces.jsonl import Mooncake
from solver.traces.lines import Progress, numbered, whole_text
from solver.traces.order import in_order
from solver.traces.record import Broken, Entry
from solver.traces.tally import Tally

#: Lines, and letters of them, by which the unit of times is told.
TIMED_LINES, TIMED_LETTERS = 500, 8 * 1024**2


@dataclass(frozen=True)
class Reading:
    """How a trace is read.

    Attributes
    ----------
    format: a name of :data:`solver.traces.formats.FORMATS`, or ``auto``: told from the first lines.
    block_tokens: tokens of one hashed block where they are not the format's own (512 and 16).
    broken_share: largest share of broken lines tolerated; a single one always is.
    sort_window: requests held back to put times in order; what is further out of order is a broken line.
    table_bytes: memory for what was last used when. Beyond it the least recently used is forgotten: reuse stays exact
        up to the idle time that the summary then states.
    shared_from: a block is shared, no longer private, once so many sessions have used it.
    classes_by: ``labels`` takes the trace's own classes, ``lengths`` clusters; ``auto`` means labels for a plain CSV
        with a ``class`` column.
    columns: ``prompt=NAME,output=NAME,arrival=NAME`` and, if wanted, ``session`` and ``class``, for what no format names.
    time_unit: of times that are numbers: ``s``, ``ms``, ``us``, ``ns``, or ``auto``: as the format defines it, unless the
        rate that follows cannot be.
    progress: called with bytes read and bytes in all, about once a MiB.
    """

    format: str = "auto"
    block_tokens: int | None = None
    broken_share: float = 0.01
    sort_window: int = 1_000
    table_bytes: int = 128 * 1024**2
    shared_from: int = 4
    classes_by: Literal["auto", "lengths", "labels"] = "auto"
    progress: Progress | None = None
    columns: str | None = None
    time_unit: str = "auto"

    def __post_init__(self) -> None:
        if self.format != "auto":
            named(self.format)
        if self.columns is not None:
            columns_of(self.columns)
        unit_named(self.time_unit)
        limits = {
            "block_tokens": (1, 1_000_000),
            "broken_share": (0, 1),
            "sort_window": (0, 10_000_000),
            "table_bytes": (1024**2, 2**50),
            "shared_from": (2, 1_000),
        }
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int | float) and low <= value <= high):
                raise BadInput(f"{name} of {value!r} is not between {low:,} and {high:,}")
        if self.classes_by not in ("auto", "lengths", "labels"):
            raise BadInput(f"classes_by {self.classes_by!r}: write auto, lengths or labels")


class Trace:
    """One file: iterate once over its requests in order of arrival, then ask the tally.

    Attributes
    ----------
    name: the file's name, as errors and summaries give it.
    tally: lines and broken lines so far.
    format, layout: known as soon as the trace is opened.

    Raises
    ------
    BadFile: unreadable, empty, not a trace, or too many broken lines (the last when the iteration ends).
    """

    def __init__(self, path: str | Path, reading: Reading) -> None:
        source = Path(path)
        self.name = source.name or str(path)
        self.tally = Tally(str(path)[:200], reading.broken_share)
        self.kind = ""
        self._window = reading.sort_window
        self.notes: dict[str, None] = {}
        lines: Iterator[tuple[int, str]] = numbered(source, self.tally, reading.progress)
        first = list(_leading(lines))
        if not first:
            self.tally.settle()
        wanted = reading.format
        if first and is_document(first[0][1]) and source.is_file():
            lines, wanted = self._document(source, wanted)
            first = list(_leading(lines))
        columns = None if reading.columns is None else columns_of(reading.columns)
        self.format, index = recognise(first[:SEARCHED_LINES], wanted, self.tally.name, columns)
        self.layout: LineLayout = self.format.open(first[index][1], reading.block_tokens or 0)
        self._lines = chain(first, lines)
        self._header = first[index][0] if self.format.headed else 0
        if isinstance(self.layout, Mooncake | Keyed):
            rows = [line for number, line in first if number > self._header]
            self.layout.tell_unit(rows, reading.time_unit, self.tally.name)
        elif reading.time_unit != "auto":
            raise BadInput(f"--time-unit {reading.time_unit}: a {self.format.name} trace defines its times")

    def _document(self, source: Path, wanted: str) -> tuple[Iterator[tuple[int, str]], str]:
        """The rows of a JSON document as numbered lines, and the format of them."""
        found = expand(whole_text(source, MOST_BYTES, self.tally.name), self.tally.name)
        if not found.rows:
            raise BadFile(f"{self.tally.name}: the document holds no request with its lengths")
        self.notes |= found.notes
        self.kind = found.format
        rows = ((number, json.dumps(row)) for number, row in enumerate(found.rows, 1))
        return rows, DOCUMENTS.get(found.format, wanted) if wanted == "auto" else wanted

    @property
    def name_of_format(self) -> str:
        """What the file is, as a summary tells it."""
        return self.kind or self.format.name

    @property
    def clock(self) -> str:
        """How times are counted, in words; empty where the format leaves no choice."""
        layout = self.layout
        if isinstance(layout, Keyed) and layout.dated:
            return "dates"
        delays = isinstance(layout, Keyed) and layout.uses_delays
        later = ", a turn with a delay is put that long after the arrival of the turn before" if delays else ""
        return f"times in {layout.unit}{later}" if isinstance(layout, Keyed | Mooncake) else ""

    @property
    def by_label(self) -> bool:
        """Whether the file names its own classes, as a plain CSV may."""
        return self.layout.names_classes

    def __iter__(self) -> Iterator[Entry]:
        yield from in_order(self._entries(), self._window, self.tally)
        self.tally.settle()

    def _entries(self) -> Iterator[tuple[int, Entry]]:
        tally, parse = self.tally, self.layout.parse
        for number, line in self._lines:
            if number == self._header:
                continue
            tally.lines += 1
            if number < self._header:
                tally.mark(number, f"stands before the header on line {self._header}")
                continue
            try:
                entry = parse(line)
            except Broken as fault:
                tally.mark(number, str(fault))
                continue
            if entry.output_tokens:
                yield number, entry
            else:
                tally.unanswered += 1


def _leading(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """The first lines, by which the format and the unit of times are told."""
    letters = 0
    for number, line in islice(lines, TIMED_LINES):
        yield number, line
        letters += len(line)
        if letters > TIMED_LETTERS and number >= SEARCHED_LINES:
            return
