"""The table of architectures: ``model_type`` of a ``config.json`` to the rules that read it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from solver.llm.attention import Attention
from solver.llm.config import ffn_rules as ffn
from solver.llm.config import windows
from solver.llm.config.attention_rules import BlockSparse, GlobalAndSliding, GroupedQuery, Latent
from solver.llm.config.ffn_rules import Dense, DenseBesideExperts, Experts
from solver.llm.config.hybrid_rules import Compressed, KimiHybrid, QwenHybrid
from solver.llm.config.reader import Config
from solver.llm.ffn import FFN


class AttentionRule(Protocol):
    """Reads the attention of one layer."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Keys without which there is no telling."""

    def __call__(self, config: Config, layer: int) -> Attention:
        """Return the attention of this layer (from 0)."""


class FFNRule(Protocol):
    """Reads the feed-forward network of one layer."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Keys without which there is no telling."""

    def __call__(self, config: Config, layer: int) -> FFN:
        """Return the feed-forward network of this layer (from 0)."""


@dataclass(frozen=True)
class Family:
    """How one family of architectures is read.

    Attributes
    ----------
    attention, ffn: rules for a layer.
    tied: whether an absent ``tie_word_embeddings`` means tied.
    mtp: key of the number of multi-token-prediction layers; None where the checkpoints carry none.
    kv_cache: KV-cache format that engines use unless told otherwise.
    linear_room: module that holds the linear attention of a layer, for patterns of quantisation files.
    """

    attention: AttentionRule
    ffn: FFNRule
    tied: bool = False
    mtp: str | None = None
    kv_cache: str = "bf16"
    linear_room: str = "self_attn"

    @property
    def needs(self) -> tuple[str, ...]:
        """Keys without which there is no telling, in the order of reading."""
        general = ("num_hidden_layers", "hidden_size", "vocab_size", "max_position_embeddings")
        return (*general, *self.attention.needs, *self.ffn.needs)


NEXTN = "num_nextn_predict_layers"
QWEN_MTP = "mtp_num_hidden_layers"
BIASED = "attention_bias"
LLAMA = GroupedQuery(qkv_bias=BIASED, output_bias=BIASED, multi_head=True)
MISTRAL = GroupedQuery(window=windows.always)
QWEN2 = GroupedQuery(qkv_bias=True, window=windows.upper_layers)
QWEN3 = GroupedQuery(
    qkv_bias=BIASED, output_bias=BIASED, qk_norm="head", window=windows.upper_layers, derived_head_dim=False
)
QWEN_HYBRID = QwenHybrid(GroupedQuery(qkv_bias=BIASED, output_bias=BIASED, qk_norm="head", output_gate=True))
GEMMA2 = GroupedQuery(qkv_bias=BIASED, output_bias=BIASED, window=windows.even_layers, derived_head_dim=False, norms=2)
GEMMA3 = GroupedQuery(
    qkv_bias=BIASED,
    output_bias=BIASED,
    qk_norm="head",
    window=windows.by_pattern,
    derived_head_dim=False,
    norms=2,
)
GPT_OSS = GroupedQuery(qkv_bias=True, output_bias=True, window=windows.by_type, sinks=True, derived_head_dim=False)
GLM4 = GroupedQuery(qkv_bias=BIASED, qk_norm="use_qk_norm", derived_head_dim=False)
MIXTRAL_EXPERTS = Experts(count="num_local_experts", width="intermediate_size")
QWEN_EXPERTS = Experts(sparse=ffn.every_sparse_step, dense_width="intermediate_size")
QWEN_SHARED = Experts(
    sparse=ffn.every_sparse_step,
    dense_width="intermediate_size",
    shared_width="shared_expert_intermediate_size",
    shared_gate=True,
)
DEEPSEEK_EXPERTS = Experts(
    count="n_routed_experts",
    shared_count="n_shared_experts",
    sparse=ffn.after_first_dense,
    dense_width="intermediate_size",
    routing_bias="noaux_tc",
)

