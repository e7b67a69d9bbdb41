"""How a family is found: names of wrappers and relatives, what is refused, and what is read on the asker's word."""

from __future__ import annotations

from typing import Any

import pytest

from solver.errors import BadInput, UnknownArchitecture
from solver.llm import LLM
from solver.llm.config.families import FAMILIES, family_of

DENSE: dict[str, Any] = {
    "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4, "num_hidden_layers": 2,
    "num_key_value_heads": 2, "vocab_size": 100, "max_position_embeddings": 512,
}  # fmt: skip
TOTAL = LLM.from_config({"model_type": "llama", **DENSE}).parameters


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("DeepseekV4ForCausalLM", "deepseek_v4"),
        ("Qwen3OmniMoeForConditionalGeneration", "qwen3_moe"),
        ("NemotronH_Nano_VL_V2", "nemotron_h"),
        ("GPT2LMHeadModel", "gpt2"),
        ("GPTBigCodeForCausalLM", "gpt_bigcode"),
        ("RWForCausalLM", "falcon"),
        ("BaiChuanForCausalLM", "llama"),
        ("ChatGLMForConditionalGeneration", "chatglm"),
        ("MiniMaxM1ForCausalLM", "minimax"),
        ("Step3p5ForCausalLM", "step3p5"),
        ("KimiK25ForConditionalGeneration", "deepseek_v3"),
        ("Glm4MoeLiteForCausalLM", "glm4_moe_lite"),
        ("DeciLMForCausalLM", "nemotron_nas"),
        ("HunYuanMoEV1ForCausalLM", "hunyuan_v1_moe"),
        ("Grok1ModelForCausalLM", "grok1"),
        ("WhisperForConditionalGeneration", None),
        ("BertModel", None),
        ("", None),
    ],
)
def test_class_names_mean_families(name: str, family: str | None) -> None:
    assert family_of(name) == family


def test_no_two_families_share_a_name() -> None:
    names = [name for family in FAMILIES.values() for name in family.names]
    assert len(names) == len(set(names))
    assert not set(names) & set(FAMILIES)


@pytest.mark.parametrize(
    "wrapped",
    [
        {"model_type": "some_vl", "text_config": {"model_type": "llama", **DENSE}},
        {"model_type": "some_vl", "llm_config": {"architectures": ["LlamaForCausalLM"], **DENSE}},
        {"thinker_config": {"text_config": {"model_type": "llama", **DENSE}, "audio_config": {}}, "talker_config": {}},
        {"model_type": "new", "brain": {"model_type": "llama", **DENSE}, "vision_config": {"hidden_size": 9}},
        {"architectures": ["LlamaForCausalLM"], **DENSE},
        {"model_type": "never_seen", "architectures": ["LlamaForCausalLM"], **DENSE},
        {"model_type": "llama", **DENSE, "vision_config": {"hidden_size": 3, "num_hidden_layers": 9}},
    ],
)
def test_language_parts_are_found_wherever_they_are_nested(wrapped: dict[str, Any]) -> None:
    llm = LLM.from_config(wrapped)
    assert llm.parameters == TOTAL
    beside = {"vision_config", "audio_config", "talker_config"} & {*wrapped, *wrapped.get("thinker_config", {})}
    assert all(key in " ".join(llm.notes) for key in beside)


def test_mistrals_own_words() -> None:
    native = {
        "dim": 64, "hidden_dim": 128, "n_heads": 4, "n_layers": 2, "n_kv_heads": 2, "vocab_size": 100, "head_dim": 16,
        "max_seq_len": 512, "norm_eps": 1e-5, "rope_theta": 1e6,
    }  # fmt: skip
    assert LLM.from_config(native).parameters == TOTAL
    moe = native | {"moe": {"num_experts": 4, "num_experts_per_tok": 2}}
    assert LLM.from_config(moe).parameters == TOTAL + 2 * (3 * 3 * 64 * 128 + 64 * 4)


