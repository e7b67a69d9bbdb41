"""Parameter counts against lists of tensors written by hand for tiny networks of every family.

The lists are the witness: they name tensors as the reference implementations do and know nothing of the loader.
Hidden 32, vocabulary 100 everywhere; ``N`` is a norm of width 32.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from solver.llm import LLM

TINY: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("tiny_configs.json").read_text())

H, N = 32, 32


def qkvo(heads: int, kv: int, dim: int) -> list[int]:
    return [H * heads * dim, H * kv * dim, H * kv * dim, heads * dim * H]


def mlp(width: int, count: int = 1, outer: int = H) -> list[int]:
    return [count * outer * width] * 3


def mla(q_rank: int | None) -> list[int]:
    """4 heads, nope 6, rope 4, value 5, rank 8."""
    query = [H * 4 * 10] if q_rank is None else [H * q_rank, q_rank, q_rank * 4 * 10]
    return [*query, H * (8 + 4), 8, 8 * 4 * (6 + 5), 4 * 5 * H]


def kda(gate: list[int]) -> list[int]:
    """4 heads of 8: q, k, v, output; decay down and up; beta; three convolutions of 4; A, dt, output norm."""
    return [*[H * 32] * 4, H * 8, 8 * 32, H * 4, *[4 * 32] * 3, 8, 32, 8, *gate]


DELTA = [H * (16 + 16 + 24), H * 24, H * 4, H * 4, 56 * 4, 4, 4, 6, 24 * H]
MOE6 = [H * 6, *mlp(12, 6)]
HYPER = [24 * 128, 24, 3]
V4 = [H * 10, 10, 10 * 64, H * 16, 16, 4, 32 * 6 * 2, 12 * H, N, N, *HYPER, *HYPER, *MOE6, 6, *mlp(12)]
V4_HEAVY = [2 * H * 16, 128 * 16, 16]
V4_SPARSE = [2 * H * 32, 4 * 32, 16, 10 * 16, 2 * H * 16, 4 * 16, 8, H * 2]

LAYERS: dict[str, list[list[int]]] = {
    "llama": [[*qkvo(4, 2, 8), 32, 16, 16, 32, *mlp(48), 48, 48, 32, N, N]] * 2,
    "mistral": [[*qkvo(4, 2, 16), *mlp(48), N, N]] * 2,
    "mixtral": [[*qkvo(4, 2, 8), H * 4, *mlp(48, 4), N, N]] * 2,
    "phi3": [[*qkvo(4, 4, 8), *mlp(48), N, N]] * 2,
    "qwen2": [[*qkvo(4, 2, 8), 32, 16, 16, *mlp(48), N, N]] * 3,
    "qwen2_moe": [
        [*qkvo(4, 4, 8), 32, 32, 32, *mlp(48), N, N],
        [*qkvo(4, 4, 8), 32, 32, 32, *MOE6, *mlp(20), H, N, N],
    ],
    "qwen3_moe": [[*qkvo(4, 2, 16), 16, 16, *mlp(48), N, N], [*qkvo(4, 2, 16), 16, 16, *MOE6, N, N]],
    "qwen3": [[*qkvo(4, 2, 16), 16, 16, *mlp(48), N, N]] * 2,
    "qwen3_next": [
        [*DELTA, *MOE6, *mlp(12), H, N, N],
        [*qkvo(4, 2, 16), H * 64, 16, 16, *MOE6, *mlp(12), H, N, N],
    ],
    "qwen3_5": [[*DELTA, *mlp(48), N, N], [*qkvo(4, 2, 16), H * 64, 16, 16, *mlp(48), N, N]],
    "qwen3_5_moe": [
        *[[*DELTA, *MOE6, *mlp(12), H, N, N]] * 3,
        [*qkvo(4, 2, 16), H * 64, 16, 16, *MOE6, *mlp(12), H, N, N],
    ],
    "gemma2": [[*qkvo(4, 2, 16), *mlp(48), N, N, N, N]] * 2,
    "gemma3": [[*qkvo(4, 2, 16), 16, 16, *mlp(48), N, N, N, N]] * 6,
    "gemma4": [
        [*qkvo(4, 2, 16), 16, 16, *mlp(40), *MOE6, 32, 6, *[N] * 7],
        [H * 96, H * 24, 96 * H, 24, 24, *mlp(40), *MOE6, 32, 6, *[N] * 7],
    ],
    "deepseek_v2": [[*mla(None), *mlp(48), N, N], [*mla(None), *MOE6, *mlp(24), N, N]],
    "deepseek_v32": [
        [*mla(10), 10 * 16, H * 8, 8, 8, H * 2, *mlp(48), N, N],
        *[[*mla(10), 10 * 16, H * 8, 8, 8, H * 2, *MOE6, 6, *mlp(12), N, N]] * 2,
    ],
    "deepseek_v4": [V4, V4 + V4_HEAVY, V4 + V4_SPARSE],
    "kimi_k3": [
        [*kda([H * 32]), *mlp(48), *[N] * 6],
        [*kda([H * 32]), H * 6, 6, H * 16, 16, 16 * H, *mlp(12, 6, 16), *mlp(24), *[N] * 6],
        [*mla(10), H * 20, H * 6, 6, H * 16, 16, 16 * H, *mlp(12, 6, 16), *mlp(24), *[N] * 6],
    ],
    "kimi_linear": [[*kda([H * 8, 8 * 32]), *mlp(48), N, N], [*mla(None), *MOE6, 6, *mlp(12), N, N]],
    "glm4_moe": [
        [*qkvo(4, 2, 16), 64, 32, 32, 16, 16, *mlp(48), N, N],
        [*qkvo(4, 2, 16), 64, 32, 32, 16, 16, *MOE6, 6, *mlp(12), N, N],
    ],
    "gpt_oss": [[*qkvo(4, 2, 16), 64, 32, 32, 32, 4, H * 4, 4, *mlp(32, 4), 4 * 64, 4 * 32, N, N]] * 2,
    "llama4": [[*qkvo(4, 2, 8), *mlp(48), N, N], [*qkvo(4, 2, 8), H * 4, *mlp(24, 4), *mlp(24), N, N]] * 2,
    "minimax_m2": [[*qkvo(4, 2, 16), 64, 32, *MOE6, 6, N, N]] * 2,
    "minimax_m3": [
        [*qkvo(4, 2, 16), 16, 16, *mlp(48), N, N],
        [*qkvo(4, 2, 16), 16, 16, H * 16, H * 8, 8, 8, *MOE6, 6, *mlp(12), N, N],
    ],
    "olmoe": [[*qkvo(4, 4, 8), 32, 32, *MOE6, N, N]] * 2,
}
TIED = {"qwen2", "gemma2", "gemma3", "gemma4"}


@pytest.mark.parametrize("family", TINY)
def test_layers_hold_these_tensors(family: str) -> None:
    llm = LLM.from_config(TINY[family])
    assert [layer.parameters for layer in llm.layers] == [sum(tensors) for tensors in LAYERS[family]]


@pytest.mark.parametrize("family", TINY)
def test_total_is_layers_embedding_head_and_last_norm(family: str) -> None:
    llm = LLM.from_config(TINY[family])
    matrices = 1 if family in TIED else 2
    assert llm.tied_embeddings == (family in TIED)
    assert llm.parameters == sum(map(sum, LAYERS[family])) + matrices * 100 * H + N


@pytest.mark.parametrize("family", TINY)
def test_bf16_weights_are_two_bytes_a_parameter(family: str) -> None:
    llm = LLM.from_config(TINY[family], weights="bf16")
    assert llm.weight_bytes == 2 * llm.parameters


@pytest.mark.parametrize("family", TINY)
def test_active_is_total_less_the_experts_not_visited(family: str) -> None:
    llm = LLM.from_config(TINY[family])
    idle = sum((f.ffn.experts - f.ffn.top_k) * f.ffn.expert_parameters for f in llm.layers)
    assert llm.active_parameters(embedding=True, head=True) == llm.parameters - idle
