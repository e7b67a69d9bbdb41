"""Catalog against the owners' config files, and memory against what engines logged; needs the shared data."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from solver.llm import LLM

CONFIGS = {
    "MiniMaxAI--MiniMax-M2.5": "minimax-m2.5",
    "MiniMaxAI--MiniMax-M3": "minimax-m3",
    "Qwen--Qwen3-235B-A22B": "qwen3-235b-a22b",
    "Qwen--Qwen3-235B-A22B-FP8": "qwen3-235b-a22b-fp8",
    "Qwen--Qwen3-30B-A3B": "qwen3-30b-a3b",
    "Qwen--Qwen3-32B": "qwen3-32b",
    "Qwen--Qwen3-32B-FP8": "qwen3-32b-fp8",
    "Qwen--Qwen3-8B": "qwen3-8b",
    "Qwen--Qwen3.5-397B-A17B": "qwen3.5-397b-a17b",
    "REPORTED--ministral3-14b": "ministral-3-14b",
    "REPORTED--qwen3-14b": "qwen3-14b",
    "RECONSTRUCTED--GLM-4.5": "glm-4.5",
    "RECONSTRUCTED--OLMoE-1B-7B": "olmoe-1b-7b",
    "deepseek-ai--DeepSeek-R1": "deepseek-r1",
    "deepseek-ai--DeepSeek-V3": "deepseek-v3",
    "deepseek-ai--DeepSeek-V3.2": "deepseek-v3.2",
    "deepseek-ai--DeepSeek-V4-Pro": "deepseek-v4-pro",
    "google--gemma-4-26B-A4B": "gemma-4-26b-a4b",
    "meta-llama--Llama-4-Maverick-17B-128E-Instruct": "llama-4-maverick",
    "meta-llama--Meta-Llama-3.1-405B": "llama-3.1-405b",
    "meta-llama--Meta-Llama-3.1-70B": "llama-3.1-70b",
    "meta-llama--Meta-Llama-3.1-8B": "llama-3.1-8b",
    "mistralai--Mixtral-8x22B-v0.1": "mixtral-8x22b",
    "mistralai--Mixtral-8x7B-v0.1": "mixtral-8x7b",
    "moonshotai--Kimi-K2-Instruct": "kimi-k2",
    "moonshotai--Kimi-K2.5": "kimi-k2.5",
    "moonshotai--Kimi-K3": "kimi-k3",
    "nvidia--DeepSeek-V3.1-NVFP4": "deepseek-v3.1-nvfp4",
    "nvidia--Llama-3.1-70B-Instruct-FP8": "llama-3.1-70b-fp8",
    "nvidia--Qwen3-235B-A22B-NVFP4": "qwen3-235b-a22b-nvfp4",
    "openai--gpt-oss-120b": "gpt-oss-120b",
    "openai--gpt-oss-20b": "gpt-oss-20b",
    "zai-org--GLM-5-FP8": "glm-5-fp8",
}


@pytest.mark.parametrize("prefix", CONFIGS)
def test_catalog_and_config_agree(shared: Path, prefix: str) -> None:
    read = LLM.from_config(shared / "llms" / f"{prefix}_config.json")
    known = LLM.from_config(CONFIGS[prefix])
    assert replace(read, name=known.name, title=known.title, source=known.source, as_of=known.as_of) == known


def test_no_config_is_left_out(shared: Path) -> None:
    found = {path.name.removesuffix("_config.json") for path in (shared / "llms").glob("*_config.json")}
    assert {prefix for prefix in found if not prefix.endswith("_hf_quant")} == {*CONFIGS, ABRIDGED}


ABRIDGED = "REPORTED--glm-4.5-air-fp8"
"""A config that lacks what the owner's file has (biases of queries, keys and values)."""


def test_abridged_config_and_catalog_agree(shared: Path) -> None:
    read = LLM.from_config(shared / "llms" / f"{ABRIDGED}_config.json")
    known = LLM.from_config("glm-4.5-air-fp8")
    assert read.parameters == pytest.approx(known.parameters, rel=1e-5)
    assert read.kv_bytes_per_token == known.kv_bytes_per_token
    assert read.weight_bytes == pytest.approx(known.weight_bytes, rel=1e-4)


