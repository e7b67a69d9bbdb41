"""Families with routed experts and grouped-query attention."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from solver.llm.config import ffn_rules as ffn
from solver.llm.config import windows
from solver.llm.config.attention_rules import BlockSparse, GroupedQuery
from solver.llm.config.families.dense import EXAONE4, LLAMA, MISTRAL, OLMO2, QWEN2, QWEN3
from solver.llm.config.families.family import BIASED, NEXTN, Family, flattened
from solver.llm.config.ffn_rules import Experts
from solver.llm.config.modules import (
    BLOCK_SPARSE,
    DBRX_ROOMS,
    FEED_FORWARD,
    GRANITE,
    STEP,
    Rooms,
)
from solver.llm.config.reader import Config

GPT_OSS = GroupedQuery(qkv_bias=True, output_bias=True, window=windows.by_type, sinks=True, derived_head_dim=False)
GLM4 = GroupedQuery(qkv_bias=BIASED, qk_norm="use_qk_norm", derived_head_dim=False)
MIXTRAL_EXPERTS = Experts(count="num_local_experts", width="intermediate_size")
QWEN_EXPERTS = Experts(sparse=ffn.every_sparse_step, dense_width="intermediate_size")
QWEN_SHARED = replace(QWEN_EXPERTS, shared_width="shared_expert_intermediate_size", shared_gate=True)
DEEPSEEK_EXPERTS = Experts(
    count="n_routed_experts",
    shared_count="n_shared_experts",
    sparse=ffn.after_first_dense,
    dense_width="intermediate_size",
    routing_bias="noaux_tc",
)
BIAS_ROUTED = replace(DEEPSEEK_EXPERTS, routing_bias=True)
SHARED_EXPERTS = replace(DEEPSEEK_EXPERTS, count="num_experts", shared_count="num_shared_experts", routing_bias=True)


def sliding_heads(config: Config, layer: int) -> Config:
    """Layers with a window have heads and dimensions of their own: ``swa_...`` (MiMo-V2)."""
    keys = ("num_attention_heads", "num_key_value_heads", "head_dim", "v_head_dim")
    return config.view({key: config.values[f"swa_{key}"] for key in keys if config.values.get(f"swa_{key}")})


def other_heads(config: Config, layer: int) -> Config:
    """Layers with a window have heads of their own: ``attention_other_setting`` (Step-3.5)."""
    other = config.section("attention_other_setting")
    changed: Mapping[str, Any] = other.values if other else {}
    keys = ("num_attention_heads", "num_attention_groups", "num_key_value_heads", "head_dim")
    changes = {key: changed[key] for key in keys if changed.get(key)}
    if config.has("num_sliding_attention_heads"):
        changes["num_attention_heads"] = config.count("num_sliding_attention_heads")
    if "num_attention_groups" in changes:
        changes["num_key_value_heads"] = changes.pop("num_attention_groups")
    return config.view(changes)


def listed_heads(config: Config) -> Config:
    """``num_attention_heads_per_layer`` lists the heads of each layer (Laguna)."""
    listed = config.integers("num_attention_heads_per_layer", config.count("num_hidden_layers"))
    return config.view({"num_attention_heads": listed} if listed else {})


def with_shared(config: Config) -> Config:
    """Files of transformers 5 give the width of the one shared expert and not their number (MiniMax-M3)."""
    one = config.told("shared_intermediate_size") and "n_shared_experts" not in config.values
    typed = {"use_qk_norm": True} if one else {}
    return config.view({"n_shared_experts": 1, **typed} if one else {})


def residual_moe(config: Config) -> Config:
    """Grok-2 runs a dense FFN beside the experts where ``residual_moe``; Grok-1's experts have the dense width."""
    beside = config.flag("residual_moe")
    width = config.raw("moe_intermediate_size") or config.raw("intermediate_size")
    return config.view(
        {"residual_width": config.raw("intermediate_size") if beside else 0, "moe_intermediate_size": width}
    )


