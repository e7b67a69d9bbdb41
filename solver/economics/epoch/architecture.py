"""LLMs as Epoch simplifies them: uniform layers, experts chosen one in E/K, embedding and head of equal size."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A uniform transformer.

    Attributes
    ----------
    width: d_model. ffn_width: of one expert. ffn_in, ffn_out: matrices into and out of it.
    heads: query heads; heads_per_kv: of them on one KV head. head_dim: 0 = width / heads.
    kv_rank, query_rank: of multi-head latent attention; 0 = none.
    active_experts: shared one included. weight_bytes, activation_bytes: per element.
    """

    name: str
    width: int
    ffn_width: int
    layers: int
    heads: int
    heads_per_kv: int = 1
    head_dim: int = 0
    vocabulary: int = 0
    ffn_in: int = 2
    ffn_out: int = 1
    experts: int = 1
    active_experts: int = 1
    kv_rank: int = 0
    query_rank: int = 0
    weight_bytes: float = 2
    activation_bytes: float = 2

    @property
    def head(self) -> int:
        """Width of one head."""
        return self.head_dim or self.width // self.heads

    @property
    def kv_heads(self) -> float:
        """Heads of keys and of values together."""
        return 2 * self.heads / self.heads_per_kv

    @property
    def projected(self) -> float:
        """Width of queries, keys and values together."""
        return (self.heads + self.kv_heads) * self.head

    @property
    def sparsity(self) -> int:
        """Experts for each active one, rounded down as Epoch does."""
        return self.experts // self.active_experts

    @property
    def attention_parameters(self) -> float:
        """Of all layers."""
        out = self.head * self.heads * self.width
        if not self.kv_rank:
            return self.layers * (self.projected * self.width + out)
        down = (2 * self.kv_rank + self.query_rank) * self.width
        up = self.head * (self.kv_heads * self.kv_rank + self.heads * self.query_rank)
        return self.layers * (down + up + out)

    @property
    def ffn_parameters(self) -> float:
        """Of all layers and experts."""
        return self.layers * self.experts * (self.ffn_in + self.ffn_out) * self.width * self.ffn_width

    @property
    def parameters(self) -> float:
        """All."""
        return self.attention_parameters + self.ffn_parameters + 2 * self.vocabulary * self.width

    @property
    def active_parameters(self) -> float:
        """Used by one token."""
        return self.attention_parameters + self.ffn_parameters // self.sparsity + 2 * self.vocabulary * self.width

    @property
    def kv_bytes_per_token(self) -> float:
        """KV cache of one token."""
        return (self.kv_rank or self.kv_heads * self.head) * self.layers * self.activation_bytes

    def ffn_flop(self, tokens: Floats) -> Floats:
        """FLOP of the active experts."""
        return 2 * self.ffn_parameters / self.sparsity * tokens

    def attended_flop(self, context: float, tokens: Floats) -> Floats:
        """FLOP of attending to keys and values."""
        return 4 * (self.kv_rank or self.head) * self.heads * self.layers * context * tokens

    def flop(self, context: float, tokens: Floats) -> Floats:
        """All FLOP of a step."""
        return 2 * self.active_parameters * tokens + self.attended_flop(context, tokens)


LLAMA_3_70B = Architecture(
    name="Llama 3 70B 16-bit", width=8192, ffn_width=28672, layers=80, heads=64, heads_per_kv=8, vocabulary=128256
)
#: The draft of Epoch's speculative decoding: Llama 3 8B with a single KV head.
LLAMA_3_8B_MQA = Architecture(
    name="Llama 3 8B MQA", width=4096, ffn_width=14336, layers=32, heads=32, heads_per_kv=32, vocabulary=128256
)
LLAMA_3_405B = Architecture(
    name="Llama 3.1 405B 16-bit", width=16384, ffn_width=53248, layers=126, heads=128, heads_per_kv=8, vocabulary=128256
)
MISTRAL_LARGE_2 = Architecture(
    name="Mistral Large 2", width=12288, ffn_width=28672, layers=88, heads=96, heads_per_kv=12, vocabulary=32768
)
MIXTRAL_8X22B = Architecture(
    name="Mixtral 8x22B 16-bit",
    width=6144,
    ffn_width=16384,
    layers=56,
    heads=48,
    heads_per_kv=6,
    head_dim=128,
    vocabulary=32000,
    experts=8,
    active_experts=2,
)
#: 58 sparse layers, the three dense ones left out; nine experts with the shared one.
DEEPSEEK_V3 = Architecture(
    name="DeepSeek-V3 8-bit",
    width=7168,
    ffn_width=2048,
    layers=58,
    heads=128,
    head_dim=128,
    vocabulary=129280,
    experts=256,
    active_experts=9,
    kv_rank=512,
    query_rank=1536,
    weight_bytes=1,
)
#: As rumoured: 16 experts of which 2 are active, one KV head.
GPT_4 = Architecture(
    name="GPT-4 16-bit",
    width=12288,
    ffn_width=36864,
    layers=120,
    heads=96,
    heads_per_kv=96,
    head_dim=192,
    vocabulary=100256,
    ffn_in=1,
    experts=16,
    active_experts=2,
)
ARCHITECTURES = {
    found.name: found
    for found in (
        DEEPSEEK_V3,
        LLAMA_3_70B,
        replace(LLAMA_3_70B, name="Llama 3 70B 8-bit", weight_bytes=1),
        LLAMA_3_405B,
        replace(LLAMA_3_405B, name="Llama 3.1 405B 8-bit", weight_bytes=1),
        GPT_4,
        MIXTRAL_8X22B,
        MISTRAL_LARGE_2,
    )
}
