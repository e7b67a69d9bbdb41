"""How much of a KV cache a running sequence keeps from others, by what its engine promises it."""

from __future__ import annotations

import numpy as np
import pytest

import topologies
from solver.cost.calibration import Calibration, packaged
from solver.cost.pool.mix import Mix
from solver.cost.pool.serving import sequences_that_fit
from solver.cost.steps.replicas import Replicas
from solver.llm import LLM
from solver.replica import Engine, Parallelism, Role, Setup
from solver.workload import RequestClass

CHAT = RequestClass("chat", prompt_tokens=1000, output_tokens=3000, requests_per_s=1.0)


def replica(engine: Engine, role: Role = "unified", shape: Parallelism | None = None, llm: str = "llama-3.1-8b") -> Replicas:
    calibration = packaged(engine, "hopper")[0]
    setup = Setup(role, engine, shape or Parallelism())
    return Replicas.of(LLM.from_config(llm), topologies.device("h100"), calibration, [setup])


@pytest.mark.parametrize("kept", [0.0, 0.3, 1.0])
def test_room_is_what_sequences_met_at_random_hold(kept: float) -> None:
    """Ten thousand sequences, each somewhere in its output."""
    made = np.random.default_rng(1).random(10_000)
    held = 1000 + 3000 * (made + kept * (1 - made))
    mean, deviation = Mix.of([CHAT]).held(np.array([kept]))
    assert mean[0] == pytest.approx(held.mean(), rel=0.01)
    assert deviation[0] == pytest.approx(held.std(), rel=0.02, abs=1e-6)


def test_who_keeps_more_lets_fewer_in() -> None:
    """All outputs whole against half of them, on average: 4,000 tokens a sequence against 2,500."""
    mix = Mix.of([CHAT])
    found: dict[Engine, float] = {}
    for engine in ("vllm", "sglang", "trtllm"):
        pool = replica(engine)
        found[engine] = float(sequences_that_fit(pool, mix)[0] / pool.ledger.kv_room[0, 0])
        held = pool.requests_held(1000.0, 3000.0) / pool.ledger.requests(np.array([2500.0]))
        assert held[0] == pytest.approx(2500 / (2500 + 1500 * pool.kept_output[0]), rel=0.01)
    assert found["vllm"] > found["sglang"] > found["trtllm"]


def test_sglang_keeps_less_under_attention_dp_and_a_number_of_tokens_where_decode_is_apart() -> None:
    shape = Parallelism(tp=1, dp=8, ep=8)
    kept = {
        (role, dp): (pool.kept_output[0], pool.kept_tokens[0])
        for role, dp, pool in (
            ("unified", 1, replica("sglang")),
            ("unified", 8, replica("sglang", shape=shape, llm="qwen3-30b-a3b")),
            ("decode", 8, replica("sglang", "decode", shape, "qwen3-30b-a3b")),
            ("prefill", 1, replica("sglang", "prefill")),
        )
    }
    assert kept == {
        ("unified", 1): (0.098, 0.0),
        ("unified", 8): (0.0294, 0.0),
        ("decode", 8): (0.0, 512.0),
        ("prefill", 1): (0.0, 0.0),
    }


def test_a_calibration_that_still_has_an_indexer_is_read() -> None:
    content = packaged("sglang", "hopper")[0].to_json()
    content["parameters"]["indexer_s"] = {"value": 3e-5}
    assert Calibration.from_json(content, "earlier").to_json() == packaged("sglang", "hopper")[0].to_json()
