"""Ratios published for pipelined replicas, none of which was used in a fit: each within 15 %."""

from __future__ import annotations

import numpy as np
import pytest

import topologies
from solver.cost.calibration import packaged
from solver.cost.steps.replicas import Replicas
from solver.llm import LLM
from solver.replica import Parallelism, Setup
from solver.study.given import GivenPool, predict_pools

WITHIN = 0.15
#: SGLang's prefill of DeepSeek-V3.1 on H20: chunks of 12,288 tokens, one prompt at a time.
CHUNK = 12_288
LONG = 65_536


def prefill(tp: int, pp: int, prompt: int = LONG) -> tuple[float, float]:
    """Latency of a prompt, and time that it takes the slowest stage [s]."""
    shape, domains = Parallelism(tp=tp, pp=pp, moe_tp=tp), tp * pp // 8
    setup = Setup("prefill", "sglang", shape, domains, domains, chunk_tokens=CHUNK)
    found = Replicas.of(
        LLM.from_config("deepseek-v3.1"), topologies.device("h20"), packaged("sglang", "hopper")[0], [setup]
    )
    latency, occupied, _ = found.prompt_s(np.array([float(prompt)]), 0.0)
    return float(latency[0]), float(occupied[0])


def test_four_stages_serve_three_times_as_many_prompts() -> None:
    """3.31 times the throughput of TP8, and 1.305 times that of TP32 on the same devices (SGLang's post on pipelines)."""
    one, staged, wide = prefill(8, 1), prefill(8, 4), prefill(32, 1)
    assert one[1] / staged[1] == pytest.approx(3.31, rel=WITHIN)
    assert wide[1] / staged[1] == pytest.approx(1.305, rel=WITHIN)


def test_chunks_that_follow_each_other_shorten_a_long_prompt() -> None:
    """TTFT falls by 68 % (the same post, with chunks that shrink towards the end)."""
    assert prefill(8, 4)[0] / prefill(8, 1)[0] == pytest.approx(0.32, abs=0.05)


def test_a_prompt_of_one_chunk_gains_nothing_from_stages() -> None:
    """Three or four thousand tokens are one chunk: their first token is as late, and only others gain."""
    assert prefill(8, 4, 4096)[0] == pytest.approx(prefill(8, 1, 4096)[0], rel=0.05)
    assert prefill(8, 1, 4096)[1] > 3 * prefill(8, 4, 4096)[1]


def test_two_stages_serve_less_than_two_shards() -> None:
    """gpt-oss-120b under vLLM on two H100, a thousand short requests at once: 11,199 against 16,042 tokens/s (gpustack)."""
    given = {"llm": "gpt-oss-120b", "device": "h100", "prompt_tokens": 215, "output_tokens": 198, "concurrency": 1000}
    pools = [GivenPool.read(given | {"burst": True, "parallelism": shape}, "test") for shape in ({"pp": 2}, {"tp": 2})]
    rates = [found["output_tokens_per_s_per_device"] for found in predict_pools(pools)]
    assert rates[0] / rates[1] == pytest.approx(11_199 / 16_042, rel=WITHIN)
