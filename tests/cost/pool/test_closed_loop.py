"""Closed loops: what fits runs, what does not waits, and prompts share steps."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median

import numpy as np
import pytest

import topologies
from solver.cost.calibration import packaged
from solver.cost.pool.closed_loop import closed_loop, prefill_loop
from solver.cost.steps.replicas import Replicas
from solver.errors import BadInput
from solver.llm import LLM
from solver.replica import Parallelism, Setup
from solver.study.given import GivenPool, predict_pools


def one(value: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([float(value)])


def replica(role: str = "unified", chunk: int = 8192, name: str = "llama-3.1-8b") -> Replicas:
    setup = Setup("prefill" if role == "prefill" else "unified", "vllm", Parallelism(), chunk_tokens=chunk)
    return Replicas.of(LLM.from_config(name), topologies.device("h100"), packaged("vllm", "hopper")[0], [setup])


def test_what_finds_no_room_waits_for_its_first_token() -> None:
    """A hundred in flight where eight fit run as eight do; the others' wait is Little's law outside the door."""
    pool, prompt, output = replica(), one(4000), one(200)
    few = closed_loop(pool, one(8), prompt, output)
    many = closed_loop(pool, one(100), prompt, output, most=one(8))
    assert many.tpot_s == pytest.approx(few.tpot_s)
    assert many.batch == pytest.approx(few.batch)
    assert many.waiting[0] == 92
    assert few.waiting[0] == 0
    rate = few.output_tokens_per_s(one(8), output)
    assert many.output_tokens_per_s(one(100), output) == pytest.approx(rate)
    assert many.ttft_s[0] > 10 * few.ttft_s[0]


def test_a_limit_that_is_not_reached_changes_nothing() -> None:
    pool, load = replica(), one(32)
    free, limited = (closed_loop(pool, load, one(1000), one(500), most=most) for most in (np.inf, 32.0))
    assert free.tpot_s == limited.tpot_s
    assert free.ttft_s == limited.ttft_s


def test_prompts_that_come_together_share_a_step() -> None:
    """Short outputs bring prompts faster than steps end: a chunk that holds many lets them in sooner than one of one."""
    pool, load = replica(), one(200)
    packed = closed_loop(pool, load, one(100), one(8))
    alone = closed_loop(replica(chunk=100), load, one(100), one(8))
    assert packed.ttft_s[0] < 0.8 * alone.ttft_s[0]


def test_a_prefill_step_is_packed_up_to_the_token_budget() -> None:
    pool, prompt = replica("prefill"), one(128)
    rates = [float(prefill_loop(pool, one(c), prompt).prompts_per_s[0]) for c in (1, 16, 64, 256)]
    assert rates == sorted(rates)
    assert rates[2] > 4 * rates[0]
    assert prefill_loop(pool, one(256), prompt).batch[0] == 8192 // 128
    long = [float(prefill_loop(pool, one(c), one(4096)).batch[0]) for c in (1, 2, 64)]
    assert long == [1, 2, 2]


def test_one_prompt_in_flight_is_one_prompt() -> None:
    """Nothing is ahead of it: its own time, and a rate of one over that."""
    found = prefill_loop(replica("prefill"), one(1), one(2000))
    latency, _, _ = replica("prefill").prompt_s(one(2000), 0.0)
    cal = packaged("vllm", "hopper")[0]
    assert found.ttft_s[0] == pytest.approx(cal.server_s + cal.admission_s + cal.first_token * latency[0])
    assert found.prompts_per_s[0] * found.ttft_s[0] == pytest.approx(1.0)


def test_more_in_flight_than_fits_is_said_in_every_role() -> None:
    given = {"llm": "qwen3-32b", "device": "h100", "prompt_tokens": 8000, "output_tokens": 200, "concurrency": 500}
    for role in ("unified", "decode", "prefill"):
        found = predict_pools([GivenPool.read(given | {"role": role}, "test")])[0]
        assert found["waiting_per_rank"] > 400
        assert any("fit" in note for note in found["extrapolated"])


def test_saturated_reports_are_near(shared_data: Path) -> None:
    """gpustack's saturated runs of 2,000 to 32,000 tokens, which were up to 40x off; none was used to set anything."""
    runs = json.loads((shared_data / "measured" / "reported.json").read_text(encoding="utf-8"))["runs"]
    errors = []
    for run in runs:
        pool = run["pool"]
        if not run["source"].startswith("gpustack performance-lab") or pool["prompt_tokens"] < 2000:
            continue
        if isinstance(pool["llm"], str) and pool["llm"].startswith("configs/"):
            continue
        found = predict_pools([GivenPool.read(pool, "test")])[0]
        errors.append(abs(found["tpot_ms"] / run["measured"]["tpot"] - 1))
    assert len(errors) == 17
    assert median(errors) <= 0.2
    assert max(errors) <= 0.75


