"""How a trace is read, and the requests of one file in order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Literal

from solver.errors import BadInput
from solver.traces.formats import SEARCHED_LINES, Format, Layout, named, recognise
from solver.traces.lines import Progress, numbered
from solver.traces.order import in_order
from solver.traces.record import Broken, Entry
from solver.traces.tally import Tally


@dataclass(frozen=True)
class Reading:
    """How a trace is read.

    Attributes
    ----------
    format: ``mooncake``, ``bailian``, ``azure``, ``burstgpt``, ``plain``, or ``auto``: told from the first lines.
    block_tokens: tokens of one hashed block where they are not the format's own (512 and 16).
    broken_share: largest share of broken lines tolerated; a single one always is.
    sort_window: requests held back to put times in order; what is further out of order is a broken line.
    table_bytes: memory for what was last used when. Beyond it the least recently used is forgotten: reuse stays exact
        up to the idle time that the summary then states.
    shared_from: a block is shared, no longer private, once so many sessions have used it.
    classes_by: ``labels`` takes the trace's own classes, ``lengths`` clusters; ``auto`` means labels for a plain CSV
        with a ``class`` column.
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

    def __post_init__(self) -> None:
        if self.format != "auto":
            named(self.format)
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
        self._window = reading.sort_window
        lines = numbered(source, self.tally, reading.progress)
        first = list(islice(lines, SEARCHED_LINES))
        if not first:
            self.tally.settle()
        self.format, index = recognise(first, reading.format, self.tally.name)
        self.layout: Layout = self.format.open(first[index][1], reading.block_tokens or 0)
        self._lines = chain(first, lines)
        self._header = first[index][0] if self.format.headed else 0

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


def format_of(path: str | Path) -> Format:
    """The format of a file, by its first lines.

    Raises
    ------
    BadFile
    """
    return Trace(path, Reading()).format
