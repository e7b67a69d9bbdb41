"""``rackplan train`` and training scenarios in ``rackplan solve``."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from command_line import rackplan

from solver.training.fields import fields_of
from solver.training.scenario import TrainingScenario

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
    assert sum(b - a + 1 for stage in plan["stages"] for a, b in stage["parts"]) == 48
    tokens_per_s = 4 * 2048 / plan["prediction"]["step_s"]
    assert plan["objective"]["usd"] == pytest.approx(plan["objective"]["usd_per_hour"] / 3600 * 3e11 / tokens_per_s)
    assert len(set(plan["placement"])) == 8


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
    assert "causal attention" in ran.out


def test_reversible_layers_stand_beside_plain_ones(scenario: Path) -> None:
    ran = rackplan("train", scenario, "--set", "training.framework=any", "--set", "training.reversible=true")
    assert ran.status == 0, ran.error
    dearer = re.search(r"not reversible: .* tokens, \+(\d+\.\d)%", ran.out)
    assert dearer, "to be allowed to reverse never costs more"


def test_pinned_degrees_stay(scenario: Path) -> None:
    pins = ["--set", "layout.tp=8", "--set", "layout.pp=1", "--set", "layout.micro_batch=2"]
    degrees = json.loads(rackplan("train", scenario, *pins, "--json").out)["degrees"]
    assert (degrees["tp"], degrees["pp"], degrees["micro_batch"]) == (8, 1, 2)


def test_a_lost_host_is_done_without_and_the_others_stay(scenario: Path, tmp_path: Path) -> None:
    wide = ["--set", "cluster.nodes=4", "--set", "training.global_batch_sequences=64"]
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    assert rackplan("train", scenario, *wide, "-o", before).status == 0
    ran = rackplan("train", before, "--from", before, "--without", "rack0/host1", "-o", after)
    assert ran.status == 0, ran.error
    old, new = (json.loads(path.read_text())["placement"] for path in (before, after))
    assert not any(device.startswith("rack0/host1/") for device in new)
    assert sum(a == b for a, b in zip(old, new, strict=False)) >= 16


def test_what_a_generation_lends_is_said(scenario: Path) -> None:
    ran = rackplan("train", scenario, "--set", "cluster.device=mi300x", "--set", "prices={mi300x: 2.0}")
    assert ran.status == 0, ran.error
    assert "no training kernel was measured on cdna3" in ran.out


def test_every_field_is_in_the_help_with_an_example() -> None:
    lines = rackplan("train", "--help").out.splitlines()
    listed = lines[lines.index("Fields of a scenario, each with an example:") + 1 :]
    paths = [path for path, _ in fields_of(TrainingScenario)]
    assert [line.split(":")[0] for line in listed] == paths
    assert {"training.precision", "layout.cp", "options.gap"} <= set(paths)
    assert all(info.description and info.examples for _, info in fields_of(TrainingScenario))


def test_explain_diff_view_and_export(scenario: Path, tmp_path: Path) -> None:
    before, after, page = tmp_path / "a.json", tmp_path / "b.json", tmp_path / "a.html"
    assert rackplan("train", scenario, "-o", before, "--html", page).status == 0
    assert rackplan("train", scenario, "--set", "layout.tp=8", "-o", after).status == 0
    told = rackplan("explain", before).out
    assert "of a step:" in told
    assert "10 % more HBM" in told
    assert "one more rack" in told
    changes = rackplan("diff", before, after).out
    assert "tp: " in changes
    assert "a step: " in changes
    assert rackplan("diff", before, before).out == "the plans are the same\n"
    assert page.read_text().startswith("<!doctype html>")
    assert rackplan("export", before, "--engine", "megatron", "-o", tmp_path / "out").status == 0
    assert (tmp_path / "out" / "train.sh").exists()
    refused = rackplan("export", before, "--engine", "vllm", "-o", tmp_path / "out")
    assert (refused.status, refused.error.count("\n")) == (2, 1)
    assert rackplan("check", before).status == rackplan("check", after).status == 0


def test_faults_are_one_line(scenario: Path) -> None:
    none = rackplan("train", scenario, "--set", "llm.config=gpt-1t")
    assert (none.status, none.error.count("\n")) == (1, 1)
    assert "devices hold the state" in none.error
    for wrong in (
        "training.sequence_tokens=0",
        "training.speed=3",
        "llm.config=gpt-22",
        "cluster.builder=hgxx",
        "training.precision=fp8",
        "training.reversible=true",
    ):
        ran = rackplan("train", scenario, "--set", wrong)
        assert (ran.status, ran.error.count("\n")) == (2, 1), ran.error


def test_a_training_plan_is_not_shown_beside_another(scenario: Path, tmp_path: Path) -> None:
    plan, page = tmp_path / "plan.json", tmp_path / "both.html"
    assert rackplan("train", scenario, "-o", plan).status == 0
    ran = rackplan("view", plan, "--beside", plan, "-o", page)
    assert (ran.status, page.exists()) == (2, False)
    assert "rackplan diff compares" in ran.error