def test_a_prefill_pool_takes_short_prompts_together_at_any_rate() -> None:
    """At 300 prompts/s several come within every step: one a step would not be served."""
    given = {"llm": "llama-3.1-8b", "device": "h100", "role": "prefill", "prompt_tokens": 128, "output_tokens": 1}
    found = predict_pools([GivenPool.read(given | {"requests_per_s": 300}, "test")])[0]
    assert found["step_ms"] * 300 / 1000 > 2
    assert found["prompt_tokens_per_s_per_device"] == pytest.approx(300 * 128, rel=1e-3)


def test_the_room_is_said_in_the_tokens_that_engines_log() -> None:
    """vLLM logs 1,391,552 tokens for Llama-3.3-70B-FP8 on four H200 (vllm-memory-estimator, record 60aeae69)."""
    given = {"llm": "llama-3.3-70b", "weights": "fp8", "device": "h200", "parallelism": {"tp": 4}, "kv_cache": "bf16"}
    found = predict_pools([GivenPool.read(given | {"prompt_tokens": 8000, "output_tokens": 192}, "test")])[0]
    assert found["kv_tokens_per_rank"] == pytest.approx(1_391_552, rel=0.03)


def test_what_does_not_fit_is_told_which_fraction_would() -> None:
    """DeepSeek-R1 on eight H20 fills what SGLang's automatic reserve leaves; operators set the fraction."""
    given = {"llm": "deepseek-r1", "device": "h20", "engine": "sglang", "parallelism": {"tp": 8}, "prompt_tokens": 4096}
    with pytest.raises(BadInput, match=r"memory fraction of 0\.95"):
        predict_pools([GivenPool.read(given, "test")])
    assert predict_pools([GivenPool.read(given | {"memory_fraction": 0.95}, "test")])[0]["waiting_per_rank"] == 0


def test_a_lone_request_waits_for_nobody() -> None:
    """Alone: the server, and its own steps. Beside many: their steps, and the host that serves everybody in turn."""
    pool, prompt, output = replica(), one(128), one(128)
    cal = packaged("vllm", "hopper")[0]
    alone = closed_loop(pool, one(1), prompt, output)
    latency, _, _ = pool.prompt_s(prompt, 0.0, one(1), prompt + output / 2)
    assert alone.ttft_s[0] == pytest.approx(cal.server_s + latency[0])
    assert closed_loop(pool, one(64), prompt, output).ttft_s[0] > alone.ttft_s[0] + 0.8 * cal.admission_s


def test_rare_looks_for_new_requests_cost_half_their_interval() -> None:
    """A scheduler that looks every 30 steps: 14.5 steps more to the first token; prompts that wait together share a step."""
    pool, load, prompt, output = replica(), one(8), one(100), one(2000)
    always, rarely = (closed_loop(pool, load, prompt, output, poll_steps=steps) for steps in (1.0, 30.0))
    assert rarely.ttft_p50_s - always.ttft_p50_s == pytest.approx(14.5 * rarely.tpot_s, rel=0.1)
    assert rarely.tpot_s == pytest.approx(always.tpot_s, rel=0.01)
    # Whoever is alone finds the scheduler looking.
    alone = [closed_loop(pool, one(1), prompt, output, poll_steps=steps).ttft_s for steps in (1.0, 30.0)]
    assert alone[0] == pytest.approx(alone[1])