# what engines' logs call it: (catalog name, weights)
LOGGED: dict[str, tuple[str, Any]] = {
    "Llama-3.1-8B": ("llama-3.1-8b", "checkpoint"),
    "MiniMaxAI/MiniMax-M2.5": ("minimax-m2.5", "checkpoint"),
    "Qwen/Qwen2.5-14B-Instruct": ("qwen2.5-14b", "checkpoint"),
    "Qwen/Qwen3-Reranker-0.6B": ("qwen3-reranker-0.6b", "checkpoint"),
    "Qwen/Qwen3-VL-235B-A22B-Instruct-FP8": ("qwen3-235b-a22b-fp8", "checkpoint"),
    "Qwen/Qwen3-VL-30B-A3B-Instruct": ("qwen3-30b-a3b", "checkpoint"),
    "RedHatAI/Llama-3.3-70B-Instruct-FP8-dynamic": ("llama-3.3-70b", "fp8"),
    "RedHatAI/Llama-4-Maverick-17B-128E-Instruct-FP8": ("llama-4-maverick", {"experts": "fp8"}),
    "deepseek-ai/DeepSeek-R1-0528": ("deepseek-r1", "checkpoint"),
    "deepseek-ai/DeepSeek-V3.2": ("deepseek-v3.2", "checkpoint"),
    "deepseek-ai/DeepSeek-V3.2-Exp": ("deepseek-v3.2", "checkpoint"),
    "meta-llama/Llama-3.1-8B-Instruct": ("llama-3.1-8b", "checkpoint"),
    "meta-llama/Meta-Llama-3-8B": ("llama-3-8b", "checkpoint"),
    "meta-llama/Meta-Llama-3.1-8B-Instruct": ("llama-3.1-8b", "checkpoint"),
    "Meta-Llama-3.1-8B-Instruct": ("llama-3.1-8b", "checkpoint"),
    "meta-llama/Llama-3.3-70B-Instruct": ("llama-3.3-70b", "checkpoint"),
    "meta-llama/Llama-4-Maverick-17B-128E-Instruct": ("llama-4-maverick", "checkpoint"),
    "nvidia/DeepSeek-V3.2-NVFP4": (
        "deepseek-v3.2",
        dict.fromkeys(("attention_output", "dense", "shared", "experts"), "nvfp4") | {"attention": "bf16"},
    ),
    "nvidia/Llama-3.3-70B-Instruct-FP8": ("llama-3.3-70b-fp8", "checkpoint"),
}
VISION_GIB = {"Qwen/Qwen3-VL-30B-A3B-Instruct": 1.1, "Qwen/Qwen3-VL-235B-A22B-Instruct-FP8": 0.3}
"""Vision towers that the engines load too: about 0.6e9 parameters in bf16, over the ranks."""


def logged(shared: Path) -> list[tuple[dict[str, Any], LLM]]:
    rows = []
    for row in json.loads((shared / "measured" / "kv_sizes.json").read_text()):
        if row["model"] in LOGGED and not row["hybrid_attention"]:
            name, weights = LOGGED[row["model"]]
            cache = "fp8_ds_mla" if "656 B" in row["kv_dtype"] else "fp8" if "fp8" in row["kv_dtype"] else "bf16"
            rows.append((row, LLM.from_config(name, weights=weights, kv_cache=cache)))
    assert len(rows) > 40
    return rows


def test_kv_bytes_per_token_that_engines_logged(shared: Path) -> None:
    """Pool size over tokens, per rank; the pool is rounded to blocks."""
    for row, llm in logged(shared):
        if not row.get("logged_kv_gib_per_gpu"):
            continue
        per_token = row["logged_kv_gib_per_gpu"] * 2**30 / row["logged_tokens"]
        tp, cache = row["tp"] // row["dp"], llm.precision.kv_cache
        computed = 0.0
        for layer, count in llm.layer_kinds:
            attention = layer.attention
            split = attention.kv_entry_bytes(cache) / min(tp, attention.kv_heads)
            computed += count * (split + attention.kv_extra_bytes_per_token)
        assert computed == pytest.approx(per_token, rel=0.006), row["id"]


def test_weights_that_engines_logged(shared: Path) -> None:
    """Embedding and head, sharded projections, FFNs and experts over tp; the rest whole on every rank."""
    for row, llm in logged(shared):
        measured = row.get("logged_weights_gib_per_gpu")
        # rhaiis-560df7ea loads 21 GiB more than four other records of the same LLM.
        if measured is None or row["id"] == "rhaiis-560df7ea":
            continue
        tp, precision = row["tp"], llm.precision
        computed = (llm.embedding_bytes + llm.head_bytes) / tp
        for layer, count in llm.layer_kinds:
            attention, ffn = layer.attention, layer.ffn
            ffns = ffn.dense_bytes(precision) + ffn.shared_bytes(precision)
            sharded = attention.sharded_bytes(precision) + ffns + ffn.experts * ffn.expert_bytes(precision)
            computed += count * (sharded / tp + attention.replicated_bytes(precision) + ffn.replicated_bytes)
        computed += VISION_GIB.get(row["model"], 0.0) * 2**30
        assert computed / 2**30 == pytest.approx(measured, rel=0.04), row["id"]


def test_key_table_agrees(shared: Path) -> None:
    """Totals in billions from the table of config keys that came with the data."""
    table = {
        "deepseek-v3": 671.03,
        "deepseek-v3.2": 671.88,
        "kimi-k2": 1026.41,
        "qwen3-235b-a22b": 235.09,
        "glm-5": 743.91,
        "llama-4-maverick": 400.71,
        "minimax-m2.5": 228.69,
        "glm-4.5": 352.80,
        "olmoe-1b-7b": 6.92,
    }
    text = (shared / "llms" / "KEYS.md").read_text()
    for name, total in table.items():
        assert f"{total:.2f}" in text
        assert LLM.from_config(name).parameters / 1e9 == pytest.approx(total, abs=0.006)
