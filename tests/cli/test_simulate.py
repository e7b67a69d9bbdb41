"""``rackplan simulate`` and ``rackplan solve --confirm`` from the command line."""

from __future__ import annotations

import json
import random

import pytest
from command_line import rackplan

SCENARIO = """\
llm: {config: llama-3.1-8b}
cluster: {builder: hgx, nodes: 1, device: h100}
traffic: {classes: [{name: chat, prompt_tokens: 1500, output_tokens: 120, requests_per_s: 30}]}
slo: {ttft_p95: 1s, tpot_p95: 20ms}
billing: device
options: {disaggregate: false}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = tmp_path_factory.mktemp("simulate")
    (found / "scenario.yaml").write_text(SCENARIO)
    ran = rackplan("solve", found / "scenario.yaml", "--seed", 1, "-o", found / "plan.json")
    assert ran.status == 0, ran.error
    return found


def trace(path, rate, seconds=60.0, seed=1):
    """A table of Azure's columns with Poisson arrivals that come in spells: half of the time twice the rate."""
    draws, now = random.Random(seed), 0.0
    rows = ["TIMESTAMP,ContextTokens,GeneratedTokens"]
    while now < seconds:
        now += draws.expovariate(rate * (1.6 if int(now / 5) % 2 else 0.4))
        rows.append(f"2023-11-16 18:{int(now // 60):02d}:{now % 60:010.7f},{draws.randint(1000, 2000)},120")
    path.write_text("\n".join(rows) + "\n")
    return path


def test_a_replay_as_numbers(folder):
    ran = rackplan("simulate", folder / "plan.json", "--requests", 3000, "--seed", 4, "--json")
    assert ran.status == 0, ran.error
    told = json.loads(ran.out)
    assert told["arrived"] == told["finished"] + told["refused"] + told["under_way"]
    assert told["simulated"]["ttft_p95_s"] == pytest.approx(told["predicted"]["ttft_p95_s"], rel=0.3)
    assert {pool["role"] for pool in told["pools"]} <= {"prefill", "decode", "unified"}
    assert rackplan("simulate", folder / "plan.json", "--requests", 3000, "--seed", 4, "--json").out == ran.out


def test_a_replay_in_words_and_charts(folder, tmp_path):
    page = tmp_path / "replay.html"
    ran = rackplan("simulate", folder / "plan.json", "--requests", 2000, "-o", page)
    assert ran.status == 0, ran.error
    assert "predicted" in ran.out
    assert "kept: TTFT p95 of class 'chat'" in ran.out
    assert "<svg" in page.read_text() or "vega" in page.read_text().lower()


def test_too_much_traffic_is_missed(folder):
    ran = rackplan("simulate", folder / "plan.json", "--requests", 3000, "--rate", "x4")
    assert ran.status == 0, ran.error
    assert "MISSED" in ran.out


def test_a_host_that_fails_and_recovers_loses_nobody(folder):
    fail = ["--fail", "rack0/host0@10s+20s"]
    told = json.loads(rackplan("simulate", folder / "plan.json", "--requests", 2000, *fail, "--json").out)
    assert told["requeued"] > 0
    assert told["under_way"] == 0
    assert told["finished"] == told["arrived"]


def test_a_trace_is_replayed_whole(folder, tmp_path):
    path = trace(tmp_path / "trace.csv", rate=20)
    told = json.loads(rackplan("simulate", folder / "plan.json", "--trace", path, "--json").out)
    assert told["arrived"] == len(path.read_text().splitlines()) - 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--rate", "fast"], "--rate 'fast'"),
        (["--fail", "rack7@5s"], "no device is, or is in, 'rack7'"),
        (["--fail", "rack0"], "--fail 'rack0'"),
        (["--trace", "nowhere.csv"], "nowhere.csv"),
        (["-o", "replay.txt"], "replay.txt"),
    ],
)
def test_what_makes_no_sense_is_bad_input(folder, arguments, says):
    ran = rackplan("simulate", folder / "plan.json", *arguments)
    assert ran.status == 2
    assert says in ran.error
    assert ran.error.count("\n") == 1


def test_a_plan_is_confirmed(folder, tmp_path):
    plan = tmp_path / "plan.json"
    ran = rackplan("solve", folder / "scenario.yaml", "--seed", 1, "--confirm", "-o", plan)
    assert ran.status == 0, ran.error
    assert "confirmed in 3 replays" in ran.out
    assert json.loads(plan.read_text())["confirmation"]["kept"]
    assert rackplan("check", plan).status == 0


def test_a_glance_is_the_default(folder, tmp_path):
    """One short replay, the same twice with a seed; none where that is asked for."""
    plans = [tmp_path / "one.json", tmp_path / "other.json"]
    for plan in plans:
        ran = rackplan("solve", folder / "scenario.yaml", "--seed", 1, "-o", plan)
        assert "confirmed in a replay of" in ran.out
    assert plans[0].read_text() == plans[1].read_text()
    ran = rackplan("solve", folder / "scenario.yaml", "--seed", 1, "--no-confirm", "-o", plans[0])
    assert "replay" not in ran.out
    assert json.loads(plans[0].read_text())["confirmation"] is None


def test_a_plan_is_confirmed_with_what_really_came(folder, tmp_path):
    """The mean rate of a trace that comes in spells needs more than its mean; the plan holds for another such day."""
    path, plan = trace(tmp_path / "day.csv", rate=60), tmp_path / "plan.json"
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text(SCENARIO.replace("{classes: [{name: chat, prompt_tokens: 1500, output_tokens: 120, "
                                         "requests_per_s: 30}]}", f"{{trace: {path}, classes: 1}}"))  # fmt: skip
    ran = rackplan("solve", scenario, "--seed", 1, "--confirm-trace", path, "-o", plan)
    assert ran.status == 0, ran.error
    assert "confirmed in day.csv" in ran.out
    assert json.loads(plan.read_text())["confirmation"]["traces"] == ["day.csv"]
    another = trace(tmp_path / "another.csv", rate=60, seed=2)
    assert "MISSED" not in rackplan("simulate", plan, "--trace", another).out


def test_without_promises_there_is_nothing_to_confirm(folder):
    scenario = folder / "scenario.yaml"
    ran = rackplan("solve", scenario, "--seed", 1, "--set", "slo={}", "--set", "traffic.classes.0.slo=null")
    assert ran.status == 0, ran.error
    assert "not replayed: nothing was promised" in ran.out
