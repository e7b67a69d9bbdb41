"""Families whose layers all are attention and a dense FFN, in the words of their publishers."""

from __future__ import annotations

from dataclasses import replace

from solver.llm.config import windows
from solver.llm.config.attention_rules import (
    AlternatelyUpdated,
    CrossAttending,
    GlobalAndSliding,
    GroupedQuery,
    Latent,
)
from solver.llm.config.families.family import BIASED, NEXTN, Family, flattened
from solver.llm.config.ffn_rules import Dense, DenseBesideExperts
from solver.llm.config.modules import FUSED_GPT, GEMMA4, GPT, Rooms
from solver.llm.config.reader import Config

LLAMA = GroupedQuery(qkv_bias=BIASED, output_bias=BIASED, multi_head=True)
PLAIN = GroupedQuery(multi_head=True)
MISTRAL = GroupedQuery(window=windows.always)
QWEN2 = GroupedQuery(qkv_bias=True, window=windows.upper_layers)
QWEN3 = GroupedQuery(
    qkv_bias=BIASED, output_bias=BIASED, qk_norm="head", window=windows.upper_layers, derived_head_dim=False
)
GEMMA2 = GroupedQuery(qkv_bias=BIASED, output_bias=BIASED, window=windows.even_layers, derived_head_dim=False, norms=2)
GEMMA3 = replace(GEMMA2, qk_norm="head", window=windows.by_pattern)
BIASED_GPT = GroupedQuery(qkv_bias=True, output_bias=True, multi_head=True, norm="layer")
OLMO2 = GroupedQuery(qkv_bias=BIASED, output_bias=BIASED, qk_norm="full", multi_head=True, window=windows.if_typed)
EXAONE4 = GroupedQuery(qk_norm="head", window=windows.by_pattern)
COHERE = GroupedQuery(qkv_bias=BIASED, output_bias=BIASED, qk_norm="use_qk_norm", multi_head=True)
GLM = GroupedQuery(qkv_bias=BIASED, multi_head=True)

WIDE = Dense(ratio=4, bias=True, gated=False, norm="layer")
MLP_BIASED = Dense(bias="mlp_bias")


def falcon_kv_heads(config: Config, layer: int, heads: int) -> int:
    """Falcon: ``num_kv_heads`` counts in the new architecture only; else one, or all without ``multi_query``."""
    if config.flag("new_decoder_architecture"):
        return config.count("num_key_value_heads", heads)
    return 1 if config.flag("multi_query", True) else heads


def one_of_many(config: Config, layer: int, heads: int) -> int:
    """GPT-BigCode: one KV head unless ``multi_query`` is off."""
    return 1 if config.flag("multi_query", True) else heads


def chatglm_kv_heads(config: Config, layer: int, heads: int) -> int:
    """ChatGLM: ``multi_query_group_num`` KV heads where ``multi_query_attention``."""
    return config.count("multi_query_group_num") if config.flag("multi_query_attention") else heads


def halved(config: Config, width: int) -> int:
    """Qwen: the key gives the width of gate and up together."""
    return width // 2


def own_inputs(config: Config) -> int:
    """Parameters of the tables of Gemma-4's inputs of each layer, and of the projection that goes with them."""
    own = config.count("hidden_size_per_layer_input", 0, low=0)
    if not own:
        return 0
    rows = config.count("vocab_size_per_layer_input", config.count("vocab_size"))
    wide = own * config.count("num_hidden_layers")
    return rows * wide + wide * config.count("hidden_size") + own


def altered_inputs(config: Config) -> int:
    """Parameters of Gemma-3n's tables, and of the projections into and out of the streams of AltUp."""
    streams = config.count("altup_num_inputs", 4, high=64)
    return own_inputs(config) + 2 * (streams - 1) * config.count("hidden_size") ** 2


