"""Configs that people have: totals, active, KV, state and weights against numbers derived by hand.

``published`` is what the owners say [1e9 parameters], of the language part.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from found_configs import (
    BF16,
    FP8,
    FP8_BLOCK,
    GLM5,
    INT4_64,
    INT8_64,
    LLAMA_70B,
    LLAMA_ENDS,
    LLAMA_LAYER,
    M3_LAYERS,
    M3_TEXT,
    MXFP8,
    NANO,
    NANO_EXPERTS,
    NANO_FULL,
    NANO_MAMBA,
    NVFP4,
    SUPER,
    V4_FLASH,
    Count,
    Found,
    delta,
    dsa,
    ends,
    ffn,
    gemma4,
    glm5,
    glm5_experts,
    gqa,
    kda,
    m3_own,
    mamba2,
    mla,
    moe,
    v4,
    v4_experts,
)

from solver.llm import LLM

QWEN36_LAYERS = {
    **{
        f"model.language_model.layers.{i}.linear_attn.{m}": {"quant_algo": "FP8"}
        for i in range(64)
        if i % 4 != 3
        for m in ("in_proj_qkv", "in_proj_z", "out_proj")
    },
    **{
        f"model.language_model.layers.{i}.self_attn.{m}_proj": {"quant_algo": "FP8"}
        for i in range(3, 64, 4)
        for m in "qkvo"
    },
    **{
        f"model.language_model.layers.{i}.mlp.{m}_proj": {"quant_algo": "W4A16_NVFP4", "group_size": 16}
        for i in range(64)
        for m in ("gate", "up", "down")
    },
    "lm_head": {"quant_algo": "W4A16_NVFP4", "group_size": 16},
}
QWEN36_DELTA = ffn(delta(5120, 16, 48, 128), 5120, 17408)
QWEN36_FULL = ffn(gqa(5120, 24, 4, 256, small=2 * 256, cache=FP8), 5120, 17408)
QWEN36_FULL.attention += 5120 * 24 * 256  # the output gate is part of q_proj


def jamba(attention: bool, experts: bool) -> Count:
    h, inner = 4096, 8192
    linear = h * 2 * inner + inner * (256 + 32) + 256 * inner + inner * (4 + 1 + 1 + 16 + 1)
    own = Count(linear, inner * h, small=h + 256 + 32, state=inner * 16 * 2 + 3 * inner * 2)
    own = gqa(h, 32, 8, 128) if attention else own
    return moe(own, h, 16, 2, 14336) if experts else ffn(own, h, 14336)


def lfm2(attention: bool) -> Count:
    h = 2048
    own = Count(3 * h * h + 3 * h, h * h, small=h, state=2 * h * 2)
    return ffn(gqa(h, 32, 8, 64, small=128) if attention else own, h, 8192)


def exaone(small: int = 0) -> Count:
    return ffn(gqa(5120, 40, 8, 128, small=2 * 128 + small), 5120, 27392)


def mimo(heads: int, experts: bool) -> Count:
    own = gqa(4096, 64, heads, 192, dv=128, small=64 if heads == 8 else 0)
    return moe(own, 4096, 256, 8, 2048, small=256) if experts else ffn(own, 4096, 16384)


def step(experts: bool) -> Count:
    own = gqa(4096, 64, 8, 128, small=2 * 128)
    own.attention += 4096 * 64
    return moe(own, 4096, 288, 8, 1280, shared=1280, small=288) if experts else ffn(own, 4096, 11264)


def longcat(first: bool) -> Count:
    """129 choices of which one is no expert: 8 x 128/129 experts on average; a dense FFN in both layers of a block."""
    own = mla(6144, 48, 1536, 512, 128, 64, 128)
    if not first:
        return ffn(own, 6144, 18432)
    return moe(own, 6144, 128, 8 * 128 / 129, 1536, shared=18432, small=6144 + 129)


def gpt(h: int, heads: int, width: int) -> Count:
    """Biases everywhere, two norms with biases."""
    own = gqa(h, heads, heads, h // heads, small=3 * h + h + h)
    return ffn(own, h, width, matrices=2, small=h + width + h)


FOUND: dict[str, Found] = {
    "DBRX": Found(
        {
            "architectures": ["DbrxForCausalLM"],
            "model_type": "dbrx",
            "attn_config": {"kv_n_heads": 8, "model_type": ""},
            "ffn_config": {"ffn_hidden_size": 10752, "moe_num_experts": 16, "moe_top_k": 4, "model_type": ""},
            "d_model": 6144,
            "max_seq_len": 32768,
            "n_heads": 48,
            "n_layers": 40,
            "vocab_size": 100352,
            "tie_word_embeddings": False,
        },
        [(40, moe(gqa(6144, 48, 8, 128), 6144, 16, 4, 10752))],
        ends(6144, 100352),
        published=131.6,
    ),
    "Devstral-2-123B": Found(
        {
            "architectures": ["Ministral3ForCausalLM"],
            "model_type": "ministral3",
            "head_dim": 128,
            "hidden_size": 12288,
            "intermediate_size": 28672,
            "max_position_embeddings": 262144,
            "num_attention_heads": 96,
            "num_hidden_layers": 88,
            "num_key_value_heads": 8,
            "sliding_window": None,
            "tie_word_embeddings": False,
            "vocab_size": 131072,
            "quantization_config": {
                "activation_scheme": "static",
                "quant_method": "fp8",
                "weight_block_size": None,
                "modules_to_not_convert": ["model.vision_tower", "model.multi_modal_projector", "lm_head"],
            },
        },
        [(88, ffn(gqa(12288, 96, 8, 128), 12288, 28672))],
        ends(12288, 131072),
        {"all": FP8},
        published=125.0,
    ),
    "ERNIE-4.5-21B-A3B": Found(
        {
            "architectures": ["Ernie4_5_MoeForCausalLM"],
            "model_type": "ernie4_5_moe",
            "hidden_size": 2560,
            "intermediate_size": 12288,
            "moe_intermediate_size": 1536,
            "num_hidden_layers": 28,
            "num_attention_heads": 20,
            "num_key_value_heads": 4,
            "head_dim": 128,
            "moe_num_experts": 64,
            "moe_num_shared_experts": 2,
            "moe_k": 6,
            "moe_layer_start_index": 1,
            "moe_layer_end_index": 27,
            "moe_layer_interval": 1,
            "vocab_size": 103424,
            "tie_word_embeddings": True,
            "max_position_embeddings": 131072,
            "use_bias": False,
        },
        [
            (1, ffn(gqa(2560, 20, 4, 128), 2560, 12288)),
            (27, moe(gqa(2560, 20, 4, 128), 2560, 64, 6, 1536, shared=3072, small=64)),
        ],
        ends(2560, 103424, tied=True),
        published=21.83,
    ),
    "EXAONE-4.0-32B": Found(
        {
            "architectures": ["Exaone4ForCausalLM"],
            "model_type": "exaone4",
            "head_dim": 128,
            "hidden_size": 5120,
            "intermediate_size": 27392,
            "max_position_embeddings": 131072,
            "num_attention_heads": 40,
            "num_hidden_layers": 64,
            "num_key_value_heads": 8,
            "sliding_window": 4096,
            "sliding_window_pattern": "LLLG",
            "layer_types": ["sliding_attention"] * 3 + ["full_attention"],
            "tie_word_embeddings": False,
            "vocab_size": 102400,
        }
        | {"layer_types": (["sliding_attention"] * 3 + ["full_attention"]) * 16},
        [(64, exaone())],
        ends(5120, 102400),
        published=32.0,
    ),
    "GLM-5-CT-mixed-int4-int8": Found(
        GLM5
        | {
            "quantization_config": {
                "quant_method": "compressed-tensors",
                "config_groups": {
                    "group_0": {
                        "targets": [
                            r"re:model\.layers\.(?:[3-9]|[1-6][0-9]|7[0-7])\.(?:self_attn\.(?:q_a_proj|q_b_proj|"
                            r"kv_a_proj_with_mqa|kv_b_proj|o_proj)|mlp\.shared_experts\.(?:gate_proj|up_proj|down_proj))$"
                        ],
                        "input_activations": None,
                        "weights": {"group_size": 64, "num_bits": 8, "strategy": "group", "type": "int"},
                    },
                    "group_1": {
                        "targets": [
                            r"re:model\.layers\.(?:[3-9]|[1-6][0-9]|7[0-7])\.mlp\.experts\.\d+\.(?:gate|up|down)_proj$"
                        ],
                        "input_activations": None,
                        "weights": {"group_size": 64, "num_bits": 4, "strategy": "group", "type": "int"},
                    },
                },
                "ignore": [
                    "lm_head",
                    "re:.*embed_tokens.*",
                    r"re:model\.layers\.[0-2]\..*",
                    r"re:.*self_attn\.indexer\..*",
                    "re:.*norm.*",
                    r"re:.*mlp\.gate$",
                ],
            }
        },
        [],
        0,
    ),
    "GLM-5.2": Found(
        GLM5
        | {"indexer_types": ["full"] * 3 + (["shared"] * 3 + ["full"]) * 18 + ["shared"] * 3, "index_topk_freq": 4},
        [
            (3, ffn(glm5(True), 6144, 12288)),
            (18, glm5_experts(glm5(True))),
            (57, glm5_experts(glm5(False))),
        ],
        ends(6144, 154880),
        published=743.4,
    ),
    "InternVL3-38B": Found(
        {
            "architectures": ["InternVLChatModel"],
            "model_type": "internvl_chat",
            "vision_config": {},
            "llm_config": {
                "architectures": ["Qwen2ForCausalLM"],
                "model_type": "qwen2",
                "hidden_size": 5120,
                "intermediate_size": 27648,
                "max_position_embeddings": 32768,
                "max_window_layers": 70,
                "num_attention_heads": 40,
                "num_hidden_layers": 64,
                "num_key_value_heads": 8,
                "vocab_size": 151674,
                "tie_word_embeddings": False,
                "use_sliding_window": False,
            },
        },
        [(64, ffn(gqa(5120, 40, 8, 128, small=7168), 5120, 27648))],
        ends(5120, 151674),
        published=32.8,
        notes=("vision_config left out",),
    ),
    "Jamba-1.5-Mini": Found(
        {
            "architectures": ["JambaForCausalLM"],
            "model_type": "jamba",
            "attn_layer_offset": 4,
            "attn_layer_period": 8,
            "expert_layer_offset": 1,
            "expert_layer_period": 2,
            "hidden_size": 4096,
            "intermediate_size": 14336,
            "mamba_d_conv": 4,
            "mamba_d_state": 16,
            "mamba_dt_rank": 256,
            "mamba_expand": 2,
            "max_position_embeddings": 262144,
            "num_attention_heads": 32,
            "num_experts": 16,
            "num_experts_per_tok": 2,
            "num_hidden_layers": 32,
            "num_key_value_heads": 8,
            "tie_word_embeddings": False,
            "vocab_size": 65536,
        },
        [(4, jamba(True, False)), (12, jamba(False, False)), (16, jamba(False, True))],
        ends(4096, 65536),
        published=51.57,
    ),
    "Kimi-Linear-48B": Found(
        {
            "model_type": "kimi_linear",
            "architectures": ["KimiLinearForCausalLM"],
            "q_lora_rank": None,
            "moe_layer_freq": 1,
            "tie_word_embeddings": False,
            "hidden_size": 2304,
            "num_hidden_layers": 27,
            "vocab_size": 163840,
            "num_attention_heads": 32,
            "num_key_value_heads": 32,
            "head_dim": 72,
            "kv_lora_rank": 512,
            "qk_nope_head_dim": 128,
            "qk_rope_head_dim": 64,
            "v_head_dim": 128,
            "num_experts": 256,
            "num_experts_per_token": 8,
            "num_shared_experts": 1,
            "moe_intermediate_size": 1024,
            "first_k_dense_replace": 1,
            "intermediate_size": 9216,
            "model_max_length": 1048576,
            "linear_attn_config": {
                "full_attn_layers": [4, 8, 12, 16, 20, 24, 27],
                "kda_layers": [i for i in range(1, 27) if i % 4],
                "head_dim": 128,
                "num_heads": 32,
                "short_conv_kernel_size": 4,
            },
        },
        [
            (1, ffn(kda(2304, 32, 128), 2304, 9216)),
            (19, moe(kda(2304, 32, 128), 2304, 256, 8, 1024, shared=1024, small=256)),
            (7, moe(mla(2304, 32, 0, 512, 128, 64, 128), 2304, 256, 8, 1024, shared=1024, small=256)),
        ],
        ends(2304, 163840),
        published=49.1,
    ),
    "LFM2-1.2B-VL": Found(
        {
            "architectures": ["Lfm2VlForConditionalGeneration"],
            "model_type": "lfm2_vl",
            "vision_config": {},
            "text_config": {
                "model_type": "lfm2",
                "block_auto_adjust_ff_dim": True,
                "block_ff_dim": 12288,
                "conv_L_cache": 3,
                "hidden_size": 2048,
                "intermediate_size": 12288,
                "max_position_embeddings": 128000,
                "num_attention_heads": 32,
                "num_hidden_layers": 16,
                "num_key_value_heads": 8,
                "vocab_size": 65536,
                "layer_types": ["full_attention" if i in (2, 5, 8, 10, 12, 14) else "conv" for i in range(16)],
            },
        },
        [(10, lfm2(False)), (6, lfm2(True))],
        ends(2048, 65536, tied=True),
        published=1.17,
        notes=("vision_config left out", "tie_word_embeddings True"),
    ),
    "Ling-lite-1.5": Found(
        {
            "architectures": ["BailingMoeForCausalLM"],
            "model_type": "bailing_moe",
            "first_k_dense_replace": 0,
            "hidden_size": 2048,
            "intermediate_size": 1408,
            "max_position_embeddings": 32768,
            "moe_intermediate_size": 1408,
            "num_experts": 64,
            "num_shared_experts": 2,
            "num_attention_heads": 16,
            "num_experts_per_tok": 6,
            "num_hidden_layers": 28,
            "num_key_value_heads": 4,
            "tie_word_embeddings": False,
            "use_bias": False,
            "use_qkv_bias": False,
            "vocab_size": 126464,
        },
        [(28, moe(gqa(2048, 16, 4, 128), 2048, 64, 6, 1408, shared=2816))],
        ends(2048, 126464),
        published=16.8,
    ),
    "Llama-3.1-70B-FBGEMM-FP8": Found(
        LLAMA_70B | {"quantization_config": {"quant_method": "fbgemm_fp8", "modules_to_not_convert": ["lm_head"]}},
        [(80, LLAMA_LAYER)],
        LLAMA_ENDS,
        {"all": FP8},
        published=70.55,
    ),
    "Llama-3.1-70B-MLX-4bit": Found(
        LLAMA_70B | {"quantization": {"group_size": 64, "bits": 4}},
        [(80, LLAMA_LAYER)],
        LLAMA_ENDS,
        {"all": 0.5 + 4 / 64},
        ends=0.5 + 4 / 64,
        published=70.55,
    ),
    "Llama-3.1-70B-bnb-4bit": Found(
        LLAMA_70B
        | {
            "quantization_config": {
                "quant_method": "bitsandbytes",
                "load_in_4bit": True,
                "load_in_8bit": False,
                "bnb_4bit_quant_type": "nf4",
                "bnb_4bit_use_double_quant": True,
            }
        },
        [(80, LLAMA_LAYER)],
        LLAMA_ENDS,
        {"all": 0.5 + (1 + 4 / 256) / 64},
        published=70.55,
    ),
    "Llama-3.1-70B-quark-FP8": Found(
        LLAMA_70B
        | {
            "quantization_config": {
                "quant_method": "quark",
                "exclude": ["lm_head"],
                "layer_quant_config": {},
                "kv_cache_quant_config": {},
                "global_quant_config": {
                    "input_tensors": {"dtype": "fp8_e4m3", "qscheme": "per_tensor"},
                    "weight": {"dtype": "fp8_e4m3", "qscheme": "per_tensor"},
                },
            }
        },
        [(80, LLAMA_LAYER)],
        LLAMA_ENDS,
        {"all": FP8},
        published=70.55,
    ),
    "Llama-3.1-70B-torchao-int4": Found(
        LLAMA_70B
        | {
            "quantization_config": {
                "quant_method": "torchao",
                "include_input_output_embeddings": False,
                "quant_type": {"default": {"_type": "Int4WeightOnlyConfig", "_data": {"group_size": 128}}},
            }
        },
        [(80, LLAMA_LAYER)],
        LLAMA_ENDS,
        {"all": 0.5 + 4 / 128},
        published=70.55,
    ),
    "LongCat-Flash": Found(
        {
            "model_type": "longcat_flash",
            "zero_expert_type": "identity",
            "hidden_size": 6144,
            "ffn_hidden_size": 18432,
            "moe_topk": 8,
            "expert_ffn_hidden_size": 1536,
            "n_routed_experts": 128,
            "zero_expert_num": 1,
            "num_layers": 48,
            "vocab_size": 131072,
            "max_position_embeddings": 262144,
            "num_attention_heads": 48,
            "kv_lora_rank": 512,
            "q_lora_rank": 1536,
            "qk_rope_head_dim": 64,
            "qk_nope_head_dim": 128,
            "v_head_dim": 128,
            "attention_bias": False,
        },
        [(48, longcat(True)), (48, longcat(False))],
        ends(6144, 131072),
    ),
    "Mistral-Small-3.x-24B": Found(
        {
            "architectures": ["Mistral3ForConditionalGeneration"],
            "model_type": "mistral3",
            "vision_config": {"hidden_size": 1024, "model_type": "pixtral"},
            "text_config": {
                "head_dim": 128,
                "hidden_size": 5120,
                "intermediate_size": 32768,
                "max_position_embeddings": 131072,
                "model_type": "mistral",
                "num_attention_heads": 32,
                "num_hidden_layers": 40,
                "num_key_value_heads": 8,
                "sliding_window": None,
                "vocab_size": 131072,
            },
        },
        [(40, ffn(gqa(5120, 32, 8, 128), 5120, 32768))],
        ends(5120, 131072),
        published=23.57,
        notes=("vision_config left out",),
    ),
    "Phi-mini-MoE": Found(
        {
            "architectures": ["PhiMoEForCausalLM"],
            "model_type": "phimoe",
            "attention_bias": True,
            "head_dim": 128,
            "hidden_size": 4096,
            "intermediate_size": 960,
            "lm_head_bias": True,
            "max_position_embeddings": 4096,
            "num_attention_heads": 32,
            "num_experts_per_tok": 2,
            "num_hidden_layers": 32,
            "num_key_value_heads": 8,
            "num_local_experts": 16,
            "sliding_window": 2047,
            "tie_word_embeddings": False,
            "vocab_size": 32064,
        },
        [(32, moe(gqa(4096, 32, 8, 128, small=6144 + 4096 + 4096), 4096, 16, 2, 960, small=4096))],
        ends(4096, 32064),
        published=7.65,
    ),
    "Qwen2.5-VL-7B": Found(
        {
            "architectures": ["Qwen2_5_VLForConditionalGeneration"],
            "model_type": "qwen2_5_vl",
            "hidden_size": 3584,
            "intermediate_size": 18944,
            "max_position_embeddings": 128000,
            "max_window_layers": 28,
            "num_attention_heads": 28,
            "num_hidden_layers": 28,
            "num_key_value_heads": 4,
            "sliding_window": None,
            "tie_word_embeddings": False,
            "use_sliding_window": False,
            "vocab_size": 152064,
            "vision_config": {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420},
        },
        [(28, ffn(gqa(3584, 28, 4, 128, small=3584 + 1024), 3584, 18944))],
        ends(3584, 152064),
        published=7.62,
        notes=("vision_config left out",),
    ),
    "MiMo-V2-Flash": Found(
        {
            "architectures": ["MiMoV2FlashForCausalLM"],
            "model_type": "mimo_v2_flash",
            "num_hidden_layers": 48,
            "hidden_size": 4096,
            "num_attention_heads": 64,
            "num_key_value_heads": 4,
            "head_dim": 192,
            "v_head_dim": 128,
            "intermediate_size": 16384,
            "vocab_size": 152576,
            "max_position_embeddings": 262144,
            "sliding_window": 128,
            "sliding_window_size": 128,
            "attention_chunk_size": 128,
            "swa_num_attention_heads": 64,
            "swa_num_key_value_heads": 8,
            "swa_head_dim": 192,
            "swa_v_head_dim": 128,
            "hybrid_layer_pattern": [0, 1, 1, 1, 1, *[0, 1, 1, 1, 1, 1] * 7, 0],
            "moe_layer_freq": [0] + [1] * 47,
            "moe_intermediate_size": 2048,
            "n_routed_experts": 256,
            "n_shared_experts": None,
            "num_experts_per_tok": 8,
            "topk_method": "noaux_tc",
            "attention_bias": False,
            "add_swa_attention_sink_bias": True,
            "tie_word_embeddings": False,
            "quantization_config": {"fmt": "e4m3", "quant_method": "fp8", "weight_block_size": [128, 128]},
        },
        [(1, mimo(4, False)), (8, mimo(4, True)), (39, mimo(8, True))],
        ends(4096, 152576),
        {"all": FP8_BLOCK},
        published=309.0,
    ),
    "Step-3.7-Flash": Found(
        {
            "architectures": ["Step3p7FlashForCausalLM"],
            "model_type": "step3p7",
            "num_hidden_layers": 45,
            "hidden_size": 4096,
            "num_attention_heads": 64,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "vocab_size": 128896,
            "max_position_embeddings": 65536,
            "intermediate_size": 11264,
            "sliding_window": 512,
            "layer_types": ["sliding_attention" if i % 4 else "full_attention" for i in range(45)],
            "first_k_dense_replace": 3,
            "num_experts": 288,
            "num_experts_per_tok": 8,
            "moe_intermediate_size": 1280,
            "share_expert_dim": 1280,
            "n_shared_experts": 1,
            "num_nextn_predict_layers": 3,
            "use_moe_router_bias": True,
        },
        [(3, step(False)), (42, step(True))],
        ends(4096, 128896),
        published=196.0,
        notes=("use_head_wise_attn_gate",),
    ),
    "dots.llm1": Found(
        {
            "architectures": ["Dots1ForCausalLM"],
            "model_type": "dots1",
            "hidden_size": 4096,
            "num_hidden_layers": 62,
            "intermediate_size": 10944,
            "num_attention_heads": 32,
            "num_key_value_heads": 32,
            "vocab_size": 152064,
            "first_k_dense_replace": 1,
            "moe_intermediate_size": 1408,
            "n_routed_experts": 128,
            "n_shared_experts": 2,
            "num_experts_per_tok": 6,
            "max_position_embeddings": 32768,
            "attention_bias": False,
            "tie_word_embeddings": False,
        },
        [
            (1, ffn(gqa(4096, 32, 32, 128, small=256), 4096, 10944)),
            (61, moe(gqa(4096, 32, 32, 128, small=256), 4096, 128, 6, 1408, shared=2816, small=128)),
        ],
        ends(4096, 152064),
        published=142.0,
    ),
    "opt-66b": Found(
        {
            "name": "opt-66b",
            "num_layers": 64,
            "n_head": 72,
            "hidden_dim": 9216,
            "vocab_size": 50272,
            "max_seq_len": 2048,
            "ffn_embed_dim": 36864,
            "model_type": "opt",
        },
        [(64, gpt(9216, 72, 36864))],
        ends(9216, 50272, tied=True, more=2050 * 9216),
        published=65.7,
    ),
    "gpt2": Found(
        {
            "name": "gpt2",
            "num_layers": 12,
            "n_head": 12,
            "hidden_dim": 768,
            "vocab_size": 50257,
            "max_seq_len": 1024,
            "ffn_embed_dim": 3072,
            "model_type": "gpt2",
        },
        [(12, gpt(768, 12, 3072))],
        ends(768, 50257, tied=True, more=1024 * 768),
        published=0.12444,
    ),
    "gemma-3-27b as published": Found(
        {
            "architectures": ["Gemma3ForConditionalGeneration"],
            "model_type": "gemma3",
            "vision_config": {"hidden_size": 1152},
            "text_config": {
                "head_dim": 128,
                "hidden_size": 5376,
                "intermediate_size": 21504,
                "model_type": "gemma3_text",
                "num_attention_heads": 32,
                "num_hidden_layers": 62,
                "num_key_value_heads": 16,
                "sliding_window": 1024,
            },
        },
        [(62, ffn(gqa(5376, 32, 16, 128, small=5376 + 256), 5376, 21504, small=5376))],
        ends(5376, 262208, tied=True),
        published=27.0,
        notes=("vision_config left out", "vocab_size 262208", "max_position_embeddings 131072"),
    ),
    "DeepSeek-V4-Flash-NVFP4": Found(
        V4_FLASH
        | {
            "model_type": "deepseek_v4",
            "expert_dtype": "fp4",
            "quantization_config": {
                "quant_method": "fp8",
                "weight_block_size": [128, 128],
                "quant_algo": "MIXED_PRECISION",
                "moe_quant_algo": "NVFP4",
                "ignore": ["*.attn.*", "*.ffn.shared_experts.*", "head", "mtp.*"],
                "config_groups": {"group_0": {"targets": ["Linear"], "weights": {"num_bits": 4, "group_size": 16}}},
                "quantized_layers": {f"layers.{i}.ffn.experts": {"quant_algo": "NVFP4"} for i in range(43)},
            },
        },
        [(2, v4_experts(v4(0))), (21, v4_experts(v4(4))), (20, v4_experts(v4(128)))],
        ends(4096, 129280),
        {"all": FP8_BLOCK, "experts": NVFP4},
        published=284.3,
    ),
    "DeepSeek-V4-Flash-FP8": Found(
        V4_FLASH
        | {
            "model_type": "deepseek_ref",
            "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]},
        },
        [(2, v4_experts(v4(0))), (21, v4_experts(v4(4))), (20, v4_experts(v4(128)))],
        ends(4096, 129280),
        {"all": FP8_BLOCK},
        published=284.3,
        notes=("read as deepseek_v4 by architectures 'DeepseekV4ForCausalLM': model_type says 'deepseek_ref'",),
    ),
    "Gemma-4-26B-A4B-NVFP4": Found(
        {
            "architectures": ["Gemma4ForConditionalGeneration"],
            "model_type": "gemma4",
            "audio_config": None,
            "vision_config": {"hidden_size": 1152},
            "text_config": {
                "attention_k_eq_v": True,
                "enable_moe_block": True,
                "global_head_dim": 512,
                "head_dim": 256,
                "hidden_size": 2816,
                "hidden_size_per_layer_input": 0,
                "intermediate_size": 2112,
                "layer_types": (["sliding_attention"] * 5 + ["full_attention"]) * 5,
                "max_position_embeddings": 262144,
                "model_type": "gemma4_text",
                "moe_intermediate_size": 704,
                "num_attention_heads": 16,
                "num_experts": 128,
                "num_global_key_value_heads": 2,
                "num_hidden_layers": 30,
                "num_key_value_heads": 8,
                "num_kv_shared_layers": 0,
                "sliding_window": 1024,
                "tie_word_embeddings": True,
                "top_k_experts": 8,
                "vocab_size": 262144,
            },
            "quantization_config": {
                "quant_method": "modelopt",
                "quant_algo": "NVFP4",
                "ignore": ["lm_head", "model.embed_vision*"]
                + [f"model.language_model.layers.{i}.{m}*" for i in range(30) for m in ("mlp", "router", "self_attn")],
                "kv_cache_scheme": {"dynamic": False, "num_bits": 8, "type": "float"},
            },
        },
        [(25, gemma4(True)), (5, gemma4(False))],
        ends(2816, 262144, tied=True),
        {"experts": NVFP4},
        published=25.2,
        notes=("vision_config, audio_config left out",),
    ),
    "MiniMax-M3-NVFP4": Found(
        {
            "architectures": ["MiniMaxM3SparseForConditionalGeneration"],
            "model_type": "minimax_m3_vl",
            "text_config": M3_TEXT,
            "vision_config": {"hidden_size": 1280},
            "quantization_config": {
                "quant_algo": "MIXED_PRECISION",
                "kv_cache_quant_algo": None,
                "quantized_layers": M3_LAYERS,
                "exclude_modules": ["lm_head", "model.embed_tokens", "vision_tower"]
                + [f"language_model.model.layers.{i}.block_sparse_moe.gate" for i in range(3, 60)],
            },
        },
        [
            (3, ffn(m3_own(False), 6144, 12288)),
            (57, moe(m3_own(True), 6144, 128, 4, 3072, shared=3072, small=128)),
        ],
        ends(6144, 200064),
        {"all": MXFP8, "experts": NVFP4},
        published=428.0,
        notes=("vision_config left out",),
    ),
    "Nemotron-3-Nano-30B-A3B": Found(
        NANO,
        [(23, NANO_MAMBA), (6, NANO_FULL), (23, NANO_EXPERTS)],
        ends(2688, 131072),
        published=31.6,
    ),
    "Nemotron-3-Super-120B-A12B-FP8": Found(
        SUPER,
        [
            (40, mamba2(4096, 128, 64, 128, 8, 4)),
            (8, gqa(4096, 32, 2, 128, cache=FP8)),
            (40, moe(Count(), 4096, 512, 22, 2688, shared=5376, small=512, outer=1024, matrices=2)),
        ],
        ends(4096, 131072),
        {"all": FP8},
        beside={"quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8"}},
        published=120.6,
    ),
    "Qwen3.6-27B-NVFP4": Found(
        {
            "architectures": ["Qwen3_5ForConditionalGeneration"],
            "model_type": "qwen3_5",
            "vision_config": {"depth": 27, "hidden_size": 1152},
            "text_config": {
                "attention_bias": False,
                "attn_output_gate": True,
                "full_attention_interval": 4,
                "head_dim": 256,
                "hidden_size": 5120,
                "intermediate_size": 17408,
                "linear_conv_kernel_dim": 4,
                "layer_types": (["linear_attention"] * 3 + ["full_attention"]) * 16,
                "linear_key_head_dim": 128,
                "linear_num_key_heads": 16,
                "linear_num_value_heads": 48,
                "linear_value_head_dim": 128,
                "mamba_ssm_dtype": "float32",
                "max_position_embeddings": 262144,
                "model_type": "qwen3_5_text",
                "mtp_num_hidden_layers": 1,
                "num_attention_heads": 24,
                "num_hidden_layers": 64,
                "num_key_value_heads": 4,
                "tie_word_embeddings": False,
                "vocab_size": 248320,
            },
            "quantization_config": {
                "quant_method": "modelopt",
                "quant_algo": "MIXED_PRECISION",
                "quantized_layers": QWEN36_LAYERS,
                "kv_cache_quant_algo": "FP8",
            },
        },
        [(48, QWEN36_DELTA), (16, QWEN36_FULL)],
        ends(5120, 248320),
        published=26.9,
        notes=("vision_config left out",),
    ),
}
CASES = {name: found for name, found in FOUND.items() if found.layers}


def read(found: Found, folder: Path) -> LLM:
    (folder / "config.json").write_text(json.dumps(found.config))
    if found.beside:
        (folder / "hf_quant_config.json").write_text(json.dumps(found.beside))
    return LLM.from_config(folder)


@pytest.mark.parametrize("name", CASES)
def test_found_configs_are_read_right(name: str, tmp_path: Path) -> None:
    found = CASES[name]
    llm = read(found, tmp_path)
    assert llm.parameters == found.total
    assert llm.active_parameters(embedding=True) == pytest.approx(found.active, rel=1e-9)
    assert llm.kv_bytes_per_token == pytest.approx(found.kv, rel=1e-12)
    assert sum(n * layer.attention.state_bytes for layer, n in llm.layer_kinds) == found.state
    if name != "Qwen3.6-27B-NVFP4":
        assert llm.weight_bytes == pytest.approx(found.weights, rel=1e-6)
    if found.published:
        assert llm.parameters / 1e9 == pytest.approx(found.published, rel=0.01)


@pytest.mark.parametrize("name", [name for name, found in FOUND.items() if found.notes])
def test_what_was_assumed_or_left_out_is_said(name: str, tmp_path: Path) -> None:
    notes = "; ".join(read(FOUND[name], tmp_path).notes)
    for wanted in FOUND[name].notes:
        assert wanted in notes


def test_mixed_integers_of_glm_5(tmp_path: Path) -> None:
    """Layers 3 to 77 in int8 and int4 by 64, without the indexer; the first three in bf16."""
    llm = read(FOUND["GLM-5-CT-mixed-int4-int8"], tmp_path)
    own = glm5(False)
    indexed = dsa(6144, 2048, 32, 128)[0] * 2
    first = ffn(glm5(True), 6144, 12288)
    small = glm5_experts(glm5(True)).small
    later = (own.attention + own.output + 3 * 6144 * 2048) * INT8_64 + indexed + 2 * small
    weights = 3 * first.size({}) + 75 * (later + 256 * 3 * 6144 * 2048 * INT4_64) + 2 * ends(6144, 154880)
    assert llm.weight_bytes == pytest.approx(weights, rel=1e-4)
    assert llm.kv_bytes_per_token == 100_152
    assert {part: llm.precision.names()[part] for part in ("attention", "experts", "dense")} == {
        "attention": "int8_g64", "experts": "int4_g64", "dense": "bf16",
    }  # fmt: skip


def test_weights_of_qwen_3_6_in_three_formats(tmp_path: Path) -> None:
    """fp8 mixers (small gates in bf16), FFNs and head in weight-only NVFP4, embedding in bf16."""
    llm = read(FOUND["Qwen3.6-27B-NVFP4"], tmp_path)
    gates = 48 * 2 * 5120 * 48
    linear = sum(n * (layer.attention + layer.output) for n, layer in FOUND["Qwen3.6-27B-NVFP4"].layers) - gates
    small = sum(n * layer.small for n, layer in FOUND["Qwen3.6-27B-NVFP4"].layers) + 5120
    dense = 64 * 3 * 5120 * 17408 * NVFP4
    weights = linear + 2 * gates + 2 * small + dense + 5120 * 248320 * (BF16 + NVFP4)
    assert llm.weight_bytes == pytest.approx(weights, rel=2e-3)
    assert (llm.precision.dense.name, llm.precision.head.name) == ("nvfp4_w4a16", "nvfp4_w4a16")
    assert llm.precision.dense.compute == "bf16"


def test_nemotron_nano_nvfp4_keeps_some_mixers_in_bf16(tmp_path: Path) -> None:
    """Attention and the Mamba-2 layer before each are left alone by name, wherever the backbone hangs."""
    pattern = NANO["hybrid_override_pattern"]
    full = [i for i, letter in enumerate(pattern) if letter == "*"]
    left = [f"backbone.layers.{i}.mixer.{m}_proj" for i in full for m in "qkvo"]
    left += [f"backbone.layers.{i - 1}.mixer.{m}_proj" for i in full for m in ("in", "out")]
    rules = {"quant_algo": "NVFP4", "kv_cache_quant_algo": "FP8", "exclude_modules": ["lm_head", *left]}
    llm = read(Found(NANO, [], 0, beside={"quantization": rules}), tmp_path)
    vectors = NANO_MAMBA.attention - 2688 * (2 * 4096 + 2048 + 64)
    mixers = 6 * NANO_FULL.size({}) + 6 * NANO_MAMBA.size({}) + 17 * NANO_MAMBA.size({"all": NVFP4})
    weights = mixers + 23 * NANO_EXPERTS.size({"all": NVFP4}) + 2 * ends(2688, 131072)
    assert llm.weight_bytes == pytest.approx(weights, rel=1e-3)
    assert vectors < 0.01 * NANO_MAMBA.attention
    assert llm.precision.attention.name == "nvfp4"
    assert llm.precision.experts.mean_bytes == 0


@pytest.mark.parametrize("name", ["MiniMax-M3-NVFP4", "GLM-5-CT-mixed-int4-int8", "Qwen3.6-27B-NVFP4"])
def test_long_lists_and_expressions_are_read_in_under_a_second(name: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(FOUND[name].config))
    started = time.process_time()
    LLM.from_config(tmp_path)
    assert time.process_time() - started < 1
