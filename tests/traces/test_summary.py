"""From a file to classes, report, plain data, charts and streams; chunks do not matter."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from trace_rows import Row, mooncake_lines

from solver.errors import BadInput
from solver.traces import (
    Reading,
    Survival,
    TraceSummary,
    arrivals,
    charts,
    classes,
    describe,
    passes,
    replay,
    summarise,
    to_json,
)
from solver.traces.spool import Spool
from solver.workload import Idle, RequestClass, Reuse, Traffic

Write = Callable[..., Path]


def mixed_rows() -> list[Row]:
    """Chats of several turns behind one system prompt, and long documents asked once; in ticks of half a second."""
    rng = np.random.default_rng(11)
    rows: list[Row] = []
    for session in range(250):
        now_s, blocks = float(rng.uniform(0, 3_000)), [1, 2]
        long = session % 5 == 0
        for _ in range(1 if long else rng.geometric(0.4)):
            start = 1_000 * (session + 1) + len(blocks)
            blocks = [*blocks, *range(start, start + (60 if long else 2))]
            rows.append(
                (round(2 * now_s) / 2, 100 * len(blocks) - int(rng.integers(1, 99)), int(rng.integers(5, 500)), blocks)
            )
            now_s += float(rng.lognormal(3, 1))
    return sorted(rows)


@pytest.fixture
def mixed(write: Write) -> Path:
    return write(mooncake_lines(mixed_rows()))


@pytest.fixture
def summary(mixed: Path) -> TraceSummary:
    return summarise(mixed, Reading(block_tokens=100))


def test_chunks_equal_one_pass(mixed: Path, summary: TraceSummary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "ROWS", 5)
    monkeypatch.setattr(replay.whole_ticks, "__defaults__", (7,))
    monkeypatch.setattr(Spool.chunks, "__defaults__", (3,))
    again = summarise(mixed, Reading(block_tokens=100))
    assert summary.timing.tick_s == pytest.approx(0.5, rel=0.01)
    for count in range(1, summary.tree.leaves + 1):
        assert to_json(again, count) == to_json(summary, count)


def test_classes_add_up(summary: TraceSummary) -> None:
    rows = mixed_rows()
    for count in (1, 2, 5):
        found = summary.classes(count)
        assert len(found) == count
        assert sum(one.group.requests for one in found) == len(rows)
        assert sum(one.group.content.prompt.moments.total for one in found) == sum(row[1] for row in rows)
        assert sum(one.group.content.output.moments.squares for one in found) == sum(row[2] ** 2 for row in rows)
        assert sum(one.group.timeline.sum() for one in found) == len(rows)
        assert sum(one.group.rate_per_s or 0 for one in found) == pytest.approx((len(rows) - 1) / summary.timing.span_s)


def test_long_documents_are_a_class_of_their_own(summary: TraceSummary) -> None:
    assert summary.natural_count > 1
    by_length = sorted(summary.classes(), key=lambda one: one.group.content.prompt.moments.mean)
    assert by_length[-1].group.requests == 50
    assert by_length[-1].group.reused_share < 0.05
    assert by_length[-1].name.startswith("6.2k-in-")


@pytest.mark.parametrize("count", ["auto", 1, 4])
def test_traffic_goes_round(summary: TraceSummary, count: int | str) -> None:
    traffic = classes(summary, count)
    assert Traffic.model_validate(json.loads(traffic.model_dump_json())) == traffic
    rows = mixed_rows()
    assert traffic.requests_per_s == pytest.approx((len(rows) - 1) / summary.timing.span_s)
    found = sum(
        c.requests_per_s * (c.reused_tokens.shared + c.return_fraction * c.reused_tokens.private)
        for c in traffic.classes
    )
    measured = summary.whole.content.shared.total + summary.whole.content.private.total
    assert found == pytest.approx(measured / len(rows) * traffic.requests_per_s, rel=0.01)


def test_a_class_by_hand(write: Write) -> None:
    rows: list[Row] = [(0, 200, 10, [1, 2]), (10, 300, 20, [1, 2, 3]), (30, 400, 30, [1, 2, 3, 4])]
    traffic = classes(write(mooncake_lines(rows)), 1, Reading(block_tokens=100))
    assert traffic.classes == (
        RequestClass(
            "300-in-20-out-56pct-found",
            prompt_tokens=300,
            output_tokens=20,
            requests_per_s=2 / 30,
            prompt_cv=np.std([200, 300, 400]) / 300,
            output_cv=np.std([10, 20, 30]) / 20,
            burstiness=1 / 9,
            reused_tokens=Reuse(private=250, generated=0),
            idle_s=traffic.classes[0].idle_s,
            return_fraction=2 / 3,
            longest_tokens=430,
        ),
    )
    idle = traffic.classes[0].idle_s
    assert isinstance(idle, Idle)
    assert (idle.median, idle.p90) == pytest.approx((10, 20), rel=0.01)


def test_history_longer_than_the_mean_prompt_keeps_its_tokens(write: Write) -> None:
    short: list[Row] = [(float(place), 100, 10, [1_000 + place]) for place in range(60)]
    long: list[Row] = [(60.0 + place, 1_000, 10, list(range(10))) for place in range(4)]
    request_class = classes(write(mooncake_lines(short + long)), 1, Reading(block_tokens=100)).classes[0]
    assert request_class.reused_tokens == Reuse(private=155, generated=0)
    assert request_class.return_fraction * 155 == pytest.approx(3_000 / 64)


def test_one_instant_has_no_rate(write: Write) -> None:
    path = write(mooncake_lines([(5, 100, 1, [1])] * 3))
    summary = summarise(path)
    assert "3 requests in 0 s" in describe(summary)
    json.dumps(to_json(summary), allow_nan=False)
    charts(summary).to_json()
    with pytest.raises(BadInput, match=r"its 3 requests span 0 s; no rate of arrival follows"):
        classes(summary)


def test_a_single_request(write: Write) -> None:
    summary = summarise(write(["arrival_s,prompt_tokens,output_tokens", "3,10,20"]))
    assert (summary.requests, summary.natural_count, summary.token_hit_ratio) == (1, 1, None)
    json.dumps(to_json(summary), allow_nan=False)
    assert "records neither block hashes nor sessions" in describe(summary)


def test_report(summary: TraceSummary) -> None:
    text = describe(summary)
    for piece in (
        "mooncake trace",
        "requests/s on average; burstiness",
        "Timestamps come in ticks of",
        "p99",
        "shared by many",
        "Returns:",
    ):
        assert piece in text
    assert len([line for line in describe(summary, 4).splitlines() if "-in-" in line]) == 4
    assert max(map(len, text.splitlines())) < 180


def test_plain_data(summary: TraceSummary) -> None:
    found = json.loads(json.dumps(to_json(summary, 2), allow_nan=False))
    assert found["all"]["requests"] == summary.requests
    assert [one["requests"] for one in found["classes"]] == [one.group.requests for one in summary.classes(2)]
    assert Survival.from_plain(found["all"]["survival"]["private"]) == summary.whole.survival("private")
    assert set(found["all"]["index_of_dispersion"]) == {"1s", "10s", "60s"}


def test_charts(summary: TraceSummary) -> None:
    drawn = charts(summary, 2).to_dict()
    titles = [chart.get("title") or [inner["title"] for inner in chart["hconcat"]] for chart in drawn["vconcat"]]
    assert titles == ["Arrivals", ["Prompt length", "Output length"], "KV not used again"]
    bars = drawn["vconcat"][1]["hconcat"][0]["data"]["values"]
    assert sum(bar["share"] for bar in bars) == pytest.approx(1)
    assert "vega" in charts(summary).to_html()


def test_arrivals_carry_their_class(mixed: Path, summary: TraceSummary) -> None:
    found = list(arrivals(mixed, Reading(block_tokens=100), summary=summary, count=3))
    rows = mixed_rows()
    assert [(one.prompt_tokens, one.output_tokens, list(one.blocks)) for one in found] == [row[1:] for row in rows]
    assert [one.arrival_s for one in found] == [row[0] - rows[0][0] for row in rows]
    for one in summary.classes(3):
        assert sum(request.class_name == one.name for request in found) == one.group.requests
    assert {request.class_name for request in arrivals(mixed, Reading(block_tokens=100))} == {None}


def test_arrivals_of_labelled_classes(write: Write) -> None:
    path = write(["arrival_s,prompt_tokens,output_tokens,class", "0,10,20,a", "1,10,20,b", "2,10,20,"])
    summary = summarise(path)
    assert [one.class_name for one in arrivals(path, summary=summary)] == ["a", "b", "unnamed"]
    assert {one.class_name for one in arrivals(path, summary=summary, count=1)} == {"a + b + unnamed"}


def test_arrivals_are_read_as_they_are_asked_for(write: Write) -> None:
    lines = [f"{second},10,20" for second in range(200_000)]
    seen: list[int] = []
    path = write(["arrival_s,prompt_tokens,output_tokens", *lines])
    stream = arrivals(path, Reading(progress=lambda done, size: seen.append(done)))
    assert next(stream).arrival_s == 0
    assert not seen


def test_the_same_seed_gives_the_same_summary(mixed: Path) -> None:
    one, two = (json.dumps(to_json(summarise(mixed, Reading(block_tokens=100), seed=9))) for _ in range(2))
    assert one == two
