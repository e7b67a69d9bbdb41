"""KV cache, reads and operations per key of each kind of attention."""

from __future__ import annotations

import pytest

from solver.llm import FFN, LLM, Attention, Layer, Precision, dtype, grouped_query, kv_dtype

BF16, FP8, MIXED = kv_dtype("bf16"), kv_dtype("fp8"), kv_dtype("fp8_ds_mla")


def attention(name: str, layer: int = -1) -> Attention:
    return LLM.from_config(name).layers[layer].attention


def test_window_bounds_the_cache_of_sliding_layers_only() -> None:
    sliding, full = attention("gpt-oss-120b", 0), attention("gpt-oss-120b", 1)
    assert (sliding.kind, sliding.window, full.kind, full.window) == ("sliding", 128, "full", None)
    assert sliding.kv_bytes(100, BF16) == full.kv_bytes(100, BF16) == 100 * 2048
    assert sliding.kv_bytes(10_000, BF16) == 128 * 2048
    assert full.kv_bytes(10_000, BF16) == 10_000 * 2048
    assert sliding.attended_keys(10_000) == 128


def test_llama_4_attends_in_chunks_except_every_fourth_layer() -> None:
    kinds = [layer.attention.kind for layer in LLM.from_config("llama-4-maverick").layers[:8]]
    assert kinds == ["chunked", "chunked", "chunked", "full"] * 2


def test_mla_is_one_head_for_the_cache_and_absorbed_in_decode() -> None:
    mla = attention("deepseek-v3")
    assert (mla.kind, mla.kv_heads, mla.kv_elements_per_token) == ("mla", 1, 576)
    assert mla.decode_flop_per_key == 2 * 128 * (2 * 512 + 64)
    assert mla.prefill_flop_per_key == 2 * 128 * (128 + 64 + 128)
    assert mla.replicated_parameters - mla.bf16_parameters == 7168 * (1536 + 512 + 64)
    assert mla.output_parameters == 128 * 128 * 7168
    assert mla.kv_entry_bytes(MIXED) == 656


def test_sparse_attention_reads_its_budget_and_scores_all_keys() -> None:
    dsa = attention("deepseek-v3.2")
    assert (dsa.budget, dsa.kv_extra_bytes_per_token, dsa.indexer_flop_per_key) == (2048, 132, 2 * 64 * 128)
    assert dsa.attended_keys(1000) == 1000
    assert dsa.attended_keys(100_000) == 2048
    assert dsa.indexed_keys(100_000) == 100_000
    assert dsa.kv_bytes(100_000, FP8) == 100_000 * (576 + 132)
    assert dsa.prefill_flop_per_key == dsa.decode_flop_per_key


def test_block_sparse_attention_of_minimax_m3() -> None:
    full, sparse = attention("minimax-m3", 0), attention("minimax-m3", 3)
    assert (full.budget, sparse.budget) == (None, 16 * 128)
    assert sparse.kv_bytes(1000, BF16) == 1000 * (2048 + 256)


def test_compressed_attention_keeps_a_window_and_one_entry_per_run() -> None:
    heavy, sparse = attention("deepseek-v4-pro", 0), attention("deepseek-v4-pro", 2)
    assert (heavy.compression, heavy.budget, sparse.compression, sparse.budget) == (128, None, 4, 1024)
    assert heavy.kv_entry_bytes(MIXED) == 584
    assert heavy.kv_bytes(100, MIXED) == 100 * 584
    assert heavy.kv_bytes(1280, MIXED) == (128 + 10) * 584
    assert sparse.kv_bytes(1280, MIXED) == 128 * 584 + 320 * (584 + 132)
    assert heavy.attended_keys(12_800) == 128 + 100
    assert sparse.attended_keys(1 << 20) == 128 + 1024
    assert sparse.indexed_keys(4096) == 1024
    assert heavy.kv_bytes_per_token(MIXED) == 584 / 128


def test_linear_attention_has_state_and_no_cache() -> None:
    delta = attention("qwen3.5-397b-a17b", 0)
    assert (delta.kind, delta.kv_bytes_per_token(BF16), delta.attended_keys(1000)) == ("linear", 0, 0)
    assert delta.state_bytes == 64 * 128 * 128 * 4 + 3 * (2 * 2048 + 8192) * 2
    assert delta.kv_bytes(10, BF16) == delta.kv_bytes(10**6, BF16) == delta.state_bytes
    kimi = attention("kimi-k3", 0)
    assert kimi.state_bytes == 96 * 128 * 128 * 4 + 3 * 3 * 96 * 128 * 2


def test_full_layers_of_hybrids_stand_where_the_configs_say() -> None:
    qwen = [i for i, layer in enumerate(LLM.from_config("qwen3.5-397b-a17b").layers) if layer.attention.kind == "full"]
    kimi = [i for i, layer in enumerate(LLM.from_config("kimi-k3").layers) if layer.attention.kind == "mla"]
    assert qwen == list(range(3, 60, 4))
    assert kimi == [*range(3, 92, 4), 92]


@pytest.mark.parametrize("name", ["deepseek-v3.2", "deepseek-v4-pro", "gpt-oss-20b", "kimi-k3", "gemma-4-26b-a4b"])
def test_longer_contexts_never_take_less(name: str) -> None:
    llm = LLM.from_config(name)
    sizes = [llm.kv_bytes(context) for context in (1, 10, 127, 128, 129, 1000, 5000, 100_000)]
    assert sizes == sorted(sizes)


def test_a_network_built_by_hand() -> None:
    shape = grouped_query(hidden=64, heads=4, kv_heads=2, head_dim=16)
    dense, moe = FFN(64, width=256), FFN(64, experts=8, top_k=2, expert_width=32)
    llm = LLM("tiny", hidden=64, vocab=1000, layers=(Layer(shape, dense), Layer(shape, moe), Layer(shape, dense)))
    assert llm.layer_kinds == ((Layer(shape, dense), 2), (Layer(shape, moe), 1))
    assert (llm.moe_layers, llm.experts, llm.top_k) == (1, 8, 2)
    assert llm.kv_bytes_per_token == 3 * 2 * 2 * 16 * 2
    assert llm.parameters == 3 * shape.parameters + 2 * dense.parameters + moe.parameters + 2 * 64_000 + 64
    assert llm.weight_bytes == 2 * llm.parameters
    assert llm.with_precision("fp8").weight_bytes < llm.weight_bytes


def test_weight_bytes_split_into_sharded_and_replicated() -> None:
    precision = Precision(attention=dtype("fp8"), attention_output=dtype("nvfp4"))
    mla = attention("deepseek-v3")
    sharded = (mla.sharded_parameters - mla.output_parameters) + mla.output_parameters * 0.5625
    replicated = (mla.replicated_parameters - mla.bf16_parameters) + 2 * mla.bf16_parameters
    assert mla.sharded_bytes(precision) == sharded
    assert mla.replicated_bytes(precision) == replicated
