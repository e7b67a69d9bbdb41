"""The witness accepts what the search writes and rejects it once anything in it was changed."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from solver.check.training import training_violations
from solver.optimize.training.solve import solve_training
from solver.training.instance import TrainingInstance
from solver.training.plan import TrainingPlan, dump_training
from solver.training.scenario import TrainingScenario

Content = dict[str, Any]

PINNED = {"tp": 2, "cp": 1, "pp": 4, "dp": 8, "ep": 16, "micro_batch": 1, "schedule": "interleaved", "chunks": 2}


def scenario(**more: Any) -> TrainingScenario:
    """Qwen3-30B-A3B on eight H100 hosts: experts over two hosts, interleaved stages."""
    training = {"sequence_tokens": 4096, "global_batch_sequences": 256, "total_tokens": 1e12}
    content: Content = {
        "llm": {"config": "qwen3-30b-a3b"},
        "cluster": {"builder": "hgx", "nodes": 8, "device": "h100"},
        "training": training,
        "layout": PINNED,
    }
    return TrainingScenario.from_mapping({**content, **more}, "test")


@pytest.fixture(scope="module")
def plan() -> TrainingPlan:
    return solve_training(scenario())


@pytest.fixture(scope="module")
def instance() -> TrainingInstance:
    return TrainingInstance.of(scenario())


def put(path: str, value: Any) -> Callable[[Content], None]:
    """Change one value; a function gets the old one."""

    def change(content: Content) -> None:
        *keys, last = [int(key) if key.isdecimal() else key for key in path.split(".")]
        here: Any = content
        for key in keys:
            here = here[key]
        here[last] = value(here[last]) if callable(value) else value

    change.__name__ = path
    return change


def more(value: float) -> float:
    return value * 1.02


def less(value: float) -> float:
    return value * 0.98


def swapped_ranks(content: Content) -> None:
    placement = content["placement"]
    placement[0], placement[-1] = placement[-1], placement[0]


def doubled_rank(content: Content) -> None:
    content["placement"][1] = content["placement"][0]


def forgotten_rank(content: Content) -> None:
    content["placement"].pop()


def forgotten_layer(content: Content) -> None:
    content["stages"][1]["parts"][0][1] -= 1


def layer_held_twice(content: Content) -> None:
    content["stages"][1]["parts"][0][0] -= 1


def swapped_parts(content: Content) -> None:
    first, second = content["stages"][1], content["stages"][2]
    for key in ("parts", "policies"):
        first[key], second[key] = second[key], first[key]


def forgotten_stage(content: Content) -> None:
    content["stages"].pop()


def another_policy(content: Content) -> None:
    runs = content["stages"][0]["policies"]
    runs[0]["policy"] = "full" if runs[0]["policy"] != "full" else "store"


def cheaper_with_a_gap_to_match(content: Content) -> None:
    objective = content["objective"]
    for key in ("usd_per_hour", "usd_per_million_tokens", "usd", "bound"):
        objective[key] *= 0.9


def dearer_bound(content: Content) -> None:
    objective = content["objective"]
    objective["bound"] = objective["usd_per_million_tokens"] * 1.1
    objective["gap"] = 0.0


def faster_all_through(content: Content) -> None:
    for stage in content["stages"]:
        stage["micro_batch_s"] *= 0.9
    step = content["prediction"]
    step["step_s"], step["days"] = step["step_s"] * 0.9, step["days"] * 0.9
    step["tokens_per_s"] /= 0.9


TAMPERINGS: list[Callable[[Content], None]] = [
    put("device", "h200"),
    put("domain", 4),
    put("precision", "fp8"),
    put("degrees.tp", 4),
    put("degrees.cp", 2),
    put("degrees.pp", 2),
    put("degrees.dp", 16),
    put("degrees.ep", 8),
    put("degrees.ep", 3),
    put("degrees.zero", 0),
    put("degrees.micro_batch", 2),
    put("degrees.schedule", "zero-bubble"),
    put("degrees.chunks", 3),
    put("degrees.overlap", lambda old: not old),
    put("degrees.sequence_parallel", False),
    put("degrees.async_hops", False),
    put("micro_batches", lambda old: old + 1),
    put("stages.0.micro_batch_s", less),
    put("stages.0.held_micro_batches", less),
    put("stages.0.memory.weights_bytes", less),
    put("stages.0.memory.gradients_bytes", less),
    put("stages.0.memory.optimiser_bytes", less),
    put("stages.0.memory.activations_bytes", less),
    put("stages.3.memory.head_bytes", less),
    put("stages.0.memory.capacity_bytes", more),
    put("traffic.0.slowdown", 0.5),
    put("traffic.0.busiest", None),
    put("prediction.step_s", less),
    put("prediction.tokens_per_s", more),
    put("prediction.mfu_causal", more),
    put("prediction.mfu_full", more),
    put("prediction.bubble_s", less),
    put("prediction.days", less),
    put("objective.usd_per_hour", less),
    put("objective.usd_per_million_tokens", less),
    put("objective.usd", less),
    put("objective.gap", 0.5),
    put("provenance.kernels", "blackwell"),
    swapped_ranks,
    doubled_rank,
    forgotten_rank,
    forgotten_layer,
    layer_held_twice,
    swapped_parts,
    forgotten_stage,
    another_policy,
    cheaper_with_a_gap_to_match,
    dearer_bound,
    faster_all_through,
]


def test_the_plan_is_accepted(plan: TrainingPlan) -> None:
    assert training_violations(plan) == []


def test_there_are_more_than_thirty_ways() -> None:
    assert len(TAMPERINGS) >= 30


@pytest.mark.parametrize("tamper", TAMPERINGS, ids=lambda one: one.__name__)
def test_a_tampered_plan_is_rejected(
    tamper: Callable[[Content], None], plan: TrainingPlan, instance: TrainingInstance
) -> None:
    content = json.loads(dump_training(plan))
    before = copy.deepcopy(content)
    tamper(content)
    assert content != before
    assert training_violations(TrainingPlan.model_validate(content), instance)


@pytest.mark.parametrize(
    "layout",
    [
        {"schedule": "dualpipe", "pp": 4, "dp": 16, "ep": 8},
        {"schedule": "dualpipe-v", "pp": 4, "dp": 16, "ep": 8},
        {"schedule": "1f1b", "pp": 3},
        {"schedule": "gpipe", "pp": 2},
        {"schedule": "zero-bubble", "pp": 4},
        {"pp": 1, "zero": 3},
        {"cp": 4, "exchange": "ring"},
    ],
    ids=str,
)
def test_plans_of_every_kind_are_accepted(layout: Content) -> None:
    training = {
        "sequence_tokens": 4096,
        "global_batch_sequences": 256,
        "total_tokens": 1e12,
        "framework": "any",
    }
    found = solve_training(scenario(training=training, layout={"micro_batch": 1, **layout}), time_limit_s=5.0)
    assert training_violations(found) == []


@pytest.mark.parametrize("version", ["2.0", "1.0x", "1."])
def test_another_version_is_refused(version: str, plan: TrainingPlan) -> None:
    with pytest.raises(ValueError, match="version"):
        TrainingPlan.model_validate(json.loads(dump_training(plan)) | {"schema_version": version})


def test_a_scenario_that_names_nothing_is_a_violation(plan: TrainingPlan) -> None:
    content = json.loads(dump_training(plan))
    content["scenario"]["cluster"]["builder"] = "hgxx"
    assert "cannot be used" in training_violations(TrainingPlan.model_validate(content))[0]