def hunyuan_lists(config: Config) -> Config:
    """``moe_topk`` and ``num_shared_expert`` may be lists with an entry per layer, all alike (Hunyuan)."""
    changes: dict[str, Any] = {}
    for key in ("moe_topk", "num_shared_expert", "moe_intermediate_size", "num_experts"):
        value = config.values.get(key)
        if isinstance(value, list) and value:
            if any(entry != value[0] for entry in value):
                raise config.bad(key, "differs between layers, which is not understood")
            changes[key] = value[0]
    if not config.has("moe_intermediate_size"):
        changes["moe_intermediate_size"] = config.raw("intermediate_size")
    return config.view(changes)


def cross_layer_attention(config: Config, layer: int) -> bool:
    """With ``use_cla`` only every ``cla_share_factor``-th layer has keys and values of its own (Hunyuan-Large)."""
    return config.flag("use_cla") and layer % config.count("cla_share_factor", 2) != 0


STEP3P5 = Family(
    GroupedQuery(
        qk_norm="head",
        window=windows.if_typed,
        sliding=other_heads,
        head_gate="use_head_wise_attn_gate",
        derived_head_dim=False,
    ),
    Experts(
        count="moe_num_experts",
        top_k="moe_top_k",
        shared_width="share_expert_dim",
        sparse=ffn.enumerated,
        dense_width="intermediate_size",
        routing_bias="use_moe_router_bias",
    ),
    mtp=NEXTN,
    names=("step3p7", "step3p7_flash", "step3p5_flash", "step_3p5"),
    rooms=STEP,
    defaults={"first_k_dense_replace": 3, "use_head_wise_attn_gate": True, "use_moe_router_bias": True},
)
MINIMAX_M3 = Family(
    BlockSparse(),
    Experts(
        count="num_local_experts",
        width="intermediate_size",
        shared_count="n_shared_experts",
        sparse=ffn.after_first_dense,
        dense_width="dense_intermediate_size",
        shared_width="shared_intermediate_size",
        routing_bias="use_routing_bias",
    ),
    mtp=NEXTN,
    prepare=with_shared,
    names=("minimax_m3_text", "minimax_m3_vl", "minimax_m3_vl_text", "minimax_m3_sparse"),
    rooms=BLOCK_SPARSE,
)