DENSE: dict[str, Family] = {
    "llama": Family(
        LLAMA,
        MLP_BIASED,
        names=(
            *("llama2", "llama3", "code_llama", "yi", "aquila", "xverse", "smollm3", "granite", "granite_swa", "cwm"),
            *("exaone", "solar", "telechat3", "iquestcoder", "nanbeige", "helium", "hyperclovax", "minicpm", "teleflm"),
            *("baichuan", "bai_chuan", "deepseek_llm", "internlm3", "llava", "llava_llama", "mobilellama"),
            *("llava_next", "llava_next_video", "llava_onevision", "vipllava", "smolvlm", "idefics3", "ultravox"),
            *("fairseq2_llama", "step1", "emu3_text_model", "emu3"),
        ),
    ),
    "mllama": Family(
        CrossAttending(LLAMA),
        MLP_BIASED,
        names=("mllama_text_model", "mllama_text"),
        rooms=Rooms(attention=("self_attn", "cross_attn"), linear=("cross_attn",)),
    ),
    "internlm": Family(GroupedQuery(qkv_bias="bias", output_bias="bias", multi_head=True), Dense()),
    "internlm2": Family(
        GroupedQuery(qkv_bias="bias", output_bias="bias", multi_head=True),
        Dense(),
        names=("internlm2_ve",),
        rooms=Rooms(attention=("attention",), dense=("feed_forward",), spelled=FUSED_GPT),
    ),
    "mistral": Family(MISTRAL, Dense(), names=("mistral3", "pixtral", "voxtral", "voxtral_realtime", "devstral")),
    "ministral3": Family(MISTRAL, Dense()),
    "ministral": Family(replace(MISTRAL, window=windows.if_typed), Dense()),
    "phi3": Family(
        GroupedQuery(window=windows.always, multi_head=True),
        Dense(),
        names=("phi4", "phi3_v", "phi4mm", "phi4_multimodal", "phi4_siglip"),
    ),
    "phi": Family(replace(BIASED_GPT, qk_norm="qk_layernorm"), replace(WIDE, norms=0), names=("phi_msft",)),
    "qwen": Family(GroupedQuery(qkv_bias=True, multi_head=True), Dense(adjust=halved), names=("qwen_vl",), rooms=GPT),
    "qwen2": Family(
        QWEN2,
        Dense(),
        names=(
            *("qwen2_vl", "qwen2_vl_text", "qwen2_5_vl", "qwen2_5_vl_text", "qwen2_5_omni", "qwen2_5_omni_thinker"),
            *("qwen2_5_omni_text", "qwen2_audio", "keye", "opencua"),
            *("got_ocr2", "dots_ocr", "qwen2_rm", "ovis2", "skywork_chat"),
        ),
    ),
    "mimo": Family(GroupedQuery(qkv_bias=True, window=windows.upper_layers), Dense(), mtp=NEXTN, names=("mimo_vl",)),
    "qwen3": Family(
        QWEN3,
        Dense(),
        names=("qwen3_vl", "qwen3_vl_text", "qwen3_omni_text", "qwen3_asr", "qwen3_reranker", "lightonocr", "isaac"),
    ),
    "gemma": Family(GroupedQuery(qkv_bias=BIASED, output_bias=BIASED), Dense(), tied=True, names=("paligemma",)),
    "gemma2": Family(GEMMA2, Dense(norms=2), tied=True, names=("shieldgemma",)),
    "vaultgemma": Family(replace(GEMMA2, norms=1), Dense(), tied=True),
    "gemma3_text": Family(
        GEMMA3, Dense(norms=2), tied=True, names=("gemma3", "shieldgemma2", "medgemma", "translategemma", "rnj1")
    ),
    "gemma4_text": Family(
        GlobalAndSliding(),
        DenseBesideExperts(),
        tied=True,
        names=("gemma4", "diffusion_gemma"),
        rooms=GEMMA4,
        tables=own_inputs,
    ),
    "gemma4_unified": Family(
        GlobalAndSliding(),
        DenseBesideExperts(),
        tied=True,
        names=("gemma4_unified_text",),
        rooms=GEMMA4,
        tables=own_inputs,
    ),
    "gemma3n_text": Family(AlternatelyUpdated(), Dense(norms=2), tied=True, names=("gemma3n",), tables=altered_inputs),
    "cohere": Family(COHERE, Dense(norms=0), tied=True),
    "cohere2": Family(
        replace(COHERE, window=windows.by_pattern, qk_norm="none"),
        Dense(norms=0),
        tied=True,
        names=("cohere2_vision", "aya_vision"),
        defaults={"sliding_window_pattern": 4},
    ),
    "olmo": Family(replace(LLAMA, norm="bare"), Dense(norm="bare")),
    "olmo2": Family(OLMO2, Dense(), names=("olmo3", "olmo3_2")),
    "seed_oss": Family(
        GroupedQuery(qkv_bias=BIASED, output_bias="attention_out_bias"),
        MLP_BIASED,
        defaults={"attention_bias": True},
    ),
    "exaone4": Family(EXAONE4, Dense(), names=("exaone4_5", "exaone4_5_text"), mtp=NEXTN),
    "ernie4_5": Family(
        GroupedQuery(qkv_bias="use_bias", output_bias="use_bias"),
        Dense(bias="use_bias"),
        names=("ernie4_5_text", "paddleocr_vl", "paddleocr_vl_text"),
        defaults={"head_dim": 128, "tie_word_embeddings": True},
    ),
    "glm": Family(GLM, Dense(), names=("glm_edge",), defaults={"head_dim": 128}),
    "glm4": Family(
        replace(GLM, norms=2),
        Dense(norms=2),
        names=("glm4v", "glm4v_text", "glm_4_1v", "glm_ocr", "glm_ocr_text", "glm4_0414"),
        defaults={"attention_bias": True},
        mtp=NEXTN,
    ),
    "chatglm": Family(
        GroupedQuery(qkv_bias="add_qkv_bias", output_bias="add_bias_linear", kv_heads=chatglm_kv_heads),
        Dense(bias="add_bias_linear"),
        names=("chatglm3", "chat_glm", "codegeex4"),
        rooms=GPT,
    ),
    "hunyuan_v1_dense": Family(
        GroupedQuery(qkv_bias=BIASED, output_bias=BIASED, qk_norm="use_qk_norm", multi_head=True),
        Dense(),
        names=("hun_yuan_dense_v1", "hunyuan_dense", "hunyuan_vl", "hunyuan_v1"),
        defaults={"use_qk_norm": True},
    ),
    "apertus": Family(replace(LLAMA, qk_norm="head"), Dense(gated=False)),
    "arcee": Family(LLAMA, Dense(gated=False, bias="mlp_bias"), names=("afm_4_5b",)),
    "nemotron": Family(
        replace(LLAMA, norm="layer"), Dense(gated=False, bias="mlp_bias", norm="layer"), names=("minitron", "nemotron4")
    ),
    "stablelm": Family(
        GroupedQuery(qkv_bias="use_qkv_bias", multi_head=True, norm="layer"),
        Dense(norm="layer"),
        names=("stablelm_epoch",),
    ),
    "orion": Family(replace(LLAMA, norm="layer"), Dense(norm="layer")),
    "starcoder2": Family(
        GroupedQuery(qkv_bias="use_bias", output_bias="use_bias", window=windows.always, norm="layer"),
        Dense(gated=False, bias="use_bias", norm="layer"),
        tied=True,
        defaults={"use_bias": True},
    ),
    "gpt_bigcode": Family(
        replace(BIASED_GPT, kv_heads=one_of_many), WIDE, tied=True, positions=1, rooms=GPT, names=("starcoder",)
    ),
    "gpt2": Family(BIASED_GPT, WIDE, tied=True, positions=1, rooms=GPT, names=("gpt_sw3", "distilgpt2")),
    "gpt_neo": Family(
        replace(BIASED_GPT, qkv_bias=False, window=windows.odd_layers), WIDE, tied=True, positions=1, rooms=GPT
    ),
    "gptj": Family(
        GroupedQuery(multi_head=True, norm="layer"), replace(WIDE, norms=0), names=("gpt_j", "codegen"), rooms=GPT
    ),
    "gpt_neox": Family(
        GroupedQuery(qkv_bias=BIASED, output_bias=BIASED, multi_head=True, norm="layer"),
        WIDE,
        names=("pythia", "dolly", "stablelm_alpha"),
        defaults={"attention_bias": True},
        rooms=GPT,
    ),
    "opt": Family(
        BIASED_GPT, WIDE, tied=True, positions=3, rooms=Rooms(dense=("",), spelled=FUSED_GPT), names=("galactica",)
    ),
    "bloom": Family(BIASED_GPT, WIDE, tied=True, rooms=GPT, defaults={"max_position_embeddings": 2048}),
    "mpt": Family(
        GroupedQuery(multi_head=True),
        Dense(ratio=4, gated=False),
        tied=True,
        prepare=flattened("attn_config"),
        rooms=Rooms(attention=("attn",), dense=("ffn",), spelled=FUSED_GPT),
    ),
    "falcon": Family(
        GroupedQuery(qkv_bias="bias", output_bias="bias", kv_heads=falcon_kv_heads, norm="layer"),
        Dense(ratio=4, gated=False, bias="bias", norms=0),
        tied=True,
        names=("rw", "refined_web", "refined_web_model"),
        rooms=GPT,
        defaults={"max_position_embeddings": 2048},
    ),
    "persimmon": Family(
        replace(BIASED_GPT, qk_norm="qk_layernorm"), replace(WIDE, ratio=0), defaults={"qk_layernorm": True}
    ),
    "jais2": Family(BIASED_GPT, Dense(gated=False, bias=True, norm="layer")),
    "minicpm3": Family(Latent(), Dense(), tied=True),
    "youtu": Family(Latent(), Dense(), tied=True, names=("youtu_llm", "youtu_vl")),
    "telechat2": Family(GroupedQuery(multi_head=True), Dense(), names=("telechat",)),
    "openpangu": Family(
        GroupedQuery(qkv_bias="bias", output_bias="bias"), Dense(), names=("pangu_embedded", "openpangu_dense")
    ),
}
"""Dense families by ``model_type``."""
