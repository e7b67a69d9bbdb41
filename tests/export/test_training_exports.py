"""Training plans as arguments of frameworks: flags and types are those of the facts, and say what the plan says."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

import pytest

from solver.errors import BadInput, SolverDefect, UnknownName
from solver.export.training import (
    check_settings,
    export_training,
    megatron_settings,
    torchtitan_settings,
    training_facts,
)
from solver.optimize.training.solve import solve_training
from solver.training.instance import TrainingInstance
from solver.training.plan import TrainingPlan
from solver.training.scenario import TrainingScenario

LAYOUTS: list[tuple[str, dict[str, Any]]] = [
    ("megatron", {"pp": 4, "schedule": "interleaved", "chunks": 2, "ep": 16}),
    ("megatron", {"pp": 1, "zero": 3}),
    ("megatron", {"cp": 4, "exchange": "gather", "pp": 2}),
    ("torchtitan", {"pp": 4, "schedule": "dualpipe-v", "dp": 16, "ep": 8}),
    ("torchtitan", {"cp": 2, "pp": 2}),
    ("torchtitan", {"pp": 1, "zero": 2}),
]


def plan_of(framework: str, layout: dict[str, Any], **training: Any) -> TrainingPlan:
    content = {
        "llm": {"config": "qwen3-30b-a3b"},
        "cluster": {"builder": "hgx", "nodes": 8, "device": "h100"},
        "training": {
            "sequence_tokens": 4096,
            "global_batch_sequences": 256,
            "total_tokens": 1e12,
            "framework": framework,
            **training,
        },
        "layout": {"micro_batch": 1, **layout},
    }
    return solve_training(TrainingScenario.from_mapping(content, "test"), time_limit_s=5.0)


@pytest.mark.parametrize(("framework", "layout"), LAYOUTS, ids=str)
def test_every_flag_is_a_fact(framework: str, layout: dict[str, Any]) -> None:
    plan = plan_of(framework, layout, precision="fp8", moments="bf16" if framework == "megatron" else "fp32")
    instance = TrainingInstance.of(plan.scenario)
    settings = {"megatron": megatron_settings, "torchtitan": torchtitan_settings}[framework](plan, instance)
    assert check_settings(framework, settings) == settings
    bundle = export_training(plan, framework)
    hosts = json.loads(bundle.files["hosts.json"])
    assert [device for host in hosts for device in host["devices"]] == list(plan.placement)
    if framework == "megatron":
        flags = re.findall(r"^  --([\w-]+)", bundle.files["train.sh"], re.MULTILINE)
        assert set(flags) == set(settings) <= set(training_facts("megatron")["flags"])
    else:
        job = tomllib.loads(bundle.files["job.toml"])
        degrees = plan.degrees
        assert job["parallelism"]["tensor_parallel_degree"] == degrees.tp
        assert job["parallelism"]["data_parallel_shard_degree"] == degrees.dp


def test_the_pipeline_layout_names_every_layer_once() -> None:
    plan = plan_of(*LAYOUTS[0])
    settings = megatron_settings(plan, TrainingInstance.of(plan.scenario))
    layout = settings["pipeline-model-parallel-layout"]
    assert (layout.count("t"), layout.count("E"), layout.count("L"), layout.count("|")) == (48, 1, 1, 7)
    assert settings["global-batch-size"] == 256 == plan.micro_batches * plan.degrees.dp * settings["micro-batch-size"]


def test_torchtitan_modules_name_every_layer_once() -> None:
    plan = plan_of(*LAYOUTS[3])
    parts = torchtitan_settings(plan, TrainingInstance.of(plan.scenario))["parallelism.module_fqns_per_model_part"]
    named = [name for part in parts for name in part]
    assert named == ["tok_embeddings", *(f"layers.{n}" for n in range(48)), "norm", "output"]
    assert len(parts) == 8


def test_what_a_framework_lacks_is_refused() -> None:
    plan = plan_of(*LAYOUTS[3])
    with pytest.raises(BadInput, match="megatron has no schedule dualpipe-v"):
        export_training(plan, "megatron")
    with pytest.raises(UnknownName, match="training framework"):
        export_training(plan, "vllm")


@pytest.mark.parametrize(
    "settings",
    [{"tensor-parallel": 8}, {"tensor-model-parallel-size": "8"}, {"recompute-granularity": "some"}],
    ids=str,
)
def test_what_no_fact_knows_is_never_written(settings: dict[str, Any]) -> None:
    with pytest.raises(SolverDefect):
        check_settings("megatron", settings)


def test_facts_are_dated() -> None:
    for target in ("megatron", "torchtitan"):
        facts = training_facts(target)
        assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", facts["as_of"])
        assert facts["source"]
