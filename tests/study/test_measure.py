"""Load tests for what a plan rests on: expected figures, their order, and scripts that a shell understands."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from command_line import rackplan

from solver import Scenario
from solver.optimize.solve import solve_scenario
from solver.plan import Plan
from solver.study.bench import bench
from solver.study.given import GivenPool, predict_pools
from solver.study.load_testers import TESTERS
from solver.study.measure import LEAST_REQUESTS, NOT_ALONE, ROUNDS, load_tests, lone

CONTENT = {
    "llm": {"config": "llama-3.1-8b"},
    "cluster": {"builder": "hgx", "nodes": 1, "device": "h100"},
    "traffic": {"classes": [{"name": "chat", "prompt_tokens": 1000, "output_tokens": 200, "requests_per_s": 20}]},
    "slo": {"ttft_p95": "1s", "tpot_p95": "12ms"},
}


@pytest.fixture(scope="module", params=["unified", "apart"])
def plan(request: pytest.FixtureRequest) -> Plan:
    roles = ["unified"] if request.param == "unified" else ["prefill", "decode"]
    return solve_scenario(Scenario.from_mapping(CONTENT | {"constraints": {"roles": roles}}, "test")).plan


def test_runs_are_ordered_by_what_hangs_on_them(plan: Plan) -> None:
    tests = load_tests(plan)
    assert sum(test.share for test in tests) == pytest.approx(1)
    assert [test.worth for test in tests] == sorted((test.worth for test in tests), reverse=True)
    for test in tests:
        rests_on = [each for each in plan.pool(test.pool).rests_on if each.mechanism not in NOT_ALONE]
        assert test.runs == min(each.engine_runs for each in rests_on)
        assert test.requests == max(ROUNDS * test.concurrency, LEAST_REQUESTS)
        assert test.device_hours == pytest.approx(test.devices * test.seconds / 3600)


def test_figures_are_those_of_predict(plan: Plan) -> None:
    """What ``predict`` says of the layout, asked for by itself, within the ranges' middle."""
    for test in load_tests(plan):
        pool = plan.pool(test.pool)
        given = {
            "llm": "llama-3.1-8b",
            "device": "h100",
            "role": "prefill" if pool.role == "prefill" else "unified",
            "engine": f"{pool.engine}@{pool.engine_version}",
            "parallelism": {"tp": pool.parallelism.tp, "pp": pool.parallelism.pp},
            "chunk_tokens": pool.chunk_tokens,
            "prompt_tokens": test.prompt_tokens,
            "output_tokens": test.output_tokens,
            "concurrency": test.concurrency,
        }
        predicted = predict_pools([GivenPool.read(given, "test")])[0]
        name = "ttft_ms" if pool.role == "prefill" else "tpot_ms"
        assert test.expected[name].value == pytest.approx(predicted[name], rel=1e-3)
        for figure in test.expected.values():
            assert figure.low < figure.value < figure.high


def test_closed_loops_obey_littles_law(plan: Plan) -> None:
    """Requests in flight = rate x (TTFT + the other tokens' TPOT); the median TTFT stands for its mean."""
    for test in load_tests(plan):
        figures = {name: figure.value for name, figure in test.expected.items()}
        if "tpot_ms" in figures:
            stay_s = (figures["ttft_p50_ms"] + test.output_tokens * figures["tpot_ms"]) / 1e3
            assert figures["requests_per_s"] * stay_s == pytest.approx(test.concurrency, rel=0.1)
            assert figures["output_tokens_per_s"] == pytest.approx(figures["requests_per_s"] * test.output_tokens)


def test_a_lone_replica_serves_whole_requests(plan: Plan) -> None:
    for test in load_tests(plan):
        alone = lone(plan, test.pool)
        assert [pool.role for pool in alone.pools] == ["unified"]
        assert len(alone.placement) == test.devices
        started = bench(plan, [test]).files[f"1-{test.pool}/deploy/{test.pool}.sh"]
        assert "kv-transfer" not in started
        assert f"--tensor-parallel-size {plan.pool(test.pool).parallelism.tp} " in started


def test_scripts_are_understood_and_say_lengths_and_load(plan: Plan) -> None:
    tests = load_tests(plan)
    files = bench(plan, tests).files
    for place, test in enumerate(tests, 1):
        for tester in TESTERS:
            text = files[f"{place}-{test.pool}/{tester}.sh"]
            ran = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True, check=False)
            assert ran.returncode == 0, ran.stderr
            numbers = (test.concurrency, test.requests, test.prompt_tokens, test.output_tokens)
            assert all(str(number) in text for number in numbers)


def test_the_command_writes_them(plan: Plan, tmp_path: Path) -> None:
    file, folder = tmp_path / "plan.json", tmp_path / "bench"
    plan.save(file)
    ran = rackplan("measure", file, "-o", folder, "--runs", 1, "--json")
    assert ran.status == 0, ran.error
    first = load_tests(plan)[0]
    assert [test["pool"] for test in json.loads(ran.out)] == [first.pool]
    assert json.loads((folder / f"1-{first.pool}" / "expected.json").read_text())["concurrency"] == first.concurrency
    assert "rests on" in (folder / "README.md").read_text()
    assert "expect" in rackplan("measure", file).out
