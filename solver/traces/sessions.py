"""Reuse by sessions, for traces that name sessions but record no blocks.

A later turn is taken to carry its session's history if its prompt is long enough to: it then finds the prompt and the
output of the turn before (all private). A shorter prompt cannot hold the history and finds nothing. Where requests name
the one they continue, each finds the context of that one, so that sub-agents that fork from it share it.
"""

from __future__ import annotations

from typing import NamedTuple

from solver.traces.found import Found, Stays
from solver.traces.record import Entry

#: Memory of one remembered session [bytes].
SESSION_BYTES = 300


class Turn(NamedTuple):
    """The last turn of a session: when, by which request, and what it left in the cache [tokens]."""

    used_s: float
    user: int
    tokens: int


class SessionTable:
    """Tracks the history of sessions; a :class:`solver.traces.found.Tracker`."""

    def __init__(self, table_bytes: int) -> None:
        self.stays = Stays()
        self.horizon_s: float | None = None
        self._most = max(4, table_bytes // SESSION_BYTES)
        self._last: dict[int | str, Turn] = {}
        self._forked: dict[int | str, Turn] = {}

    def use(self, ordinal: int, entry: Entry) -> Found:
        """What the request finds; afterwards the table holds its prompt and output too."""
        if entry.node is not None:
            return self._use_node(ordinal, entry)
        session = entry.session
        if session is None:
            return Found()
        found = Found(session)
        turn = self._last.pop(session, None)
        if turn is not None:
            idle_s = entry.arrival_s - turn.used_s
            carried = entry.prompt_tokens >= turn.tokens
            self.stays.add(turn.user, idle_s, turn.tokens, False, carried)
            if carried:
                found = Found(session, 0, turn.tokens, idle_s)
        self._last[session] = Turn(entry.arrival_s, ordinal, entry.prompt_tokens + entry.output_tokens)
        if len(self._last) > self._most:
            self._forget(entry.arrival_s)
        return found

    def _use_node(self, ordinal: int, entry: Entry) -> Found:
        """What a request of a graph finds: the context of its parent, which several may continue (a fork)."""
        found = Found(entry.session)
        parent = entry.parent
        turn = None if parent is None else self._last.pop(parent, None) or self._forked.get(parent)
        if turn is not None and parent is not None:
            idle_s = entry.arrival_s - turn.used_s
            carried = entry.prompt_tokens >= turn.tokens
            self.stays.add(turn.user, idle_s, turn.tokens, False, carried)
            if carried:
                found = Found(entry.session, 0, turn.tokens, idle_s)
            self._forked[parent] = Turn(entry.arrival_s, ordinal, turn.tokens)
        self._last[entry.node or ""] = Turn(entry.arrival_s, ordinal, entry.prompt_tokens + entry.output_tokens)
        if len(self._last) + len(self._forked) > self._most:
            self._forget(entry.arrival_s)
        return found

    def close(self, end_s: float) -> None:
        """Note every session still held as cut off at the end of the trace."""
        for turn in self._last.values():
            self.stays.add(turn.user, end_s - turn.used_s, turn.tokens, False, False)
        self._last = {}

    def _forget(self, now_s: float) -> None:
        """Drop the quarter that was used least recently: those that stand first."""
        for parent in list(self._forked)[: self._most // 4]:
            del self._forked[parent]
        for session in list(self._last)[: self._most // 4]:
            turn = self._last.pop(session)
            self.stays.add(turn.user, now_s - turn.used_s, turn.tokens, False, False)
            age_s = now_s - turn.used_s
            self.horizon_s = age_s if self.horizon_s is None else min(self.horizon_s, age_s)
