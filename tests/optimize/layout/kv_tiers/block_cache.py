"""A cache of prompt blocks that drops what was idle for too long, replayed over a trace; written from the trace alone."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

BLOCK_TOKENS = 512
#: A block that so many sessions have used belongs to none of them.
MANY_SESSIONS = 4


@dataclass
class Replayed:
    """What the requests of a trace found, and how much waited.

    Attributes
    ----------
    prompt, shared: tokens of all prompts, and those found in blocks of many sessions.
    found: private tokens found, by the tier in which they had waited.
    waiting: private tokens that wait in each tier, averaged over the trace.
    """

    prompt: int = 0
    shared: int = 0
    found: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    waiting: dict[str, float] = field(default_factory=lambda: defaultdict(float))


def replay(path: Path, until_s: Mapping[str, float], output_kept: bool) -> Replayed:
    """Requests one after the other; a block found again is moved to the front, and no block is found behind a lost one.

    Parameters
    ----------
    until_s: age at which an idle block leaves each tier, nearest first.
    output_kept: generated tokens wait like the others; the trace never asks for them again.
    """
    result, drop = Replayed(), max(until_s.values())
    last_use: dict[int, tuple[float, int, bool]] = {}
    sessions: dict[int, set[int]] = defaultdict(set)
    ends: dict[int, int | None] = {}
    rows = sorted((json.loads(line) for line in path.read_text().splitlines()), key=lambda row: row["timestamp"])
    span = (rows[-1]["timestamp"] - rows[0]["timestamp"]) / 1000
    for ordinal, row in enumerate(rows):
        now, blocks, left = row["timestamp"] / 1000, row["hash_ids"], row["input_length"]
        result.prompt += left
        whole, session = True, _session(ends, blocks, sessions, ordinal)
        for block in blocks:
            tokens = min(BLOCK_TOKENS, left)
            left -= tokens
            many = len(sessions[block]) >= MANY_SESSIONS
            sessions[block].add(session)
            known = last_use.get(block)
            age = None if known is None else now - known[0]
            if many:
                result.shared += tokens if whole else 0
            elif age is not None and age <= drop and whole:
                result.found[_tier(until_s, age)] += tokens
            else:
                whole = False
            if known is not None and not known[2]:
                _wait(result, until_s, age or 0.0, known[1] / span)
            last_use[block] = now, tokens, many
        if output_kept:
            _wait(result, until_s, drop, row["output_length"] / span)
    for _, tokens, many in last_use.values():
        if not many:
            _wait(result, until_s, drop, tokens / span)
    return result


def _session(ends: dict[int, int | None], blocks: list[int], sessions: Mapping[int, set[int]], ordinal: int) -> int:
    """The session that a request goes on with, or a new one.

    It goes on if it repeats the latest prompt of a session, but for the last block at most, and is the first to do so.
    """
    held = [b for b in reversed(blocks) if ends.get(b) is not None and len(sessions[b]) < MANY_SESSIONS]
    session = ends[held[0]] if held else None
    for block in blocks:
        if block in ends:
            ends[block] = None
    for block in blocks[-2:]:
        ends.setdefault(block, ordinal if session is None else session)
    return ordinal if session is None else session


def _tier(until_s: Mapping[str, float], age_s: float) -> str:
    return next(name for name, end in until_s.items() if age_s <= end)


def _wait(result: Replayed, until_s: Mapping[str, float], age_s: float, tokens_per_s: float) -> None:
    """A block that was idle for an age spent part of it in every tier on the way."""
    start = 0.0
    for name, end in until_s.items():
        if age_s > start:
            result.waiting[name] += tokens_per_s * (min(age_s, end) - start)
        start = max(start, end)
