"""The attention of one layer, as numbers a cost model needs: parameters, KV cache, operations per key."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from solver.llm.dtypes import BF16, FP8_DS_MLA, Dtype
from solver.llm.precision import Precision

KINDS = ("full", "sliding", "chunked", "mla", "compressed", "linear", "none")


@dataclass(frozen=True)
class Attention:
    """Attention of ONE layer. Build it from published shapes with :mod:`solver.llm.attention_shapes`.

    Attributes
    ----------
    kind: ``full`` (grouped-query), ``sliding`` (the last ``window`` keys), ``chunked`` (keys since the last multiple of
        ``window``), ``mla`` (multi-head latent), ``compressed`` (DeepSeek-V4: a window of plain keys and one entry per
        ``compression`` older tokens), ``linear`` (recurrent state, no KV cache: delta rules, state-space layers, short
        convolutions), ``none`` (the layer is an FFN alone).
    heads: query heads; tensor parallelism divides them. 0 in a layer without attention.
    kv_heads: ways in which tensor parallelism can split the KV cache or the state (1 for MLA: whole on every rank).
    sharded_parameters: parameters that tensor parallelism divides.
    replicated_parameters: parameters that are whole on every tensor-parallel rank (MLA's down-projections, norms ...).
    bf16_parameters: those of the replicated ones that are bf16 in every checkpoint (norms, biases, small gates).
    output_parameters: those of the sharded ones that belong to the output projection.
    kv_elements_per_token: cached elements per entry, in the KV-cache dtype; 0 where the layer reads another one's cache.
    kv_extra_bytes_per_token: cached beside each entry in a format of its own (the indexer's key) [bytes]; whole on
        every tensor-parallel rank.
    kv_mixed_bytes_per_token: size of an entry in the ``fp8_ds_mla`` layout [bytes]; 0 where there is no such layout.
    window: most recent keys that are kept as they are; None = all.
    budget: most entries that one query attends to after selection by the indexer; None = all.
    compression: tokens per cached entry beyond the window.
    state_bytes: recurrent and convolution state of one sequence [bytes].
    decode_flop_per_key: operations per query token and attended key when decoding (MLA: absorbed) [FLOP].
    prefill_flop_per_key: the same in prefill [FLOP].
    indexer_flop_per_key: operations per query token and key that the indexer scores [FLOP].
    flop_per_token: operations per token that do not depend on the context, beyond the projections [FLOP].
    normed: queries and keys pass norms of their own.
    projections: parameters of each matrix before the output projection that a checkpoint may keep in a format of its own,
        by the name that :mod:`solver.llm.config.modules` knows; only used while a config is read.
    """

    kind: str
    heads: int
    kv_heads: int
    sharded_parameters: int
    replicated_parameters: int
    bf16_parameters: int
    output_parameters: int
    kv_elements_per_token: int
    decode_flop_per_key: int
    prefill_flop_per_key: int
    kv_extra_bytes_per_token: int = 0
    kv_mixed_bytes_per_token: int = 0
    window: int | None = None
    budget: int | None = None
    compression: int = 1
    state_bytes: int = 0
    indexer_flop_per_key: int = 0
    flop_per_token: int = 0
    normed: bool = False
    projections: tuple[tuple[str, int], ...] = field(default=(), compare=False, repr=False)

    @property
    def low_rank(self) -> bool:
        """Whether queries, keys and values pass low-rank projections (MLA and its descendants)."""
        return self.kind in ("mla", "compressed")

    @property
    def parameters(self) -> int:
        """All parameters, the norm before attention included."""
        return self.sharded_parameters + self.replicated_parameters

    def sharded_bytes(self, precision: Precision) -> float:
        """Weights that tensor parallelism divides [bytes]."""
        inputs = self.sharded_parameters - self.output_parameters
        return (
            inputs * precision.attention.bytes_per_element
            + self.output_parameters * precision.attention_output.bytes_per_element
        )

    def replicated_bytes(self, precision: Precision) -> float:
        """Weights that are whole on every tensor-parallel rank [bytes]."""
        linear = self.replicated_parameters - self.bf16_parameters
        return linear * precision.attention.bytes_per_element + self.bf16_parameters * BF16.bytes_per_element

    def kv_entry_bytes(self, kv_cache: Dtype) -> float:
        """Size of one cached entry without the indexer's key [bytes]; tensor parallelism splits it in ``kv_heads``."""
        if kv_cache == FP8_DS_MLA and self.kv_mixed_bytes_per_token:
            return self.kv_mixed_bytes_per_token
        return self.kv_elements_per_token * kv_cache.bytes_per_element

    def kv_bytes_per_token(self, kv_cache: Dtype) -> float:
        """Growth of the cache per token while nothing has left the window [bytes].

        (entry + indexer key) / compression; the compressed kind's window of plain keys is a constant and not in it.
        """
        return (self.kv_entry_bytes(kv_cache) + self.kv_extra_bytes_per_token) / self.compression

    def kv_bytes(self, context_tokens: float, kv_cache: Dtype) -> float:
        """Cache of one sequence of this length, state included [bytes]."""
        entry = self.kv_entry_bytes(kv_cache)
        kept = min(context_tokens, self.window or math.inf)
        if self.kind == "compressed":
            compressed = context_tokens // self.compression
            return kept * entry + compressed * (entry + self.kv_extra_bytes_per_token) + self.state_bytes
        return kept * (entry + self.kv_extra_bytes_per_token) + self.state_bytes

    def attended_keys(self, context_tokens: float) -> float:
        """Keys (or compressed entries) that a query at this context attends to.

        An upper bound for ``chunked``: the mean over positions is half the chunk.
        """
        if self.kind in ("linear", "none"):
            return 0.0
        most = self.budget or math.inf
        if self.kind == "compressed":
            return min(context_tokens, self.window or math.inf) + min(context_tokens / self.compression, most)
        return min(context_tokens, self.window or math.inf, most)

    def indexed_keys(self, context_tokens: float) -> float:
        """Keys that the indexer scores for a query at this context."""
        return context_tokens / self.compression if self.indexer_flop_per_key else 0.0
