"""A bound is proven once more by other rows and another solver, and a false one is not."""

from __future__ import annotations

import functools
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from solver.optimize.arithmetic.run import Effort
from solver.optimize.solve import solve_scenario
from solver.plan import Plan
from solver.proof import prove
from solver.workload import Scenario

BASE: dict[str, Any] = {
    "llm": {"config": "llama-3.1-8b"},
    "cluster": {"builder": "hgx", "nodes": 1, "device": "h100", "devices_per_host": 4},
    "traffic": {"classes": [{"name": "chat", "prompt_tokens": 1000, "output_tokens": 200, "requests_per_s": 30}]},
    "slo": {"ttft_p95": "1s", "tpot_p95": "25ms"},
    "billing": "device",
}
SCENARIOS: dict[str, dict[str, Any]] = {
    "cost": {},
    "throughput": {"objective": "throughput"},
    "hosts": {"billing": "host", "cluster": {"builder": "hgx", "nodes": 3, "device": "l40s", "devices_per_host": 4}},
    "apart": {"options": {"disaggregate": True}},
    "end to end": {"slo": {"e2e_p95": "6s"}},
    "owned": {"owned": True},
    "experts": {"llm": {"config": "qwen3-30b-a3b"}, "engine": "sglang"},
}


def rackplan(*words: object) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name("rackplan"), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@functools.cache
def solved(name: str) -> Plan:
    scenario = Scenario.from_mapping(BASE | SCENARIOS[name], "test")
    return solve_scenario(scenario, Effort(time_limit_s=60, seed=0)).plan


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_bound_of_the_search_follows(name: str) -> None:
    plan = solved(name)
    proof = prove(plan, seconds=120)
    assert proof.verdict == "follows", str(proof)
    assert proof.proven >= plan.objective.bound * (1 - 1e-5)


def forged(scenario: dict[str, Any]) -> Plan:
    """The best plan of four devices a replica, said to be the best of all."""
    pinned = {"constraints": {"pools": [{"role": "unified", "parallelism": {"tp": 4}}], "other_pools": False}}
    plan = solve_scenario(Scenario.from_mapping(scenario | pinned, "test"), Effort(time_limit_s=60, seed=0)).plan
    free = Scenario.from_mapping(scenario, "test")
    cost = plan.objective.usd_per_million_output_tokens
    objective = plan.objective.model_copy(update={"bound": cost, "gap": 0.0})
    inputs = {"scenario": hashlib.sha256(free.model_dump_json(by_alias=True).encode()).hexdigest()}
    provenance = plan.provenance.model_copy(update={"inputs": inputs})
    return plan.model_copy(update={"scenario": free, "objective": objective, "provenance": provenance})


@pytest.mark.parametrize("objective", ["cost", "throughput"])
def test_a_bound_that_somebody_made_up_is_refuted(objective: str, tmp_path: Path) -> None:
    """The witness takes a bound on trust; the proof does not."""
    plan = forged(BASE | {"objective": objective})
    proof = prove(plan, seconds=120)
    assert proof.verdict == "refuted", str(proof)
    assert "replicas of tp1" in proof.counterexample
    plan.save(tmp_path / "plan.json")
    trusted, judged = (rackplan("check", *words, tmp_path / "plan.json") for words in ([], ["--proof", "--json"]))
    assert trusted.returncode == 0, trusted.stderr
    assert judged.returncode == 1
    assert json.loads(judged.stdout)["proof"]["verdict"] == "refuted"


def test_what_these_rows_cannot_decide_is_said() -> None:
    """Survival raises a bound; the proof has no rows for it and says so."""
    three = {"builder": "hgx", "nodes": 3, "device": "h100", "devices_per_host": 4}
    survives = BASE | {"options": {"survive_domain_failures": 1}, "cluster": three}
    plan = solve_scenario(Scenario.from_mapping(survives, "test"), Effort(time_limit_s=60, seed=0)).plan
    proof = prove(plan, seconds=120)
    assert proof.verdict == "undecided", str(proof)
    assert "survival" in proof.outside
    assert 0 < proof.proven < plan.objective.bound
