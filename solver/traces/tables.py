"""Traces as comma-separated tables: Azure's, BurstGPT's, and a plain one."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from solver.traces.record import Broken, Entry, believed, real, whole

#: Columns of the three tables, in lower case: field -> column; those in ``OPTIONAL`` may be absent.
AZURE = {"arrival": "timestamp", "prompt": "contexttokens", "output": "generatedtokens"}
BURSTGPT = {
    "arrival": "timestamp",
    "prompt": "request tokens",
    "output": "response tokens",
    "session": "session id",
    "model": "model",
    "log": "log type",
}
PLAIN = {
    "arrival": "arrival_s",
    "prompt": "prompt_tokens",
    "output": "output_tokens",
    "session": "session",
    "label": "class",
}
OPTIONAL = frozenset({"session", "label", "model", "log"})


def mark_of(header: str) -> str:
    """What parts the cells of a header: a comma, a semicolon or a tab, whichever stands there most often.

    >>> mark_of("a;b;c"), mark_of("a,b")
    (';', ',')
    """
    return max(",;\t", key=header.count)


def cells(line: str, mark: str = ",") -> list[str]:
    """The cells of one line; quotes may hold commas, not line ends.

    >>> cells('1.5,"a, b",3')
    ['1.5', 'a, b', '3']

    Raises
    ------
    Broken
    """
    if '"' not in line:
        return line.split(mark)
    try:
        return next(csv.reader([line], strict=True, delimiter=mark))
    except (csv.Error, StopIteration):
        raise Broken("quotes do not close") from None


def missing(header: str, columns: Mapping[str, str]) -> list[str]:
    """Columns that a header lacks and that are not optional."""
    found = set(_names(header))
    return [column for field, column in columns.items() if field not in OPTIONAL and column not in found]


def _names(header: str) -> list[str]:
    try:
        return [name.strip().lower() for name in cells(header)]
    except Broken:
        return []


class TokenColumns:
    """Where each field stands; columns that are not asked for are ignored."""

    def __init__(self, header: str, columns: Mapping[str, str]) -> None:
        names = _names(header)
        self._width = len(names)
        self._place = {field: names.index(column) for field, column in columns.items() if column in names}

    def has(self, field: str) -> bool:
        """Whether the header names the field's column."""
        return field in self._place

    def row(self, line: str) -> list[str]:
        """The cells of a line as long as the header.

        Raises
        ------
        Broken
        """
        found = cells(line)
        if len(found) != self._width:
            raise Broken(f"{len(found)} columns where the header has {self._width}")
        return found

    def get(self, row: list[str], field: str) -> str:
        """A cell without spaces around it; empty if the table lacks the column."""
        place = self._place.get(field)
        return "" if place is None else row[place].strip()

    def lengths(self, row: list[str]) -> tuple[int, int]:
        """Prompt and output [tokens].

        Raises
        ------
        Broken
        """
        return whole(self.get(row, "prompt"), "the prompt length"), whole(self.get(row, "output"), "the output length")


class Azure:
    """``TIMESTAMP,ContextTokens,GeneratedTokens``; times as ``2023-11-16 18:17:03.9799600``, with or without an offset.

    Source: Azure/AzurePublicDataset, AzureLLMInferenceDataset2023.md (2024 adds the offset).
    """

    block_tokens = None
    names_classes = False

    def __init__(self, header: str) -> None:
        self._table = TokenColumns(header, AZURE)
        self._origin: datetime | None = None
        self._minute = ("", 0.0)

    def parse(self, line: str) -> Entry:
        """The request on one line.

        Raises
        ------
        Broken
        """
        row = self._table.row(line)
        arrival_s = self._seconds(self._table.get(row, "arrival"))
        prompt, output = self._table.lengths(row)
        believed(arrival_s, prompt, output)
        return Entry(arrival_s, prompt, output)

    def _seconds(self, text: str) -> float:
        """Seconds since midnight of the day before the first request; digits below a microsecond are kept."""
        minute, rest = text[:16], text[16:]
        try:
            if minute != self._minute[0]:
                self._minute = (minute, self._since(datetime.fromisoformat(minute)))
            clock = rest.rstrip("Zz")
            cut = max(clock.find("+"), clock.find("-"))
            seconds = float(clock[1:cut] if cut > 0 else clock[1:]) if clock else 0.0
            if (clock and clock[0] != ":") or not 0 <= seconds < 61:
                raise ValueError(text)
            return self._minute[1] + seconds - (_offset_s(clock[cut:]) if cut > 0 else 0.0)
        except (ValueError, OverflowError, TypeError):
            raise Broken(f"the timestamp is not a date and time ({text[:40]!r})") from None

    def _since(self, minute: datetime) -> float:
        if self._origin is None:
            self._origin = minute.replace(hour=0, minute=0) - timedelta(days=1)
        return (minute - self._origin).total_seconds()


def _offset_s(text: str) -> float:
    """Seconds of an offset such as ``+02:00``."""
    offset = datetime.fromisoformat(f"2000-01-01T00:00{text}").astimezone(UTC)
    return (datetime(2000, 1, 1, tzinfo=UTC) - offset).total_seconds()


class BurstGPT:
    """``Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type`` and, from release 1.2, ``Session ID``.

    Failed requests have 0 response tokens. Source: HPMLL/BurstGPT, README.
    """

    block_tokens = None
    names_classes = False

    def __init__(self, header: str) -> None:
        self._table = TokenColumns(header, BURSTGPT)

    def parse(self, line: str) -> Entry:
        """The request on one line.

        Raises
        ------
        Broken
        """
        row = self._table.row(line)
        arrival_s = real(self._table.get(row, "arrival"), "the timestamp")
        prompt, output = self._table.lengths(row)
        believed(arrival_s, prompt, output)
        label = ", ".join(filter(None, (self._table.get(row, "model"), self._table.get(row, "log"))))
        return Entry(arrival_s, prompt, output, self._table.get(row, "session")[:80] or None, label[:80] or None)


class Plain:
    """``arrival_s,prompt_tokens,output_tokens`` and, if wanted, ``session`` and ``class``, in any order."""

    block_tokens = None

    def __init__(self, header: str) -> None:
        self._table = TokenColumns(header, PLAIN)
        self.names_classes = self._table.has("label")

    def parse(self, line: str) -> Entry:
        """The request on one line.

        Raises
        ------
        Broken
        """
        row = self._table.row(line)
        arrival_s = real(self._table.get(row, "arrival"), "arrival_s")
        prompt, output = self._table.lengths(row)
        believed(arrival_s, prompt, output)
        return Entry(arrival_s, prompt, output, self._table.get(row, "session")[:80] or None, self._label(row))

    def _label(self, row: list[str]) -> str | None:
        return (self._table.get(row, "label")[:80] or "unnamed") if self.names_classes else None
