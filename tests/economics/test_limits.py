"""Limits over LLMs, devices and requests, against published figures."""

from __future__ import annotations

import numpy as np
import pytest

import topologies
from solver.economics import limits
from solver.economics.balance import balance
from solver.llm import LLM, dtype
from solver.workload import RequestClass
from solver.workload.scenario import Speculation

H100 = topologies.device("h100")
LLAMA, V3 = LLM.from_config("llama-3.1-70b"), LLM.from_config("deepseek-v3")


def test_speculation_is_leviathans() -> None:
    a, drafts = 0.8, 4
    found = limits.speculative_token_s(20e-3, 1e-3, drafts, Speculation(acceptance=(a,) * drafts))
    assert found == pytest.approx((1 - a) * (20e-3 + drafts * 1e-3) / (1 - a ** (drafts + 1)))


def test_intensity_of_a_matmul_is_its_tokens_in_bf16() -> None:
    """Scaling book: about B for B well below D and F; 240 tokens is where TPU v5e balances."""
    bf16 = dtype("bf16")
    assert limits.matmul_intensity(240, 8192, 28672, bf16, bf16) == pytest.approx(240, rel=0.05)
    assert limits.matmul_intensity(240, 8192, 28672, dtype("int8"), bf16) > 1.8 * 240


def test_what_ends_in_a_step_is_what_begins() -> None:
    """2,000 sequences of 3,000 + 1,000 tokens: two end in each step, with 4,000 tokens each."""
    request = RequestClass("chat", prompt_tokens=3000, output_tokens=1000, requests_per_s=1)
    assert limits.evicted_tokens(2000, request) == pytest.approx(2 * 4000)


def test_two_dimensions_pay_from_sixteen_chips_on_where_f_is_four_e() -> None:
    """Pope et al.: 2D is better once sqrt(n) > F / E, for F = 4 E from 16 chips on. A Llama-3 70B has F = 3.5 E."""
    chips = 4 * 28672 / 8192
    flat = limits.weight_stationary_line_s(512, LLAMA, 270e9)
    assert limits.weight_stationary_s(512, LLAMA, round(chips), 270e9) == pytest.approx(flat, rel=0.01)
    assert limits.weight_stationary_s(512, LLAMA, 64, 270e9) < flat / 2


def test_tensor_parallelism_ends_near_thirteen_ranks_on_hopper() -> None:
    """F / (C / W) = 28672 / (989e12 / 450e9)."""
    assert limits.most_tensor_ranks(LLAMA, H100) == pytest.approx(13.05, rel=0.01)


def test_one_layer_hides_a_pipelines_hop_at_deepseeks_top_eight() -> None:
    """ceil(ratio / 2 K): 9 / 16 on H100."""
    assert limits.least_stage_layers(V3, H100) == 1
    assert limits.least_stage_layers(LLAMA, H100) == 5


def test_data_parallelism_needs_2472_tokens_a_device() -> None:
    """Scaling book: 989e12 / 400e9."""
    assert limits.least_tokens_per_device(LLAMA, H100) == pytest.approx(2472, rel=0.01)
    assert limits.least_tokens_per_device(V3, H100) == pytest.approx(32 * 2472, rel=0.01)


def test_deepseek_v3_cost_five_and_a_half_million_usd() -> None:
    """2.664 M H800-hours of pre-training are 34 % of the bf16 peak; 2.788 M hours with the rest, at 2 USD: 5.576 M."""
    hours = limits.training_device_hours(V3, H100, 14.8e12, 0.343)
    assert hours == pytest.approx(2.664e6, rel=0.02)
    assert (hours + 0.119e6 + 0.005e6) * 2.0 == pytest.approx(5.576e6, rel=0.02)


def test_sparse_attention_makes_long_contexts_almost_flat() -> None:
    """DeepSeek-V3.2 reads 2,048 keys of 1,152 bytes and scores all at 132: from 20,000 to 160,000 tokens 3.7 times the
    bytes for 8 times the context."""
    sparse = LLM.from_config("deepseek-v3.2")
    expected = (2048 * 1152 + 160e3 * 132) / (2048 * 1152 + 20e3 * 132) / 8
    assert limits.price_of_context(V3, 20e3, 160e3) == pytest.approx(1.0)
    if sparse.precision.kv_cache.bytes_per_element == 2:
        assert limits.price_of_context(sparse, 20e3, 160e3) == pytest.approx(expected, rel=0.01)
    gb200 = topologies.device("gb200")
    dense, selected = (balance(llm, gb200).reading(np.array([256.0]), np.array([1e5])).step_s[0] for llm in (V3, sparse))
    assert selected < dense / 2
