"""Families that mix attention with layers of constant memory, and those whose layers were searched one by one."""

from __future__ import annotations

from dataclasses import replace

from solver.llm.config import ffn_rules as ffn
from solver.llm.config import windows
from solver.llm.config.attention_rules import GroupedQuery, Latent
from solver.llm.config.families.experts import MIXTRAL_EXPERTS, QWEN_SHARED, SHARED_EXPERTS
from solver.llm.config.families.family import BIASED, NEXTN, Family
from solver.llm.config.ffn_rules import Dense, Experts
from solver.llm.config.hybrid_rules import KimiHybrid, LightningHybrid, QwenHybrid
from solver.llm.config.modules import BLOCK_SPARSE, GRANITE, JAMBA, KIMI, LFM2, MIXER, QWEN_LINEAR, Rooms
from solver.llm.config.searched_rules import SearchedAttention, SearchedFFN
from solver.llm.config.state_space_rules import (
    Alternating,
    Always,
    BlockFFN,
    Blocks,
    NoFFN,
    Parallel,
    adjusted,
    convolution,
    counted_blocks,
    heads_of_state,
    mamba_1,
    mamba_2,
)

QWEN_FULL = GroupedQuery(
    qkv_bias=BIASED, output_bias=BIASED, qk_norm="head", output_gate=True, window=windows.never, derived_head_dim=False
)
QWEN_HYBRID = QwenHybrid(QWEN_FULL)
PLAIN = GroupedQuery(qkv_bias=BIASED, output_bias=BIASED)
LFM2_ATTENTION = GroupedQuery(qk_norm="head")
LFM2_EXPERTS = Experts(sparse=ffn.after_first_dense, dense_width="intermediate_size", routing_bias="use_expert_bias")

