"""Requests of a trace together with what each finds of earlier ones: the stream everything else is made from."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, islice

from solver.errors import BadFile
from solver.traces.found import Found, Tracker
from solver.traces.prefixes import PrefixTree
from solver.traces.reading import Reading, Trace
from solver.traces.record import Entry
from solver.traces.sessions import SessionTable

#: Ordinals of requests are held in 32 bits.
MOST_REQUESTS = 2**32 - 1


class Measured:
    """Iterate once over ``(request, what it finds)``; then ask how it went.

    Attributes
    ----------
    trace: the file, its format and its tally.
    tracker: who follows reuse: by blocks if the first request has them, by sessions if not.
    """

    def __init__(self, trace: Trace, reading: Reading) -> None:
        self.trace = trace
        entries = iter(trace)
        first = list(islice(entries, 1))
        self._entries = chain(first, entries)
        block_tokens = trace.layout.block_tokens
        self.tracker: Tracker
        if block_tokens and first and first[0].blocks is not None:
            self.tracker = PrefixTree(block_tokens, reading.shared_from, reading.table_bytes)
        else:
            self.tracker = SessionTable(reading.table_bytes)

    def __iter__(self) -> Iterator[tuple[Entry, Found]]:
        use = self.tracker.use
        end_s = 0.0
        for ordinal, entry in enumerate(self._entries):
            if ordinal > MOST_REQUESTS:
                raise BadFile(f"{self.trace.name}: more than {MOST_REQUESTS:,} requests; split the file")
            end_s = entry.arrival_s
            yield entry, use(ordinal, entry)
        self.tracker.close(end_s)


@contextmanager
def no_collector() -> Iterator[None]:
    """Pause the search for reference cycles while a trace is read.

    Reading makes no cycles but many small objects that live long; walking them again and again would take as long as
    the rest.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
