"""Recorded traces, where they lie beside the checkout: counts, hit ratios, classes."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from trace_rows import product_limit

from solver.traces import Reading, arrivals, classes, describe, summarise

MOONCAKE = [("mooncake_conversation_trace.jsonl", 12_031, 0.366), ("mooncake_synthetic_trace.jsonl", 3_993, 0.640)]
AZURE = [
    ("azure_2023_AzureLLMInferenceTrace_code.csv", 8_819, 2_048, 28),
    ("azure_2023_AzureLLMInferenceTrace_conv.csv", 19_366, 1_155, 211),
]


@pytest.mark.parametrize(("name", "requests", "ratio"), MOONCAKE)
def test_mooncake(name: str, requests: int, ratio: float, recorded: Path) -> None:
    summary = summarise(recorded / name)
    assert (summary.format, summary.requests, summary.broken) == ("mooncake", requests, 0)
    assert summary.block_hit_ratio == pytest.approx(ratio, abs=0.0005)
    assert summary.horizon_s is None
    traffic = classes(summary)
    assert 2 <= len(traffic.classes) <= 6
    assert traffic.requests_per_s == pytest.approx((requests - 1) / summary.timing.span_s)
    found = sum(
        c.requests_per_s * (c.reused_tokens.shared + c.return_fraction * c.reused_tokens.private)
        for c in traffic.classes
    )
    prompt = sum(c.requests_per_s * c.prompt_tokens for c in traffic.classes)
    assert found / prompt == pytest.approx(summary.token_hit_ratio, rel=0.001)
    assert f"{requests:,} requests" in describe(summary)


@pytest.mark.parametrize(("name", "requests", "ratio"), MOONCAKE)
def test_mooncake_block_by_block(name: str, requests: int, ratio: float, recorded: Path) -> None:
    """Any earlier use of a block is a prefix hit there: hashes stand for all that precedes them."""
    seen: set[int] = set()
    blocks = hits = tokens = found = 0
    for line in (recorded / name).read_text().splitlines():
        row = json.loads(line)
        hit = sum(block in seen for block in row["hash_ids"])
        seen.update(row["hash_ids"])
        blocks, hits = blocks + len(row["hash_ids"]), hits + hit
        tokens, found = tokens + row["input_length"], found + min(512 * hit, row["input_length"])
    summary = summarise(recorded / name)
    assert (summary.blocks, summary.hit_blocks) == (blocks, hits)
    assert summary.token_hit_ratio == pytest.approx(found / tokens, rel=1e-6)


def test_survival_of_mooncake_block_by_block(recorded: Path) -> None:
    """Idle times of a cache replayed block by block, through an independent estimator, as the table says."""
    reused: Counter[float] = Counter()
    last: dict[int, tuple[float, int]] = {}
    for request in arrivals(recorded / MOONCAKE[0][0]):
        end_s = request.arrival_s
        for place, block in enumerate(request.blocks):
            if block in last:
                reused[end_s - last[block][0]] += last[block][1]
            last[block] = end_s, min(512, request.prompt_tokens - 512 * place)
    cut_off: Counter[float] = Counter()
    for used_s, tokens in last.values():
        cut_off[end_s - used_s] += tokens
    survival = summarise(recorded / MOONCAKE[0][0]).whole.survival()
    assert survival is not None
    for age_s in (1.0, 31.0, 100.0, 316.0, 1_000.0, 3_000.0):
        exact = product_limit(list(reused.items()), list(cut_off.items()), age_s)
        assert survival.at(age_s) == pytest.approx(exact, abs=0.005)


@pytest.mark.parametrize(("name", "requests", "prompt", "output"), AZURE)
def test_azure(name: str, requests: int, prompt: int, output: int, recorded: Path) -> None:
    summary = summarise(recorded / name)
    assert (summary.format, summary.requests, summary.broken) == ("azure", requests, 0)
    assert summary.token_hit_ratio is None
    content = summary.whole.content
    assert (round(content.prompt.moments.mean), round(content.output.moments.mean)) == (prompt, output)
    assert sum(1 for _ in arrivals(recorded / name, Reading(format="azure"))) == requests


def test_recorded_burstiness(recorded: Path) -> None:
    """Chats come like a Poisson process from moment to moment; completions of code come in bursts."""
    names = [row[0] for row in MOONCAKE] + [row[0] for row in AZURE]
    scv = {name: summarise(recorded / name).whole.unevenness.scv for name in names}
    assert scv.pop(AZURE[0][0]) > 10  # type: ignore[operator]
    assert all(value == pytest.approx(1, abs=0.1) for value in scv.values())
