"""Reuse by block hashes: a prefix tree of runs of blocks, the least recently used forgotten beyond a bound.

A request hits block i if it hits all blocks before i and an earlier request used the same block there: prefix semantics
against a cache without bounds. A run is a stretch of blocks that so far were always used together, so that a request
costs a few steps however long its prompt.

**Shared or private.** A run is shared once ``shared_from`` different sessions have used it, private before. Where the
trace names no sessions they are inferred: a request goes on with the session of an earlier one if it repeats that one's
blocks, all or all but the last (which is often partial), and is the first to branch off there, and the place is not
shared; otherwise it opens a session.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator

import numpy as np

from solver.traces.found import Found, Stays
from solver.traces.record import Entry

#: Memory of a run besides 8 bytes a block: the object, its entry in the parent, its own table of branches [bytes].
RUN_BYTES = 450
_BLOCK_BYTES = 8


class Run:
    """Blocks always used together, and their last use.

    Attributes
    ----------
    blocks: hashes (n,).
    tokens: what they hold; the last block of a prompt may be partial.
    used_s, user, session: time, ordinal and session of the last request that used them.
    sessions: the different sessions that did, up to the number that makes a run shared.
    branches: the runs that follow, by their first block; None at the end of every prompt so far.
    """

    __slots__ = ("blocks", "branches", "session", "sessions", "tokens", "used_s", "user")

    def __init__(self, blocks: array[int], tokens: int) -> None:
        self.blocks, self.tokens = blocks, tokens
        self.used_s, self.user = 0.0, 0
        self.session: int | str = 0
        self.sessions: tuple[int | str, ...] = ()
        self.branches: dict[int, Run] | None = None

    def split(self, at: int, block_tokens: int) -> None:
        """Keep the first ``at`` blocks; the rest becomes the only branch."""
        tail = Run(self.blocks[at:], self.tokens - at * block_tokens)
        tail.used_s, tail.user, tail.session, tail.sessions = self.used_s, self.user, self.session, self.sessions
        tail.branches, self.branches = self.branches, {tail.blocks[0]: tail}
        self.blocks, self.tokens = self.blocks[:at], at * block_tokens


class PrefixTree:
    """Tracks reuse of blocks; a :class:`solver.traces.found.Tracker`.

    Parameters
    ----------
    block_tokens: tokens of a block.
    shared_from: sessions that make a run shared.
    table_bytes: memory of the tree, estimated as ``RUN_BYTES`` a run and 8 bytes a block.
    """

    def __init__(self, block_tokens: int, shared_from: int, table_bytes: int) -> None:
        self.stays = Stays()
        self.horizon_s: float | None = None
        self._block_tokens, self._shared_from, self._most = block_tokens, shared_from, table_bytes
        self._roots: dict[int, Run] = {}
        self._bytes, self._sessions = 0, 0

    def use(self, ordinal: int, entry: Entry) -> Found:
        """What the request finds; afterwards the tree holds its prompt too."""
        blocks = entry.blocks
        if not blocks:
            return Found(entry.session)
        path, matched, goes_on = self._match(blocks)
        session = entry.session
        if session is None:
            session = path[-1].session if goes_on else self._open()
        shared = private = 0
        idle_s = math.nan
        now_s, note, many = entry.arrival_s, self.stays.add, self._shared_from
        for run in path:
            is_shared = len(run.sessions) >= many
            if is_shared:
                shared += run.tokens
            else:
                private += run.tokens
                idle_s = now_s - run.used_s
            note(run.user, now_s - run.used_s, run.tokens, is_shared, True)
            run.used_s, run.user, run.session = now_s, ordinal, session
            if not is_shared and session not in run.sessions:
                run.sessions += (session,)
        if matched < len(blocks):
            self._grow(path, blocks[matched:], entry, matched, ordinal, session)
        shared = min(shared, entry.prompt_tokens)
        private = min(private, entry.prompt_tokens - shared)
        return Found(session, shared, private, idle_s, len(blocks), matched)

    def close(self, end_s: float) -> None:
        """Note every run still held as cut off at the end of the trace."""
        for run in self._runs():
            self._cut_off(run, end_s)
        self._roots, self._bytes = {}, 0

    def _match(self, blocks: array[int]) -> tuple[list[Run], int, bool]:
        """Runs along the longest known prefix, its length in blocks, and whether an earlier session goes on there."""
        path: list[Run] = []
        branches: dict[int, Run] | None = self._roots
        at, total = 0, len(blocks)
        goes_on = False
        while branches and at < total:
            run = branches.get(blocks[at])
            if run is None:
                break
            path.append(run)
            length = len(run.blocks)
            same = length if run.blocks == blocks[at : at + length] else _common(run.blocks, blocks, at)
            first_to_branch = run.branches is None and same >= length - 1
            goes_on = first_to_branch and len(run.sessions) < self._shared_from
            if same < length:
                run.split(same, self._block_tokens)
                self._bytes += RUN_BYTES
            at += same
            branches = run.branches if same == length else None
        return path, at, goes_on

    def _open(self) -> int:
        self._sessions += 1
        return self._sessions

    def _grow(
        self, path: list[Run], rest: array[int], entry: Entry, matched: int, ordinal: int, session: int | str
    ) -> None:
        """Hang the blocks that were not found below those that were."""
        known = matched * self._block_tokens
        leaf = Run(rest, min(len(rest) * self._block_tokens, max(0, entry.prompt_tokens - known)))
        leaf.used_s, leaf.user, leaf.session, leaf.sessions = entry.arrival_s, ordinal, session, (session,)
        if not path:
            self._roots[rest[0]] = leaf
        elif path[-1].branches is None:
            path[-1].branches = {rest[0]: leaf}
        else:
            path[-1].branches[rest[0]] = leaf
        self._bytes += RUN_BYTES + _BLOCK_BYTES * len(rest)
        if self._bytes > self._most:
            self._forget(entry.arrival_s)

    def _runs(self) -> Iterator[Run]:
        waiting = list(self._roots.values())
        while waiting:
            run = waiting.pop()
            yield run
            if run.branches:
                waiting.extend(run.branches.values())

    def _forget(self, now_s: float) -> None:
        """Drop the least recently used quarter; a run is never older than those that follow it."""
        users, costs = array("I"), array("I")
        for run in self._runs():
            users.append(run.user)
            costs.append(RUN_BYTES + _BLOCK_BYTES * len(run.blocks))
        order = np.argsort(np.frombuffer(users, "u4"), kind="stable")
        freed = np.cumsum(np.frombuffer(costs, "u4")[order], dtype=np.int64)
        first_kept = min(int(np.searchsorted(freed, self._most // 4)) + 1, len(order) - 1)
        self._prune(self._roots, users[int(order[first_kept])], now_s)

    def _prune(self, roots: dict[int, Run], oldest_kept: int, now_s: float) -> None:
        waiting = [roots]
        while waiting:
            branches = waiting.pop()
            for key, run in list(branches.items()):
                if run.user < oldest_kept:
                    self._drop(run, now_s)
                    del branches[key]
                elif run.branches:
                    waiting.append(run.branches)

    def _drop(self, top: Run, now_s: float) -> None:
        waiting = [top]
        while waiting:
            run = waiting.pop()
            age_s = now_s - run.used_s
            self.horizon_s = age_s if self.horizon_s is None else min(self.horizon_s, age_s)
            self._cut_off(run, now_s)
            self._bytes -= RUN_BYTES + _BLOCK_BYTES * len(run.blocks)
            if run.branches:
                waiting.extend(run.branches.values())

    def _cut_off(self, run: Run, now_s: float) -> None:
        self.stays.add(run.user, now_s - run.used_s, run.tokens, len(run.sessions) >= self._shared_from, False)


def _common(run: array[int], blocks: array[int], at: int) -> int:
    """How many blocks of a run agree with ``blocks`` from ``at`` on, the first being known to (by halving)."""
    low, high = 1, min(len(run), len(blocks) - at)
    while low < high:
        middle = (low + high + 1) // 2
        if run[low:middle] == blocks[at + low : at + middle]:
            low = middle
        else:
            high = middle - 1
    return low
