"""Reuse against hand-computed figures and against a cache replayed block by block."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trace_rows import Row, mooncake_lines, replayed

from solver.errors import BadInput
from solver.traces import Reading, arrivals, describe, reuse_times, summarise
from solver.traces.measure import Measured
from solver.traces.prefixes import RUN_BYTES
from solver.traces.reading import Trace
from solver.traces.record import Entry
from solver.traces.sessions import SESSION_BYTES, SessionTable

Write = Callable[..., Path]
HUNDRED = Reading(block_tokens=100)


def test_what_each_request_finds(conversations: Path) -> None:
    found = [found for _, found in Measured(Trace(conversations, HUNDRED), HUNDRED)]
    assert [one.hit_blocks for one in found] == [0, 2, 4, 1, 1, 1, 1, 5]
    assert [one.private_tokens for one in found] == [0, 200, 400, 100, 100, 100, 0, 370]
    assert [one.shared_tokens for one in found] == [0, 0, 0, 0, 0, 0, 100, 100]
    assert [one.idle_s for one in found if not math.isnan(one.idle_s)] == [10, 15, 5, 10, 10, 36]
    assert [one.session for one in found] == [1, 1, 1, 2, 3, 4, 5, 1]


def test_sums_of_the_summary(conversations: Path) -> None:
    summary = summarise(conversations, HUNDRED)
    assert (summary.blocks, summary.hit_blocks) == (27, 15)
    assert summary.block_hit_ratio == pytest.approx(15 / 27)
    assert summary.token_hit_ratio == pytest.approx((1270 + 200) / 2390)
    whole = summary.whole
    assert whole.return_fraction == 6 / 8
    assert whole.private_tokens == pytest.approx(1270 / 6)
    assert whole.shared_tokens == 200 / 8
    assert whole.idle_s(0.5) == pytest.approx(10, rel=0.01)
    assert whole.idle_s(0.9) == pytest.approx(36, rel=0.01)


def test_samples_of_reuse(conversations: Path) -> None:
    times = reuse_times(conversations, HUNDRED)
    assert list(times) == [
        *[(10, 200, "private"), (15, 200, "private"), (15, 200, "private"), (5, 100, "private")],
        *[(10, 100, "private"), (10, 100, "private"), (10, 100, "shared"), (1, 100, "shared")],
        *[(36, 100, "private"), (36, 200, "private"), (36, 70, "private")],
    ]
    assert (times.seen, times.horizon_s) == (11, None)
    some = reuse_times(conversations, HUNDRED, most=4)
    assert (len(some), some.seen) == (4, 11)
    assert set(some) <= set(times)
    assert list(some) == list(reuse_times(conversations, HUNDRED, most=4))
    with pytest.raises(BadInput):
        reuse_times(conversations, HUNDRED, most=0)


def test_the_number_of_sessions_that_share_is_an_option(conversations: Path) -> None:
    found = list(arrivals(conversations, Reading(block_tokens=100, shared_from=2)))
    assert [one.shared_tokens for one in found] == [0, 0, 0, 0, 100, 100, 100, 100]


def test_sessions_of_the_trace_decide_what_is_shared(write: Write) -> None:
    line = '{"chat_id": %d, "parent_chat_id": %d, "timestamp": %d, '
    line += '"input_length": 32, "output_length": 1, "hash_ids": [1, 2]}'
    chats = [(1, -1), (2, 1), (3, 2), (4, -1), (5, -1), (6, -1), (7, 3), (8, -1)]
    path = write([line % (chat, parent, chat) for chat, parent in chats])
    found = list(arrivals(path))
    assert [one.session for one in found] == [1, 1, 1, 4, 5, 6, 1, 8]
    assert [one.private_tokens for one in found] == [0, 32, 32, 32, 32, 32, 0, 0]
    assert [one.shared_tokens for one in found] == [0, 0, 0, 0, 0, 0, 32, 32]


def test_survival_by_hand(write: Write) -> None:
    rows: list[Row] = [(0, 200, 1, [1, 2]), (10, 200, 1, [1, 2]), (30, 100, 1, [9])]
    survival = summarise(write(mooncake_lines(rows)), HUNDRED).whole.survival()
    assert survival is not None
    # 200 tokens were used again after 10 s, 200 were cut off at 20 s, 100 at once.
    assert [survival.at(age) for age in (5, 15, 20, 1000)] == [1, 0.5, 0.5, 0.5]
    assert survival.ages_s[-1] == pytest.approx(20, rel=0.01)


@st.composite
def conversations_of(draw: st.DrawFn) -> list[Row]:
    """Requests that go on where earlier ones were, at some block, or start anew."""
    rows: list[Row] = []
    now_s, fresh = 0.0, 1
    for _ in range(draw(st.integers(1, 25))):
        now_s += draw(st.sampled_from([0.0, 1.0, 7.0, 90.0]))
        old = draw(st.sampled_from([[], *(blocks for *_, blocks in rows)]))
        kept = old[: draw(st.integers(0, len(old)))]
        added = draw(st.integers(0 if kept else 1, 4))
        blocks = [*kept, *range(fresh, fresh + added)]
        fresh += added
        partial = draw(st.integers(1, 10)) if added else 10
        if not added:
            partial = next(prompt - 10 * (len(kept) - 1) for _, prompt, _, had in rows if had[: len(kept)] == kept)
        rows.append((now_s, 10 * (len(blocks) - 1) + min(partial, 10), 1, blocks))
    return rows


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(conversations_of())
def test_reuse_agrees_with_a_replayed_cache(tmp_path: Path, rows: list[Row]) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_text("\n".join(mooncake_lines(rows)))
    reading = Reading(block_tokens=10)
    found, cut_off, blocks, hits = replayed(rows, 10)
    summary = summarise(path, reading)
    assert (summary.blocks, summary.hit_blocks) == (blocks, hits)
    seen: Counter[float] = Counter()
    for idle_s, tokens, _ in reuse_times(path, reading):
        seen[idle_s] += tokens
    assert seen == found
    private, shared = summary.whole.content.private_stays, summary.whole.content.shared_stays
    assert (private + shared).reused.weight == found.total()
    assert (private + shared).cut_off.weight == cut_off.total()
    content = summary.whole.content
    assert content.shared.total + content.private.total == found.total()


def test_a_full_table_is_exact_up_to_its_horizon(write: Write) -> None:
    uses = sorted((chain + later, chain) for chain in range(4_000) for later in (0, 5.5, 205.5))
    path = write(mooncake_lines([(time, 300, 1, [3 * chain, 3 * chain + 1, 3 * chain + 2]) for time, chain in uses]))
    exact = reuse_times(path, HUNDRED)
    bounded = reuse_times(path, Reading(block_tokens=100, table_bytes=1024**2))
    assert exact.horizon_s is None
    assert bounded.horizon_s is not None
    assert bounded.horizon_s > 200
    assert list(bounded) == list(exact)
    assert Counter(exact.idle_s.tolist()) == {5.5: 4_000, 200: 4_000}


def test_what_is_forgotten_is_told_and_cut_off(write: Write) -> None:
    path = write(mooncake_lines([(second, 100, 1, [second % 5_000]) for second in range(9_000)]))
    summary = summarise(path, Reading(block_tokens=100, table_bytes=1024**2))
    assert summary.hit_blocks == 0
    kept = 1024**2 // (RUN_BYTES + 8)
    assert summary.horizon_s == kept
    stays = summary.whole.content.private_stays
    assert (stays.reused.weight, stays.cut_off.weight) == (0, 900_000)
    assert "reuse after more than 30.8 min idle is not seen in full" in describe(summary)
    assert summarise(path, HUNDRED).hit_blocks == 4_000


def test_forgotten_history_of_a_branching_tree(write: Write) -> None:
    rows: list[Row] = [(second, 300, 1, [1, 2 + second % 3, 10 + second]) for second in range(9_000)]
    summary = summarise(write(mooncake_lines(rows)), Reading(block_tokens=100, table_bytes=1024**2))
    assert summary.hit_blocks == 2 * 9_000 - 2 - 2
    content = summary.whole.content
    stays = content.private_stays + content.shared_stays
    assert stays.reused.weight + stays.cut_off.weight == 300 * 9_000


def test_sessions_beyond_the_bound_are_forgotten() -> None:
    table = SessionTable(4 * SESSION_BYTES)
    for second in range(5):
        table.use(second, Entry(second, 10, 1, session=second))
    assert table.horizon_s == 4
    assert table.use(5, Entry(5, 50, 1, session=0)).private_tokens == 0
    assert table.use(6, Entry(6, 50, 1, session=3)).private_tokens == 11


def test_a_shorter_prompt_carries_no_history() -> None:
    table = SessionTable(10**6)
    table.use(0, Entry(0, 100, 20, session="a"))
    assert table.use(1, Entry(5, 119, 20, session="a")).private_tokens == 0
    assert table.use(2, Entry(9, 139, 20, session="a")).private_tokens == 139
    table.close(20)
    stays = table.stays.take()
    assert stays["idle_s"].tolist() == [5, 4, 11]
    assert stays["tokens"].tolist() == [120, 139, 159]
    assert stays["reused"].tolist() == [False, True, False]
