"""``rackplan traffic show``, and scenarios whose traffic is a trace."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from command_line import rackplan


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """Two turns of forty sessions; the second repeats the first's blocks a minute later."""
    rows = []
    for session in range(40):
        first = list(range(100 * session, 100 * session + 4))
        rows.append({"timestamp": 3000 * session, "input_length": 2000, "output_length": 100, "hash_ids": first})
        again = {"timestamp": 3000 * session + 60_000, "input_length": 3000, "output_length": 100}
        rows.append(again | {"hash_ids": [*first[:3], 100 * session + 50, 100 * session + 51, 100 * session + 52]})
    rows.sort(key=lambda row: row["timestamp"])
    path = tmp_path / "trace.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_show_in_words_and_json(trace: Path) -> None:
    ran = rackplan("traffic", "show", trace, "--classes", 1)
    assert (ran.status, ran.error) == (0, "")
    assert "80 requests" in ran.out
    assert "Returns: 50.0% of requests" in ran.out
    told = json.loads(rackplan("traffic", "show", trace, "--json").out)
    assert told["requests"] == 80
    assert told["all"]["idle_s"]["median"] == pytest.approx(60, rel=0.02)


@pytest.mark.parametrize(("ending", "start"), [(".html", b"<!DOCTYPE html>"), (".svg", b"<svg"), (".png", b"\x89PNG")])
def test_charts(trace: Path, tmp_path: Path, ending: str, start: bytes) -> None:
    chart = tmp_path / f"chart{ending}"
    assert rackplan("traffic", "show", trace, "-o", chart).status == 0
    written = chart.read_bytes()
    assert written.lstrip().startswith(start)
    assert b"https://cdn" not in written


def test_broken_lines_are_counted_and_named(trace: Path) -> None:
    lines = trace.read_text().splitlines()
    lines[7] = "not json"
    trace.write_text("\n".join(lines))
    ran = rackplan("traffic", "show", trace)
    assert ran.status == 0
    assert "1 of 80 lines are broken" in ran.out
    assert "line 8" in ran.out
    trace.write_text("\n".join(["{}", *lines[:3], "nor this", "nor this"]))
    ran = rackplan("traffic", "show", trace)
    assert ran.status == 2
    assert ran.error.count("\n") == 1
    assert "broken" in ran.error


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--classes", "many"), "--classes 'many'"),
        (("--format", "mooncaek"), "mooncake"),
        (("-o", "chart.gif"), ".html, .svg, .png"),
    ],
)
def test_bad_options(trace: Path, arguments: tuple[str, ...], named: str) -> None:
    ran = rackplan("traffic", "show", trace, *arguments)
    assert ran.status == 2
    assert named in ran.error
    assert ran.error.count("\n") == 1


def test_empty_and_missing(tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    for path in (empty, tmp_path / "missing.jsonl"):
        ran = rackplan("traffic", "show", path)
        assert ran.status == 2
        assert path.name in ran.error
        assert ran.error.count("\n") == 1


def scenario(trace: Path, tmp_path: Path, **traffic: object) -> Path:
    content = {
        "llm": {"config": "llama-3.1-8b"},
        "cluster": {"builder": "hgx", "nodes": 1, "device": "h100", "devices_per_host": 4},
        "options": {"disaggregate": False},
        "traffic": {"trace": trace.name, "format": "mooncake", "classes": 2, **traffic},
        "slo": {"ttft_p95": "2s", "tpot_p95": "50ms"},
    }
    path = tmp_path / "scenario.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_a_scenario_may_name_a_trace(trace: Path, tmp_path: Path) -> None:
    named = scenario(
        trace, tmp_path, requests_per_s=5.0, slo={"ttft_p95": "1s"}, price_usd_per_million_output_tokens=2.0
    )
    plan, again = tmp_path / "plan.json", tmp_path / "again.json"
    ran = rackplan("solve", named, "-o", plan, "--seed", 1)
    assert ran.status == 0, ran.error
    traffic = json.loads(plan.read_text())["scenario"]["traffic"]
    assert len(traffic["classes"]) == 2
    assert "trace" not in traffic
    assert sum(c["requests_per_s"] for c in traffic["classes"]) == pytest.approx(5.0)
    assert all(
        c["slo"]["ttft_p95"] == 1.0 and c["price_usd_per_million_output_tokens"] == 2.0 for c in traffic["classes"]
    )
    trace.unlink()
    assert rackplan("check", plan).status == 0
    embedded = tmp_path / "embedded.json"
    embedded.write_text(json.dumps(json.loads(plan.read_text())["scenario"]))
    assert rackplan("solve", embedded, "-o", again, "--seed", 1).status == 0
    assert again.read_bytes() == plan.read_bytes()


def test_keys_that_mean_nothing_beside_a_trace(trace: Path, tmp_path: Path) -> None:
    ran = rackplan("solve", scenario(trace, tmp_path, clases=3))
    assert ran.status == 2
    assert "classes" in ran.error
    assert ran.error.count("\n") == 1
    ran = rackplan("solve", scenario(trace, tmp_path, requests_per_s=-1))
    assert ran.status == 2
    assert "requests_per_s" in ran.error
