"""Requests put in order of arrival within a window."""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Iterator

from solver.traces.record import Entry
from solver.traces.tally import Tally


def in_order(numbered: Iterator[tuple[int, Entry]], window: int, tally: Tally) -> Iterator[Entry]:
    """Requests sorted by arrival; ties keep the order of the file.

    ``window`` requests are held back. One that arrives earlier than a request already let go cannot be put right: it
    goes to the tally as a broken line. A single time far in the future is thus held to the end and spoils no other.
    """
    held: deque[tuple[float, int, Entry]] = deque()
    gone_s = 0.0
    for number, entry in numbered:
        if entry.arrival_s < gone_s:
            late = gone_s - entry.arrival_s
            tally.mark(number, f"the timestamp goes back by {late:g} s, past the sort window of {window:,} requests")
            continue
        item = (entry.arrival_s, number, entry)
        if held and item < held[-1]:
            insort(held, item)
        else:
            held.append(item)
        if len(held) > window:
            gone_s, _, first = held.popleft()
            yield first
    for _, _, entry in held:
        yield entry
