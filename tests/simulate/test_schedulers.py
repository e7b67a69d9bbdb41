"""Every engine's scheduler: the replay lets requests in as the price says, at light load and where a rank is nearly full."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest
from queues import Proportional

from solver.check.evidence import Evidence
from solver.cost.instance import Instance
from solver.engines import engine_rules
from solver.optimize.arithmetic.run import Effort
from solver.optimize.solve import solve_scenario
from solver.plan import Plan
from solver.simulate import Run, replay
from solver.simulate.meters import PoolMeter
from solver.simulate.requests import Arrival, ServedRequest
from solver.simulate.train import Room
from solver.simulate.unified import Chunking, UnifiedRank
from solver.workload import Scenario


def one_rank(engine: str, rate: float, prompt: int = 1000, output: int = 200) -> Plan:
    """Llama-3.1-8B on one H100, prompts and outputs together, at a rate that it keeps up with."""
    content = {
        "llm": {"config": "llama-3.1-8b"},
        "cluster": {"builder": "hgx", "nodes": 1, "device": "h100"},
        "traffic": {
            "classes": [{"name": "chat", "prompt_tokens": prompt, "output_tokens": output, "requests_per_s": rate}]
        },
        "slo": {"ttft_p95": "20s", "tpot_p95": "500ms"},
        "engine": engine,
        "constraints": {
            "roles": ["unified"],
            "pools": [{"role": "unified", "parallelism": {"tp": 1, "pp": 1}, "replicas": 1}],
            "other_pools": False,
        },
    }
    return solve_scenario(Scenario.from_mapping(content, "one rank"), Effort(time_limit_s=60, workers=1, seed=1)).plan


@pytest.mark.parametrize(
    ("engine", "prompt", "rate", "within"),
    [
        ("vllm", 1000, 3, 0.04),
        ("sglang", 1000, 3, 0.04),
        ("trtllm", 1000, 3, 0.04),
        ("vllm", 1000, 20, 0.06),
        ("sglang", 1000, 20, 0.06),
        ("trtllm", 1000, 20, 0.06),
        ("vllm", 6000, 0.5, 0.05),
        ("sglang", 6000, 0.5, 0.05),
        ("sglang", 6000, 2, 0.12),
        ("trtllm", 6000, 2, 0.12),
    ],
)
def test_a_replay_schedules_what_was_priced(engine: str, prompt: int, rate: float, within: float) -> None:
    """Medians and means at a seventh, and at nine tenths, of the most that a rank serves; tails at a quarter."""
    plan = one_rank(engine, rate, prompt)
    found, said = replay(plan, Run(requests=3000, seed=3)).classes["chat"], plan.prediction.classes["chat"]
    for name in ("ttft_p50_s", "ttft_mean_s", "tpot_p50_s", "tpot_mean_s"):
        assert getattr(said, name) == pytest.approx(getattr(found, name), rel=within), name
    for name in ("ttft_p95_s", "tpot_p95_s"):
        assert getattr(said, name) == pytest.approx(getattr(found, name), rel=0.25), name


def test_engines_say_whether_prompts_share_steps() -> None:
    assert {name: engine_rules(name).scheduler.mixed for name in ("vllm", "sglang", "trtllm")} == {
        "vllm": True,
        "sglang": False,
        "trtllm": True,
    }


@pytest.mark.parametrize("batch", [1.0, 20.0, 100.0])
def test_prompts_that_go_first_cost_the_others_more(batch: float) -> None:
    """By a step at least of those that wait: nothing of a prompt hides behind steps that would have run anyway."""
    plan = one_rank("sglang", 3)
    priced = Evidence(plan, Instance.of(plan.scenario)).priced[plan.pools[0].name]
    mixed = replace(priced, replicas=replace(priced.replicas, mixed=np.ones(1)))
    alone, beside = priced.at_batch(batch), mixed.at_batch(batch)
    assert alone.step_s == beside.step_s
    assert alone.latency.later(None)[0, 0] > beside.latency.later(None)[0, 0]
    # A gap holds the whole prompt where sequences wait; where they do not, no more than a chunk.
    assert alone.latency.gap(0.999)[0, 0] > beside.latency.gap(0.999)[0, 0]


def together(kept_output: float, mixed: bool = True) -> tuple[int, int, list[float]]:
    """Sixty prompts of 100 tokens with 400 to come, at once, where 2,000 have room: put out, most at once, last tokens."""
    import simpy

    env, meter, ended = simpy.Environment(), PoolMeter(), []
    room = Room(bytes=2000.0, sequence_bytes=0.0, token_bytes=1.0, sequences=1000, kept_output=kept_output)
    pace: Any = Proportional()
    chunking = Chunking(200, 1, 1.0, mixed)
    rank = UnifiedRank(
        env, pace, room, chunking, [], 0.0, Random(1), meter, lambda _: None, lambda _: ended.append(env.now)
    )
    requests = [ServedRequest(Arrival(0.0, "only", 100, 400)) for _ in range(60)]
    for request in requests:
        rank.ready(request)
    env.run()
    assert len(ended) == len(requests)
    assert all(request.left == 0 for request in requests)
    assert (rank.batch.bytes, rank.batch.left) == (0.0, 0)
    assert meter.fullest_bytes <= room.bytes
    return meter.preempted, meter.largest_batch, ended


def test_room_that_is_kept_for_outputs_puts_nobody_out() -> None:
    """Who keeps all of it runs as many as end (2,000 / 500); who keeps nothing lets in 13, and computes some of them again."""
    found = {name: together(engine_rules(name).scheduler.kept_output) for name in ("vllm", "sglang", "trtllm")}
    put_out = {name: each[0] for name, each in found.items()}
    assert put_out["trtllm"] == 0 < put_out["sglang"] < put_out["vllm"]
    assert found["trtllm"][1] == 4 < found["sglang"][1] <= found["vllm"][1]


def test_prompts_that_go_first_take_steps_of_their_own() -> None:
    """Four at a time in a room for four: 400 s of prompts, and then 399 steps for their other tokens, in each of 15 rounds."""
    assert max(together(1.0, mixed=False)[2]) == 60 // 4 * (4 * 100 + 399)