def test_a_family_may_be_tried_on_ones_own_responsibility() -> None:
    unknown = {"model_type": "brand_new", **DENSE}
    with pytest.raises(UnknownArchitecture, match="name it with --as"):
        LLM.from_config(unknown)
    llm = LLM.from_config(unknown, family="LlamaForCausalLM")
    assert llm.parameters == TOTAL
    assert "on the asker's own responsibility" in llm.notes[0]
    with pytest.raises(UnknownArchitecture, match="'lama' is not known; nearest known: llama"):
        LLM.from_config(unknown, family="lama")
    with pytest.raises(BadInput, match="only a config file is"):
        LLM.from_config("llama-3.1-8b", family="llama")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "llama", "architectures": ["LlamaForCausalLMEagle3"], **DENSE}, "drafts for another LLM"),
        ({"model_type": "t5", **DENSE}, "not a known architecture"),
        ({"model_type": "llama", "is_encoder_decoder": True, **DENSE}, "only decoders"),
        ({"r": 16, "lora_alpha": 32, "peft_type": "LORA"}, "model_type is missing and so is architectures"),
    ],
)
def test_what_is_no_decoder_is_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(UnknownArchitecture, match=message):
        LLM.from_config(config)


def test_values_may_be_listed_per_layer() -> None:
    listed = DENSE | {
        "model_type": "gemma3n_text",
        "intermediate_size": [128, 256],
        "head_dim": 16,
        "sliding_window": 8,
    }
    listed |= {"layer_types": ["sliding_attention", "full_attention"], "hidden_size_per_layer_input": 0}
    layers = LLM.from_config(listed).layers
    assert [layer.ffn.width for layer in layers] == [128, 256]
    changed = DENSE | {"model_type": "llama", "per_layer_config": {"01": {"num_key_value_heads": 4}}}
    assert [layer.attention.kv_heads for layer in LLM.from_config(changed).layers] == [2, 4]


@pytest.mark.parametrize(
    ("changes", "shared"),
    [
        ({"indexer_types": ["full", "shared", "full", "shared"]}, [False, True, False, True]),
        ({"index_topk_pattern": "FSSF"}, [False, True, True, False]),
        ({"index_topk_freq": 2, "index_skip_topk_offset": 1}, [False, True, False, True]),
        ({}, [False] * 4),
    ],
)
def test_indexers_are_shared_as_the_file_says(changes: dict[str, Any], shared: list[bool]) -> None:
    config = DENSE | {
        "model_type": "glm_moe_dsa", "num_hidden_layers": 4, "q_lora_rank": 16, "kv_lora_rank": 8, "qk_nope_head_dim": 8,
        "qk_rope_head_dim": 4, "v_head_dim": 8, "index_n_heads": 2, "index_head_dim": 8, "index_topk": 16,
        "n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "n_shared_experts": 1,
        "first_k_dense_replace": 1, **changes,
    }  # fmt: skip
    layers = LLM.from_config(config).layers
    assert [layer.attention.kv_extra_bytes_per_token == 0 for layer in layers] == shared
    assert [layer.attention.indexer_flop_per_key == 0 for layer in layers] == shared
    assert all(layer.attention.budget == 16 for layer in layers)


BLOCKS = [
    {"attention": {"n_heads_in_group": 2}, "ffn": {"ffn_mult": 3.0}},
    {"attention": {"no_op": True}, "ffn": {"intermediate_size": 96}},
    {"attention": {"n_heads_in_group": 4}, "ffn": {"no_op": True}},
]


def test_searched_layers_may_lack_attention_or_ffn() -> None:
    """Width 2/3 x 3 x 64 = 128, rounded up to 256."""
    config = DENSE | {"model_type": "nemotron-nas", "num_hidden_layers": 3, "block_configs": BLOCKS}
    first, second, third = LLM.from_config(config).layers
    assert (first.attention.kv_heads, first.ffn.width) == (2, 256)
    assert (second.attention.kind, second.parameters) == ("none", 3 * 64 * 96 + 64)
    assert (third.attention.kv_heads, third.ffn.kind, third.parameters) == (1, "none", 64 * 64 * 2 + 2 * 64 * 16 + 64)