QWEN3_DENSE = Family(QWEN3, Dense())
QWEN3_MOE = Family(QWEN3, QWEN_EXPERTS)
DEEPSEEK = Family(Latent(), DEEPSEEK_EXPERTS, mtp=NEXTN)
DEEPSEEK_SPARSE = Family(Latent(indexer=True), DEEPSEEK_EXPERTS, mtp=NEXTN)
GEMMA3_TEXT = Family(GEMMA3, Dense(norms=2), tied=True)
GEMMA4_TEXT = Family(GlobalAndSliding(), DenseBesideExperts(), tied=True)
MINIMAX_M3 = Family(
    BlockSparse(),
    Experts(
        count="num_local_experts",
        shared_count="n_shared_experts",
        sparse=ffn.after_first_dense,
        dense_width="dense_intermediate_size",
        routing_bias="use_routing_bias",
    ),
    mtp=NEXTN,
)

FAMILIES: dict[str, Family] = {
    "llama": Family(LLAMA, Dense(bias="mlp_bias")),
    "mistral": Family(MISTRAL, Dense()),
    "mixtral": Family(MISTRAL, MIXTRAL_EXPERTS),
    "phi3": Family(GroupedQuery(window=windows.always, multi_head=True), Dense()),
    "qwen2": Family(QWEN2, Dense()),
    "qwen2_moe": Family(QWEN2, QWEN_SHARED),
    "qwen3": QWEN3_DENSE,
    "qwen3_vl_text": QWEN3_DENSE,
    "qwen3_moe": QWEN3_MOE,
    "qwen3_vl_moe_text": QWEN3_MOE,
    "qwen3_next": Family(QWEN_HYBRID, QWEN_SHARED, linear_room="linear_attn"),
    "qwen3_5_text": Family(QWEN_HYBRID, Dense(), mtp=QWEN_MTP, linear_room="linear_attn"),
    "qwen3_5_moe_text": Family(QWEN_HYBRID, QWEN_SHARED, mtp=QWEN_MTP, linear_room="linear_attn"),
    "gemma2": Family(GEMMA2, Dense(norms=2), tied=True),
    "gemma3_text": GEMMA3_TEXT,
    "gemma4_text": GEMMA4_TEXT,
    "deepseek_v2": DEEPSEEK,
    "deepseek_v3": DEEPSEEK,
    "deepseek_v32": DEEPSEEK_SPARSE,
    "deepseek_v4": Family(
        Compressed(),
        Experts(count="n_routed_experts", shared_count="n_shared_experts", routing_bias="noaux_tc"),
        mtp=NEXTN,
        kv_cache="fp8_ds_mla",
    ),
    "kimi_k2": DEEPSEEK,
    "kimi_linear": Family(
        KimiHybrid(Latent()),
        Experts(
            top_k="num_experts_per_token",
            shared_count="num_shared_experts",
            sparse=ffn.after_first_dense,
            dense_width="intermediate_size",
            routing_bias=True,
        ),
        mtp=NEXTN,
    ),
    "glm4_moe": Family(GLM4, replace(DEEPSEEK_EXPERTS, routing_bias=True), mtp=NEXTN),
    "glm_moe_dsa": DEEPSEEK_SPARSE,
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
    ),
    "minimax_m2": Family(
        GroupedQuery(qk_norm="full", derived_head_dim=False),
        Experts(count="num_local_experts", width="intermediate_size", routing_bias="use_routing_bias"),
    ),
    "minimax_m3": MINIMAX_M3,
    "minimax_m3_text": MINIMAX_M3,
    "olmoe": Family(
        GroupedQuery(qkv_bias=BIASED, output_bias=BIASED, qk_norm="full", multi_head=True),
        Experts(width="intermediate_size"),
    ),
}
"""Rules by ``model_type``. MiniMax-M2 configs announce MTP modules that the released checkpoints do not hold."""
