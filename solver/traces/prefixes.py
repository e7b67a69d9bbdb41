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
from collections import deque
from collections.abc import Iterator

from solver.traces.found import Found, Stays
from solver.traces.record import Entry

#: Memory of a run besides 8 bytes a block: the object, its entry in the parent, its own table of branches [bytes].
RUN_BYTES = 560
_BLOCK_BYTES = 8


class BlockRun:
    """Blocks always used together, and their last use.

    Attributes
    ----------
    above: the run before this one.
    blocks: hashes (n,).
    tokens: what they hold; the last block of a prompt may be partial.
    used_s, user, session: time, ordinal and session of the last request that used them.
    sessions: the different sessions that did, up to the number that makes a run shared.
    branches: the runs that follow, by their first block; None where no prompt so far has gone on.
    """

    __slots__ = ("above", "blocks", "branches", "session", "sessions", "tokens", "used_s", "user")

    def __init__(self, above: BlockRun | None, blocks: array[int], tokens: int) -> None:
        self.above, self.blocks, self.tokens = above, blocks, tokens
        self.used_s, self.user = 0.0, 0
        self.session: int | str = 0
        self.sessions: tuple[int | str, ...] = ()
        self.branches: dict[int, BlockRun] | None = None

    def add(self, below: BlockRun) -> None:
        """Let a run follow this one."""
        if self.branches is None:
            self.branches = {}
        self.branches[below.blocks[0]] = below
        below.above = self

    def divide(self, at: int, block_tokens: int) -> BlockRun:
        """Make the first ``at`` blocks a run of their own, which this one, now shorter, follows."""
        head = BlockRun(self.above, self.blocks[:at], at * block_tokens)
        head.used_s, head.user, head.session, head.sessions = self.used_s, self.user, self.session, self.sessions
        if self.above is not None:
            self.above.add(head)
        self.blocks, self.tokens = self.blocks[at:], self.tokens - at * block_tokens
        head.add(self)
        return head


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
        self._root = BlockRun(None, array("Q"), 0)
        self._bytes, self._sessions = 0, 0
        #: The run where each request since the oldest one remembered ended, in order.
        self._ends: deque[BlockRun] = deque()
        self._oldest = 0

    def use(self, ordinal: int, entry: Entry) -> Found:
        """What the request finds; afterwards the tree holds its prompt too. Ordinals count up from 0."""
        blocks = entry.blocks
        if not blocks:
            self._ends.append(self._root)
            return Found(entry.session)
        path, matched, goes_on = self._match(blocks)
        session = entry.session
        if session is None:
            session = path[-1].session if goes_on else self._open()
        found = self._find(path, ordinal, entry, session)
        end = path[-1] if path else self._root
        if matched < len(blocks):
            end = self._grow(end, blocks[matched:], entry, matched)
            end.used_s, end.user, end.session, end.sessions = entry.arrival_s, ordinal, session, (session,)
        self._ends.append(end)
        if self._bytes > self._most:
            self._forget(entry.arrival_s)
        return found._replace(blocks=len(blocks), hit_blocks=matched)

    def close(self, end_s: float) -> None:
        """Note every run still held as cut off at the end of the trace."""
        for run in self._runs():
            self._cut_off(run, end_s)
            run.above = None
        self._root = BlockRun(None, array("Q"), 0)
        self._ends.clear()

    def _match(self, blocks: array[int]) -> tuple[list[BlockRun], int, bool]:
        """Runs along the longest known prefix, its length in blocks, and whether an earlier session goes on there."""
        path: list[BlockRun] = []
        at, total, branches = 0, len(blocks), self._root.branches
        goes_on = False
        while branches and at < total:
            run = branches.get(blocks[at])
            if run is None:
                break
            length = len(run.blocks)
            same = length if run.blocks == blocks[at : at + length] else _common(run.blocks, blocks, at)
            goes_on = run.branches is None and same >= length - 1 and len(run.sessions) < self._shared_from
            if same < length:
                run = run.divide(same, self._block_tokens)
                self._bytes += RUN_BYTES
            path.append(run)
            at += same
            branches = run.branches if same == length else None
        return path, at, goes_on

    def _find(self, path: list[BlockRun], ordinal: int, entry: Entry, session: int | str) -> Found:
        """What the runs along the path are worth, each of which the request uses."""
        now_s, note, many = entry.arrival_s, self.stays.add, self._shared_from
        shared = private = 0
        idle_s = math.nan
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
        shared = min(shared, entry.prompt_tokens)
        return Found(session, shared, min(private, entry.prompt_tokens - shared), idle_s)

    def _open(self) -> int:
        self._sessions += 1
        return self._sessions

    def _grow(self, end: BlockRun, rest: array[int], entry: Entry, matched: int) -> BlockRun:
        """Hang the blocks that were not found below those that were."""
        left = max(0, entry.prompt_tokens - matched * self._block_tokens)
        leaf = BlockRun(end, rest, min(len(rest) * self._block_tokens, left))
        end.add(leaf)
        self._bytes += RUN_BYTES + _BLOCK_BYTES * len(rest)
        return leaf

    def _runs(self) -> Iterator[BlockRun]:
        waiting = [self._root]
        while waiting:
            branches = waiting.pop().branches
            if branches:
                yield from branches.values()
                waiting.extend(branches.values())

    def _forget(self, now_s: float) -> None:
        """Drop the least recently used runs until the rest fits.

        A run is at least as recent as those that follow it. So when a request is the oldest and none has used the run
        where it ended since, nothing follows that run, nor, once that is gone, the runs above that it was last to use.
        """
        while self._bytes > self._most and len(self._ends) > 1:
            run = self._ends.popleft()
            while run.above is not None and run.user == self._oldest:
                age_s = now_s - run.used_s
                self.horizon_s = age_s if self.horizon_s is None else min(self.horizon_s, age_s)
                self._cut_off(run, now_s)
                self._bytes -= RUN_BYTES + _BLOCK_BYTES * len(run.blocks)
                above, run.above = run.above, None
                if above.branches:
                    del above.branches[run.blocks[0]]
                run = above
            self._oldest += 1

    def _cut_off(self, run: BlockRun, now_s: float) -> None:
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