HYBRID: dict[str, Family] = {
    "qwen3_next": Family(QWEN_HYBRID, QWEN_SHARED, mtp=NEXTN, rooms=QWEN_LINEAR),
    "qwen3_5_text": Family(
        QWEN_HYBRID, Dense(), mtp=NEXTN, rooms=QWEN_LINEAR, names=("qwen3_5", "qwen3_6", "qwen3_6_text", "intern_s2")
    ),
    "qwen3_5_moe_text": Family(
        QWEN_HYBRID, QWEN_SHARED, mtp=NEXTN, rooms=QWEN_LINEAR, names=("qwen3_5_moe", "qwen3_6_moe", "qwen3_8_moe")
    ),
    "lara_mini": Family(
        QwenHybrid(replace(QWEN_FULL, output_gate=False, window=windows.if_typed)),
        replace(QWEN_SHARED, shared_gate=False),
        tied=True,
        rooms=QWEN_LINEAR,
    ),
    "kimi_linear": Family(
        KimiHybrid(Latent()),
        replace(SHARED_EXPERTS, top_k="num_experts_per_token"),
        mtp=NEXTN,
        names=("kimi_k3", "kimi_k3_text"),
        rooms=KIMI,
        defaults={"first_k_dense_replace": 1, "latent_moe_use_norm": True, "q_lora_rank": None},
    ),
    "bailing_hybrid": Family(
        KimiHybrid(Latent(head_gate=True), full_rank=True),
        replace(SHARED_EXPERTS, shared_width="moe_shared_expert_intermediate_size"),
        mtp=NEXTN,
        names=("bailing_moe_v3", "bailing_hybrid_v3", "bailing_moe_v3_vl"),
        rooms=KIMI,
        defaults={"q_lora_rank": None},
    ),
    "bailing_moe_linear": Family(
        LightningHybrid(Latent(), qk_norm=True),
        replace(
            SHARED_EXPERTS,
            shared_width="moe_shared_expert_intermediate_size",
            routing_bias="moe_router_enable_expert_bias",
        ),
        mtp=NEXTN,
        names=("bailing_moe_v2_5",),
        rooms=Rooms(attention=("attention",)),
        defaults={"q_lora_rank": None},
    ),
    "bailing_moe_linear_v2": Family(
        LightningHybrid(
            GroupedQuery(qkv_bias="use_qkv_bias", output_bias="use_bias", qk_norm="use_qk_norm"), qk_norm=True
        ),
        replace(
            SHARED_EXPERTS,
            shared_width="moe_shared_expert_intermediate_size",
            routing_bias="moe_router_enable_expert_bias",
        ),
        names=("ring_linear",),
        rooms=Rooms(attention=("attention",)),
    ),
    "minimax": Family(
        LightningHybrid(GroupedQuery()),
        replace(MIXTRAL_EXPERTS, shared_width="shared_intermediate_size"),
        names=("minimax_text_01", "minimax_m1", "minimax_vl_01"),
        rooms=BLOCK_SPARSE,
        defaults={"shared_intermediate_size": 0},
    ),
    "olmo_hybrid": Family(
        QwenHybrid(GroupedQuery(qkv_bias=BIASED, output_bias=BIASED, qk_norm="full", multi_head=True)),
        Dense(),
        rooms=QWEN_LINEAR,
    ),
    "jamba": Family(
        Alternating(GroupedQuery(), lambda config: mamba_1(config, parameter_norms=True)),
        Experts(width="intermediate_size", sparse=ffn.by_period, dense_width="intermediate_size"),
        rooms=JAMBA,
        defaults={"attn_layer_period": 8, "attn_layer_offset": 4},
    ),
    "bamba": Family(
        Alternating(PLAIN, mamba_2, keys=("mamba_n_heads", "mamba_d_state")), Dense(bias="mlp_bias"), rooms=JAMBA
    ),
    "granitemoehybrid": Family(
        Alternating(PLAIN, mamba_2),
        Experts(
            count="num_local_experts",
            width="intermediate_size",
            shared_width="shared_intermediate_size",
            sparse=lambda config, layer: config.count("num_local_experts", 0, low=0) > 0,
            dense_width="shared_intermediate_size",
        ),
        names=("granite_moe_hybrid", "granite4", "granite_hybrid", "granite4_vision"),
        rooms=GRANITE,
    ),
    "falcon_h1": Family(
        Parallel(PLAIN), Dense(bias="mlp_bias"), rooms=Rooms(attention=("self_attn", "mamba"), dense=("feed_forward",))
    ),
    "nemotron_h": Family(
        Blocks(GroupedQuery(qkv_bias=BIASED, output_bias=BIASED, derived_head_dim=False)),
        BlockFFN(
            Dense(gated=False, bias="mlp_bias"),
            Experts(
                count="n_routed_experts",
                shared_count="n_shared_experts",
                shared_width="moe_shared_expert_intermediate_size",
                gated=False,
                routing_bias=True,
            ),
        ),
        mtp=NEXTN,
        prepare=counted_blocks,
        names=("nemotron_h_nano_vl_v2", "nemotron_h_omni", "nemotron3", "nemotron_h_omni_reasoning_v3"),
        rooms=MIXER,
    ),
    "nemotron_nas": Family(
        SearchedAttention(), SearchedFFN(), names=("deci", "deci_lm", "llama_nemotron", "llama_3_nemotron"), tied=False
    ),
    "lfm2": Family(
        Alternating(LFM2_ATTENTION, convolution),
        Dense(adjust=adjusted),
        tied=True,
        names=("lfm2_vl", "lfm2_audio"),
        rooms=LFM2,
        defaults={"conv_L_cache": 3},
    ),
    "lfm2_moe": Family(
        Alternating(LFM2_ATTENTION, convolution),
        LFM2_EXPERTS,
        tied=True,
        names=("lfm2_vl_moe",),
        rooms=LFM2,
        defaults={"conv_L_cache": 3, "use_expert_bias": True},
    ),
    "lfm3": Family(
        Alternating(
            GroupedQuery(qk_norm="head", window=windows.if_typed, head_gate="use_attention_gate", norms=2), convolution
        ),
        Dense(norms=2),
        tied=True,
        names=("lfm3_vl",),
        rooms=LFM2,
    ),
    "mamba": Family(
        Always(mamba_1, ("mamba_d_state",)),
        NoFFN(),
        tied=True,
        names=("falcon_mamba",),
        rooms=MIXER,
        defaults={"max_position_embeddings": 1 << 20},
    ),
    "mamba2": Family(
        Always(mamba_2, ("mamba_d_state",)),
        NoFFN(),
        prepare=heads_of_state,
        names=("mamba_codestral",),
        rooms=MIXER,
        defaults={"max_position_embeddings": 1 << 20},
    ),
}
"""Families by ``model_type``."""
