"""Figures published for expert parallelism across nodes, none of which was used in a fit: each within 20 %."""

from __future__ import annotations

import numpy as np
import pytest

import topologies
from solver.cost.calibration import Calibration, packaged
from solver.cost.network.collectives import expert_exchange, token_copies
from solver.cost.steps.replicas import Replicas
from solver.cost.steps.work import COMBINE_WIDTH, DISPATCH_WIDTH
from solver.llm import LLM
from solver.replica import Engine, Parallelism, Setup

WITHIN = 0.20


def wide(
    llm: str, device: str, engine: Engine, ranks: int, imbalance: float, *, overlap: bool, chunk: int = 8192
) -> Replicas:
    """Every rank holds its own experts and attends to its own requests."""
    found = topologies.device(device)
    shape = Parallelism(tp=1, dp=ranks, ep=ranks, moe_tp=1)
    domains = max(ranks // found.scale_up_domain, 1)
    calibration = packaged(engine, found.generation)[0]
    setup = Setup("unified", engine, shape, domains, chunk_tokens=chunk, overlap=overlap)
    return Replicas.of(LLM.from_config(llm), found, calibration, [setup], imbalance=imbalance)


def prefill(of: Replicas, prompt: float, prompts: float) -> float:
    """Prompt tokens/s of a device."""
    return prompt * prompts / float(of.prompt_s(prompt, 0.0, prompts_per_step=prompts)[1][0])


def decode(of: Replicas, batch: float, context: float) -> float:
    """Output tokens/s of a device."""
    return batch / float(of.decode_s(np.array([batch]), context)[0])


@pytest.mark.parametrize(
    ("imbalance", "measured"),
    [
        pytest.param(
            1.1, 7839, id="DeepSeek's profile, balanced routing, 32 H800 (github.com/deepseek-ai/profile-data)"
        ),
        pytest.param(1.5, 6288, id="SGLang, 32 H100, experts as they come (lmsys.org, 2025-05-05)"),
        pytest.param(1.0, 7417, id="SGLang, 32 H100, perfect balance (lmsys.org, 2025-05-05)"),
    ],
)
def test_prefill_of_deepseek_on_four_nodes(imbalance: float, measured: float) -> None:
    device = "h800" if measured == 7839 else "h100"
    of = wide("deepseek-v3", device, "sglang", 32, imbalance, overlap=True, chunk=16384)
    assert prefill(of, 4096.0, 4.0) == pytest.approx(measured, rel=WITHIN)


@pytest.mark.parametrize(
    ("llm", "device", "engine", "ranks", "batch", "context", "overlap", "measured"),
    [
        pytest.param("deepseek-v3", "h800", "sglang", 128, 128, 4096, True, 2325, id="DeepSeek's profile, EP128"),
        pytest.param(
            "deepseek-v3", "h100", "sglang", 72, 256, 2050, False, 2785, id="SGLang, EP72 (lmsys.org, 2025-05-05)"
        ),
        pytest.param(
            "kimi-k2", "h200", "sglang", 96, 480, 2050, False, 3000, id="Kimi-K2, EP96 (lmsys.org, 2025-07-20)"
        ),
        pytest.param(
            "deepseek-v3.1-nvfp4", "gb200", "sglang", 48, 1408, 2050, False, 13386, id="SGLang on GB200, EP48"
        ),
    ],
)
def test_decode_with_wide_expert_parallelism(
    llm: str, device: str, engine: Engine, ranks: int, batch: float, context: float, overlap: bool, measured: float
) -> None:
    of = wide(llm, device, engine, ranks, 1.1 if overlap else 1.15, overlap=overlap)
    assert decode(of, batch, context) == pytest.approx(measured, rel=WITHIN)


@pytest.mark.parametrize(
    ("ranks", "dispatch_us", "combine_us"), [(16, 118, 195), (32, 155, 273), (64, 173, 314), (128, 192, 369)]
)
def test_low_latency_exchange_of_deepep(ranks: int, dispatch_us: float, combine_us: float) -> None:
    """128 tokens of 7,168 elements to 8 experts on H800 with 50 GB/s NICs (DeepEP's README, first version)."""
    calibration = packaged("sglang", "hopper")[0]
    for width, floor, measured in (
        (DISPATCH_WIDTH, calibration.dispatch_s, dispatch_us),
        (COMBINE_WIDTH, calibration.combine_s, combine_us),
    ):
        copies = token_copies(np.array(8.0), np.array(256.0), np.array(ranks / 8), False)
        outside, inside = (128 * each * 7168 * width for each in copies)
        found = expert_exchange(outside, inside, 160e9, 50e9 * calibration.scale_out, floor)
        assert float(found) * 1e6 == pytest.approx(measured, rel=WITHIN)


@pytest.mark.parametrize(("bandwidth", "tpot_ms"), [(50e9, 14.76), (900e9, 0.82)])
def test_exchange_alone_bounds_the_time_per_token(bandwidth: float, tpot_ms: float) -> None:
    """DeepSeek-V3's own bound: 32 tokens to 9 experts, 7,000 elements, 61 layers, both micro-batches (arXiv:2505.09343)."""
    outside, inside = token_copies(np.array(9.0), np.array(256.0), np.array(1e9), False)
    one_way = [
        float(expert_exchange(32 * 7000 * w * outside, 32 * 7000 * w * inside, 1e15, bandwidth, Calibration().dispatch_s))
        for w in (1, 2)
    ]
    assert 2 * 61 * sum(one_way) * 1e3 == pytest.approx(tpot_ms, rel=0.01)
