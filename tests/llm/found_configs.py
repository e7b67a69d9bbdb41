"""Configs as people have them, rewritten by hand to what matters, with what each should give derived by hand.

The arithmetic below names tensors as the published implementations do and knows nothing of the loader. ``h`` is the
width of the residual stream, ``v`` the vocabulary; sizes of weights are in bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

BF16, FP8, FP8_BLOCK, MXFP8 = 2.0, 1.0, 1 + 4 / 128**2, 1 + 1 / 32
NVFP4, INT4_64, INT8_64 = 0.5 + 1 / 16, 0.5 + 2 / 64, 1 + 2 / 64


@dataclass
class Count:
    """What one kind of layer holds: parameters by part, KV bytes per token, state bytes per sequence."""

    attention: int = 0
    output: int = 0
    dense: int = 0
    shared: int = 0
    expert: int = 0
    experts: int = 0
    top_k: float = 0
    small: int = 0
    kv: float = 0
    state: int = 0

    @property
    def total(self) -> int:
        return self.attention + self.output + self.dense + self.shared + self.experts * self.expert + self.small

    @property
    def active(self) -> float:
        return self.total - (self.experts - self.top_k) * self.expert

    def size(self, b: dict[str, float]) -> float:
        linear = {"attention": self.attention, "output": self.output, "dense": self.dense, "shared": self.shared}
        parts = sum(n * b.get(part, b.get("all", BF16)) for part, n in linear.items())
        return parts + self.experts * self.expert * b.get("experts", b.get("all", BF16)) + 2 * self.small


@dataclass
class Found:
    """A config and what it should give."""

    config: dict[str, Any]
    layers: list[tuple[int, Count]]
    outside: int
    bytes_of: dict[str, float] = field(default_factory=dict)
    beside: dict[str, Any] | None = None
    ends: float = BF16
    published: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        return sum(n * layer.total for n, layer in self.layers) + self.outside

    @property
    def active(self) -> float:
        return sum(n * layer.active for n, layer in self.layers) + self.outside

    @property
    def kv(self) -> float:
        return sum(n * layer.kv for n, layer in self.layers)

    @property
    def state(self) -> int:
        return sum(n * layer.state for n, layer in self.layers)

    @property
    def weights(self) -> float:
        return sum(n * layer.size(self.bytes_of) for n, layer in self.layers) + self.outside * self.ends


def gqa(h: int, heads: int, kv: int, d: int, small: int = 0, dv: int = 0, cache: float = BF16) -> Count:
    """Queries, keys, values, output, and the norm before them; ``small`` are biases and other norms."""
    dv = dv or d
    keys = kv * (d + dv)
    return Count(h * heads * d + h * keys, heads * dv * h, small=small + h, kv=cache * keys)


def mla(h: int, heads: int, q: int, kv: int, nope: int, rope: int, v: int, cache: float = BF16) -> Count:
    up = (h * q + q * heads * (nope + rope) if q else h * heads * (nope + rope)) + kv * heads * (nope + v)
    return Count(up + h * (kv + rope), heads * v * h, small=h + q + kv, kv=cache * (kv + rope))


def dsa(h: int, q: int, heads: int, dim: int) -> tuple[int, int]:
    """Matrices and small parameters of a lightning indexer."""
    return q * heads * dim + h * dim, 2 * dim + h * heads


def mamba2(h: int, heads: int, d: int, n: int, groups: int, state_bytes: int, kernel: int = 4) -> Count:
    inner, channels = heads * d, heads * d + 2 * groups * n
    vectors = kernel * channels + channels + 3 * heads + inner
    state = inner * n * state_bytes + (kernel - 1) * channels * 2
    return Count(h * (inner + channels + heads) + vectors, inner * h, small=h, state=state)


def ffn(count: Count, h: int, width: int, matrices: int = 3, small: int = 0) -> Count:
    return Count(**{**vars(count), "dense": matrices * h * width, "small": count.small + h + small})


def moe(
    count: Count, h: int, experts: int, top_k: float, width: int, shared: int = 0, small: int = 0, outer: int = 0,
    matrices: int = 3, norms: int = 1,
) -> Count:  # fmt: skip
    """Router rows, experts, shared experts of this width together, and the norm before them."""
    more = {
        "shared": matrices * h * shared, "expert": matrices * (outer or h) * width, "experts": experts, "top_k": top_k,
        "small": count.small + norms * h + experts * h + small + 2 * h * outer,
    }  # fmt: skip
    return Count(**{**vars(count), **more})


def ends(h: int, vocab: int, tied: bool = False, more: int = 0) -> int:
    return (1 if tied else 2) * h * vocab + h + more


LLAMA_70B = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 8192, "intermediate_size": 28672,
    "num_attention_heads": 64, "num_hidden_layers": 80, "num_key_value_heads": 8, "vocab_size": 128256,
    "max_position_embeddings": 131072, "tie_word_embeddings": False,
}  # fmt: skip
LLAMA_LAYER = ffn(gqa(8192, 64, 8, 128), 8192, 28672)
LLAMA_ENDS = ends(8192, 128256)

GLM5 = {
    "model_type": "glm_moe_dsa", "architectures": ["GlmMoeDsaForCausalLM"], "hidden_size": 6144, "intermediate_size": 12288,
    "moe_intermediate_size": 2048, "num_hidden_layers": 78, "num_attention_heads": 64, "num_key_value_heads": 64,
    "q_lora_rank": 2048, "kv_lora_rank": 512, "qk_nope_head_dim": 192, "qk_rope_head_dim": 64, "v_head_dim": 256,
    "index_n_heads": 32, "index_head_dim": 128, "index_topk": 2048, "n_routed_experts": 256, "n_shared_experts": 1,
    "num_experts_per_tok": 8, "first_k_dense_replace": 3, "moe_layer_freq": 1, "num_nextn_predict_layers": 1,
    "topk_method": "noaux_tc", "vocab_size": 154880, "max_position_embeddings": 202752, "tie_word_embeddings": False,
}  # fmt: skip


def glm5(indexed: bool) -> Count:
    own = mla(6144, 64, 2048, 512, 192, 64, 256)
    if indexed:
        linear, small = dsa(6144, 2048, 32, 128)
        own.attention, own.small, own.kv = own.attention + linear, own.small + small, own.kv + 128 + 4
    return own


def glm5_experts(own: Count) -> Count:
    return moe(own, 6144, 256, 8, 2048, shared=2048, small=256)


V4_FLASH = {
    "architectures": ["DeepseekV4ForCausalLM"], "hidden_size": 4096, "num_hidden_layers": 43, "num_attention_heads": 64,
    "num_key_value_heads": 1, "head_dim": 512, "qk_rope_head_dim": 64, "q_lora_rank": 1024, "o_lora_rank": 1024, "o_groups": 8,
    "sliding_window": 128, "compress_ratios": [0, 0, *[4, 128] * 20, 4, 0], "index_n_heads": 64, "index_head_dim": 128,
    "index_topk": 512, "hc_mult": 4, "n_routed_experts": 256, "n_shared_experts": 1, "num_experts_per_tok": 6,
    "moe_intermediate_size": 2048, "num_nextn_predict_layers": 1, "topk_method": "noaux_tc", "vocab_size": 129280,
    "max_position_embeddings": 1048576,
}  # fmt: skip


def v4(ratio: int) -> Count:
    """One shared head of 512 (448 in fp8 with a scale per 64 and one spare byte, 64 in bf16), compressed by ``ratio``."""
    h, heads, d, rank = 4096, 64, 512, 1024
    output = heads * d * rank + 8 * rank * h
    linear = h * rank + rank * heads * d + h * d
    hyper = 24 * 4 * h + 24 + 3
    small = h + rank + d + heads + hyper
    entry = 448 + 7 + 1 + 2 * 64
    if not ratio:
        return Count(linear, output, small=small, kv=entry)
    series = 2 if ratio == 4 else 1
    small += 2 * h * series * d + ratio * series * d + d
    kv = entry
    if ratio == 4:
        linear += rank * 64 * 128 + 4 * h * 128
        small += h * 64 + ratio * series * 128 + 128
        kv += 128 + 4
    return Count(linear, output, small=small, kv=kv / ratio)


def v4_experts(own: Count) -> Count:
    return moe(own, 4096, 256, 6, 2048, shared=2048, small=256 + 24 * 4 * 4096 + 24 + 3)


NANO = {
    "model_type": "nemotron_h", "architectures": ["NemotronHForCausalLM"], "hidden_size": 2688, "num_hidden_layers": 52,
    "hybrid_override_pattern": "MEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME", "num_attention_heads": 32,
    "num_key_value_heads": 2, "head_dim": 128, "mamba_num_heads": 64, "mamba_head_dim": 64, "ssm_state_size": 128,
    "n_groups": 8, "conv_kernel": 4, "expand": 2, "mamba_ssm_cache_dtype": "float32", "use_conv_bias": True,
    "n_routed_experts": 128, "num_experts_per_tok": 6, "moe_intermediate_size": 1856, "n_shared_experts": 1,
    "moe_shared_expert_intermediate_size": 3712, "intermediate_size": 1856, "mlp_hidden_act": "relu2", "vocab_size": 131072,
    "max_position_embeddings": 262144, "tie_word_embeddings": False,
}  # fmt: skip
SUPER = NANO | {
    "hidden_size": 4096, "num_hidden_layers": 88, "mamba_num_heads": 128, "n_routed_experts": 512, "num_experts_per_tok": 22,
    "hybrid_override_pattern": "MEMEMEM*EMEMEMEM*EMEMEMEM*EMEMEMEMEM*EMEMEMEMEM*EMEMEMEMEM*EMEMEMEMEM*EMEMEMEM*EMEMEMEME",
    "moe_intermediate_size": 2688, "moe_shared_expert_intermediate_size": 5376, "moe_latent_size": 1024,
    "num_nextn_predict_layers": 1, "intermediate_size": 2688,
}  # fmt: skip
NANO_MAMBA, NANO_FULL = mamba2(2688, 64, 64, 128, 8, 4), gqa(2688, 32, 2, 128)
NANO_EXPERTS = moe(Count(), 2688, 128, 6, 1856, shared=3712, small=128, matrices=2)
"""Nano: 23 layers of Mamba-2, 6 of attention, 23 of experts. Super: 40, 8 and 40."""

M3_TEXT = {
    "hidden_size": 6144, "intermediate_size": 3072, "num_hidden_layers": 60, "num_attention_heads": 64,
    "num_key_value_heads": 4, "head_dim": 128, "vocab_size": 200064, "max_position_embeddings": 1048576, "use_qk_norm": True,
    "dense_intermediate_size": 12288, "shared_intermediate_size": 3072, "num_local_experts": 128, "num_experts_per_tok": 4,
    "n_shared_experts": 1, "use_routing_bias": True, "moe_layer_freq": [0] * 3 + [1] * 57, "num_mtp_modules": 1,
    "sparse_attention_config": {
        "sparse_attention_freq": [0] * 3 + [1] * 57, "sparse_num_index_heads": 4, "sparse_index_dim": 128,
        "sparse_topk_blocks": 16, "sparse_block_size": 128,
    },
    "architectures": ["MiniMaxM3SparseForCausalLM"], "tie_word_embeddings": False,
}  # fmt: skip
M3_INDEX = Count(6144 * 4 * 128 + 6144 * 128, small=2 * 128, kv=2 * 128)


def m3_names(kind: str, layers: range, names: tuple[str, ...]) -> dict[str, dict[str, str]]:
    return {f"language_model.model.layers.{i}.{name}": {"quant_algo": kind} for i in layers for name in names}


M3_LAYERS = {
    **m3_names("MXFP8", range(60), tuple(f"self_attn.{m}_proj" for m in "qkvo")),
    **m3_names("MXFP8", range(3), tuple(f"mlp.{m}_proj" for m in ("gate", "up", "down"))),
    **m3_names("MXFP8", range(3, 60), ("self_attn.index_q_proj", "self_attn.index_k_proj")),
    **m3_names(
        "MXFP8", range(3, 60), tuple(f"block_sparse_moe.shared_experts.{m}_proj" for m in ("gate", "up", "down"))
    ),
    **m3_names(
        "NVFP4", range(3, 60), tuple(f"block_sparse_moe.experts.{e}.w{m}" for e in range(128) for m in (1, 2, 3))
    ),
}
"""22,467 entries, as many as the published file lists."""


def m3_own(indexed: bool) -> Count:
    own = gqa(6144, 64, 4, 128, small=2 * 128)
    if indexed:
        own.attention += M3_INDEX.attention
        own.small, own.kv = own.small + M3_INDEX.small, own.kv + M3_INDEX.kv
    return own


def delta(h: int, keys: int, values: int, d: int) -> Count:
    """Gated delta rule of Qwen3.5: q, k, v, output gate, two gates per value head, convolution of 4, A, dt, norm."""
    channels = 2 * keys * d + values * d
    linear = h * channels + h * values * d + 2 * h * values + 4 * channels + 2 * values
    return Count(linear, values * d * h, small=h + d, state=values * d * d * 4 + 3 * channels * 2)


def kda(h: int, heads: int, d: int) -> Count:
    """Kimi delta attention: q, k, v, two low-rank gates, beta, three convolutions of 4, A, dt, output norm."""
    width = heads * d
    linear = 3 * h * width + 2 * (h * d + d * width) + h * heads + 3 * 4 * width + width
    return Count(linear, width * h, small=h + 2 * d, state=heads * d * d * 4 + 3 * 3 * width * 2)


def gemma4(sliding: bool) -> Count:
    own = gqa(2816, 16, 8, 256, small=2816 + 512) if sliding else gqa(2816, 16, 2, 512, small=2816 + 1024)
    own.attention -= 0 if sliding else 2816 * 2 * 512
    own.kv /= 2
    return moe(own, 2816, 128, 8, 704, shared=2112, small=128, norms=6)