PUBLISHED: dict[str, tuple[float, dict[str, Any]]] = {
    "grok-2 269.5 B: a dense FFN beside the experts": (
        269.5,
        {
            "architectures": ["Grok1ForCausalLM"], "hidden_size": 8192, "intermediate_size": 32768,
            "moe_intermediate_size": 16384, "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 128,
            "num_hidden_layers": 64, "vocab_size": 131072, "num_local_experts": 8, "num_experts_per_tok": 2,
            "residual_moe": True, "max_position_embeddings": 131072, "model_type": "git",
        },
    ),
    "arctic 477 B": (
        477,
        {
            "model_type": "arctic", "hidden_size": 7168, "intermediate_size": 4864, "num_attention_heads": 56,
            "num_key_value_heads": 8, "num_hidden_layers": 35, "vocab_size": 32000, "num_local_experts": 128,
            "num_experts_per_tok": 2, "max_position_embeddings": 4096,
        },
    ),
    "Hunyuan-A13B 80.4 B: lists per layer": (
        80.4,
        {
            "model_type": "hunyuan_v1_moe", "hidden_size": 4096, "intermediate_size": 3072,
            "moe_intermediate_size": [3072] * 32, "moe_topk": [8] * 32, "num_experts": 64, "num_shared_expert": [1] * 32,
            "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "num_hidden_layers": 32,
            "vocab_size": 128167, "tie_word_embeddings": True, "max_position_embeddings": 32768, "use_qk_norm": True,
        },
    ),
    "MiniMax-M1 456 B": (
        456,
        {
            "model_type": "minimax_m1", "architectures": ["MiniMaxM1ForCausalLM"], "hidden_size": 6144,
            "intermediate_size": 9216, "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 128,
            "num_hidden_layers": 80, "attn_type_list": [0, 0, 0, 0, 0, 0, 0, 1] * 10, "num_local_experts": 32,
            "num_experts_per_tok": 2, "vocab_size": 200064, "max_position_embeddings": 10240000,
            "shared_intermediate_size": 0,
        },
    ),
    "Falcon-40B 41.3 B with tied embeddings": (
        41.3,
        {
            "architectures": ["RWForCausalLM"], "model_type": "RefinedWeb", "hidden_size": 8192, "n_head": 128,
            "n_head_kv": 8, "n_layer": 60, "vocab_size": 65024, "bias": False, "parallel_attn": True,
            "new_decoder_architecture": True,
        },
    ),
    "ChatGLM3-6B 6.24 B": (
        6.24,
        {
            "model_type": "chatglm", "architectures": ["ChatGLMModel"], "hidden_size": 4096, "ffn_hidden_size": 13696,
            "kv_channels": 128, "num_attention_heads": 32, "num_layers": 28, "multi_query_attention": True,
            "multi_query_group_num": 2, "padded_vocab_size": 65024, "seq_length": 8192, "add_qkv_bias": True,
            "add_bias_linear": False,
        },
    ),
    "InternLM2-20B 19.86 B": (
        19.86,
        {
            "model_type": "internlm2", "hidden_size": 6144, "intermediate_size": 16384, "num_attention_heads": 48,
            "num_key_value_heads": 8, "num_hidden_layers": 48, "vocab_size": 92544, "bias": False,
            "max_position_embeddings": 32768,
        },
    ),
    "Baichuan2-13B 13.9 B": (
        13.9,
        {
            "architectures": ["BaichuanForCausalLM"], "model_type": "baichuan", "hidden_size": 5120,
            "intermediate_size": 13696, "num_attention_heads": 40, "num_hidden_layers": 40, "vocab_size": 125696,
            "model_max_length": 4096, "tie_word_embeddings": False,
        },
    ),
    "Qwen-72B 72.3 B: gate and up share the width": (
        72.3,
        {
            "model_type": "qwen", "hidden_size": 8192, "intermediate_size": 49152, "num_attention_heads": 64,
            "num_hidden_layers": 80, "vocab_size": 152064, "seq_length": 32768, "kv_channels": 128,
        },
    ),
    "Nemotron-4-340B 341 B": (
        341,
        {
            "model_type": "nemotron", "hidden_size": 18432, "intermediate_size": 73728, "num_attention_heads": 96,
            "num_key_value_heads": 8, "num_hidden_layers": 96, "vocab_size": 256000, "max_position_embeddings": 4096,
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_totals(name: str) -> None:
    total, config = PUBLISHED[name]
    assert LLM.from_config(config).parameters / 1e9 == pytest.approx(total, rel=0.01)