EXPERTS: dict[str, Family] = {
    "mixtral": Family(MISTRAL, MIXTRAL_EXPERTS, rooms=BLOCK_SPARSE),
    "phimoe": Family(
        GroupedQuery(qkv_bias=BIASED, output_bias=BIASED, window=windows.always, norm="layer"),
        replace(MIXTRAL_EXPERTS, norm="layer"),
        names=("phi_moe", "phi3_5_moe", "slimmoe"),
        rooms=BLOCK_SPARSE,
    ),
    "qwen2_moe": Family(QWEN2, QWEN_SHARED, mtp=NEXTN),
    "qwen3_moe": Family(
        QWEN3,
        QWEN_EXPERTS,
        names=(
            *("qwen3_vl_moe", "qwen3_vl_moe_text", "qwen3_omni_moe", "qwen3_omni_moe_thinker", "qwen3_omni_moe_text"),
            *("qwen3_omni_moe_thinker_text", "interns1", "interns1_pro", "interns1_1", "mellum", "ovis2_6_moe"),
        ),
    ),
    "flint": Family(
        GroupedQuery(qk_norm="head", sinks=True, window=windows.if_typed, derived_head_dim=False),
        replace(QWEN_SHARED, shared_gate=False),
    ),
    "kolibri1": Family(
        GroupedQuery(qk_norm="head", window=windows.if_typed, derived_head_dim=False, norms=2),
        Experts(shared_width="shared_expert_intermediate_size", norms=2),
    ),
    "glm4_moe": Family(
        GLM4, BIAS_ROUTED, mtp=NEXTN, names=("glm4v_moe", "glm4v_moe_text", "glm46v", "glm4_5v", "sarvam_moe")
    ),
    "solar_open": Family(
        GroupedQuery(qkv_bias=BIASED, qk_norm="use_qk_norm", derived_head_dim=False),
        BIAS_ROUTED,
        defaults={"first_k_dense_replace": 0},
    ),
    "dots1": Family(
        GroupedQuery(qkv_bias=BIASED, output_bias=BIASED, qk_norm="head", window=windows.if_typed),
        BIAS_ROUTED,
        mtp=NEXTN,
        names=("dots_llm1",),
    ),
    "deepseek": Family(GroupedQuery(qkv_bias=BIASED, output_bias=BIASED, multi_head=True), DEEPSEEK_EXPERTS),
    "bailing_moe": Family(
        GroupedQuery(qkv_bias="use_qkv_bias", output_bias="use_bias", qk_norm="use_qk_norm"),
        replace(
            SHARED_EXPERTS,
            shared_width="moe_shared_expert_intermediate_size",
            routing_bias="moe_router_enable_expert_bias",
        ),
        mtp=NEXTN,
        names=("bailing_moe_v2", "bailingmm", "bailing_mm_native", "ring", "ling"),
        rooms=Rooms(attention=("attention",)),
        defaults={"first_k_dense_replace": 0},
    ),
    "exaone_moe": Family(EXAONE4, SHARED_EXPERTS, mtp=NEXTN, names=("k_exaone", "exaone4_moe")),
    "afmoe": Family(
        GroupedQuery(
            qk_norm="head", window=windows.every_nth_global("global_attn_every_n_layers"), output_gate=True, norms=2
        ),
        replace(SHARED_EXPERTS, norms=2),
        names=("trinity",),
    ),
    "laguna": Family(
        GroupedQuery(qkv_bias=BIASED, qk_norm="head", window=windows.if_typed, head_gate="gating"),
        replace(QWEN_SHARED, shared_gate=False, routing_bias=True),
        prepare=listed_heads,
    ),
    "hunyuan_v1_moe": Family(
        GroupedQuery(
            qkv_bias=BIASED, output_bias=BIASED, qk_norm="use_qk_norm", multi_head=True, shares=cross_layer_attention
        ),
        Experts(
            top_k="moe_topk",
            shared_count="num_shared_expert",
            sparse=ffn.every_layer,
            dense_width="intermediate_size",
        ),
        names=("hun_yuan_moe_v1", "hunyuan_moe", "hunyuan"),
        prepare=hunyuan_lists,
        defaults={"use_qk_norm": True, "num_shared_expert": 1},
    ),
    "hy_v3": Family(
        GroupedQuery(qkv_bias=BIASED, output_bias=BIASED, qk_norm="head", derived_head_dim=False),
        replace(SHARED_EXPERTS, sparse=ffn.after_first_dense),
        mtp=NEXTN,
        names=("hunyuan_v3", "hy3"),
        defaults={"first_k_dense_replace": 1},
    ),
    "ernie4_5_moe": Family(
        GroupedQuery(qkv_bias="use_bias", output_bias="use_bias"),
        Experts(
            count="moe_num_experts",
            top_k="moe_k",
            shared_count="moe_num_shared_experts",
            sparse=ffn.between,
            dense_width="intermediate_size",
            routing_bias=True,
        ),
        mtp=NEXTN,
        names=("ernie4_5_moe_text",),
        defaults={"tie_word_embeddings": True},
    ),
    "gpt_oss": Family(
        GPT_OSS, Experts(count="num_local_experts", width="intermediate_size", bias=True, routing_bias=True)
    ),
    "llama4_text": Family(
        GroupedQuery(qkv_bias=BIASED, output_bias=BIASED, window=windows.chunks, chunked=True),
        Experts(
            count="num_local_experts",
            width="intermediate_size",
            one_shared=True,
            sparse=ffn.interleaved,
            dense_width="intermediate_size_mlp",
        ),
        names=("llama4",),
        rooms=FEED_FORWARD,
    ),
    "minimax_m2": Family(
        GroupedQuery(qk_norm="full", derived_head_dim=False),
        Experts(count="num_local_experts", width="intermediate_size", routing_bias="use_routing_bias"),
        rooms=BLOCK_SPARSE,
    ),
    "minimax_m3": MINIMAX_M3,
    "mimo_v2_flash": Family(
        GroupedQuery(
            qkv_bias=BIASED,
            window=windows.by_hybrid_pattern,
            sliding=sliding_heads,
            sinks="add_swa_attention_sink_bias if sliding",
            derived_head_dim=False,
        ),
        DEEPSEEK_EXPERTS,
        mtp=NEXTN,
        names=("mimo_v2", "mimo_v2_omni", "mimo_v2_pro", "mimo_v2_5", "mimo_v2_5_pro"),
        defaults={"n_shared_experts": 0, "add_swa_attention_sink_bias": True},
    ),
    "step3p5": STEP3P5,
    "olmoe": Family(
        GroupedQuery(qkv_bias=BIASED, output_bias=BIASED, qk_norm="full", multi_head=True),
        Experts(width="intermediate_size"),
    ),
    "flex_olmo": Family(OLMO2, Experts(width="intermediate_size")),
    "granitemoe": Family(
        LLAMA,
        replace(MIXTRAL_EXPERTS, shared_width="shared_intermediate_size"),
        names=("granitemoeshared", "granitemoe_swa", "granite_moe", "granite_moe_shared"),
        rooms=GRANITE,
        defaults={"shared_intermediate_size": 0},
    ),
    "dbrx": Family(
        GroupedQuery(),
        Experts(count="moe_num_experts", top_k="moe_top_k", width="ffn_hidden_size"),
        prepare=flattened("attn_config", "ffn_config"),
        rooms=DBRX_ROOMS,
        defaults={"moe_num_experts": 4, "moe_top_k": 1, "ffn_hidden_size": 3584, "kv_n_heads": 1},
    ),
    "grok1": Family(
        replace(LLAMA, norms=2),
        replace(MIXTRAL_EXPERTS, width="moe_intermediate_size", shared_width="residual_width", norms=2),
        names=("grok_1", "grok_2", "grok1_model", "git"),
        prepare=residual_moe,
        rooms=BLOCK_SPARSE,
    ),
    "arctic": Family(
        GroupedQuery(),
        Experts(count="num_local_experts", width="intermediate_size", beside_dense="hidden_size", norms=2),
        rooms=Rooms(shared=("residual_mlp",), experts=("block_sparse_moe.experts",)),
    ),
    "aria_text": Family(
        LLAMA,
        replace(SHARED_EXPERTS, width="intermediate_size", sparse=ffn.every_layer, routing_bias=False),
        names=("aria",),
    ),
    "cohere2_moe": Family(
        GroupedQuery(qkv_bias=BIASED, output_bias=BIASED, multi_head=True, window=windows.by_pattern),
        replace(SHARED_EXPERTS, width="intermediate_size", norms=0, routing_bias=False),
        tied=True,
        names=("cohere_compass", "cohere_compass_text"),
        defaults={"sliding_window_pattern": 4, "first_k_dense_replace": 0, "num_shared_experts": 0},
    ),
    "openpangu_pro_moe": Family(
        GroupedQuery(qkv_bias="bias", output_bias="bias"),
        Experts(
            shared_width="shared_expert_intermediate_size",
            sparse=ffn.every_sparse_step,
            dense_width="intermediate_size",
        ),
        names=("pangu_pro_moe", "pangu_pro_moe_v2"),
    ),
    "param2moe": Family(
        GroupedQuery(qkv_bias="use_qkv_bias", output_bias="use_bias", qk_norm="use_qk_norm"),
        replace(SHARED_EXPERTS, routing_bias="moe_router_enable_expert_bias"),
        defaults={"first_k_dense_replace": 0},
    ),
}
"""Families by ``model_type``. MiniMax-M2 configs announce MTP modules that the released checkpoints do not hold."""
