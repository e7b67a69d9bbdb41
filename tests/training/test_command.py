"""``rackplan train`` and training scenarios in ``rackplan solve``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import rackplan

SCENARIO = {
    "llm": {"config": "gpt-22b"},
    "cluster": {"builder": "hgx", "nodes": 1, "device": "a100"},
    "training": {"sequence_tokens": 2048, "global_batch_sequences": 4, "total_tokens": 3e11},
}


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "train.yaml"
    path.write_text(json.dumps(SCENARIO))
    return path


@pytest.mark.parametrize("command", ["train", "solve"])
def test_a_training_scenario_is_solved(command: str, scenario: Path, tmp_path: Path) -> None:
    written = tmp_path / "plan.json"
    ran = rackplan(command, scenario, "--json", "-o", written)
    assert ran.status == 0, ran.error
    plan = json.loads(ran.out)
    assert plan == json.loads(written.read_text())
    assert plan["objective"]["gap"] <= 0.01
    assert sum(sum(stage["layers"].values()) for stage in plan["stages"]) == 48
    tokens_per_s = 4 * 2048 / plan["iteration_s"]
    assert plan["objective"]["usd"] == pytest.approx(plan["objective"]["usd_per_hour"] / 3600 * 3e11 / tokens_per_s)


def test_cost_takes_the_devices_that_pay(scenario: Path) -> None:
    wide = ["--set", "cluster.nodes=4", "--set", "training.global_batch_sequences=64", "--json"]
    usd = {
        objective: json.loads(rackplan("train", scenario, *wide, "--set", f"objective={objective}").out)["objective"]
        for objective in ("cost", "throughput")
    }
    assert usd["cost"]["usd_per_million_tokens"] <= usd["throughput"]["usd_per_million_tokens"]


def test_an_llm_of_the_catalog_in_words(scenario: Path) -> None:
    ran = rackplan("train", scenario, "--set", "llm.config=llama-3.1-8b", "--set", "training.global_batch_sequences=64")
    assert ran.status == 0, ran.error
    assert "USD per million training tokens" in ran.out


def test_faults_are_one_line(scenario: Path) -> None:
    none = rackplan("train", scenario, "--set", "llm.config=gpt-1t")
    assert (none.status, none.error.count("\n")) == (1, 1)
    assert "devices hold the state" in none.error
    for wrong in ("training.sequence_tokens=0", "training.speed=3", "llm.config=gpt-22", "cluster.builder=hgxx"):
        ran = rackplan("train", scenario, "--set", wrong)
        assert (ran.status, ran.error.count("\n")) == (2, 1), ran.error
