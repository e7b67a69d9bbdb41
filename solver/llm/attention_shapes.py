"""Attention from the shapes that papers and model cards publish: one function per family of attention.

Each returns :class:`solver.llm.attention.Attention` of one layer. ``norms`` counts the norms of width ``hidden`` that
go with the attention (one before it; Gemma has one after it too).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from solver.llm.attention import Attention

INDEX_KEY_SCALE_BYTES = 4
"""One float32 scale per fp8 indexer key of 128 elements (vLLM and SGLang, DeepSeek-V3.2)."""


def grouped_query(
    *,
    hidden: int,
    heads: int,
    kv_heads: int,
    head_dim: int,
    window: int | None = None,
    chunked: bool = False,
    qkv_bias: bool = False,
    output_bias: bool = False,
    qk_norm: str = "none",
    sinks: bool = False,
    output_gate: bool = False,
    keys_as_values: bool = False,
    index_heads: int = 0,
    index_dim: int = 0,
    budget: int | None = None,
    norms: int = 1,
) -> Attention:
    """Multi-head, grouped-query or multi-query attention, optionally windowed or block-sparse.

    Keys and values are 2 kv_heads head_dim elements a token. Scores and values take 4 heads head_dim FLOP per key.

    Parameters
    ----------
    window: most recent keys attended to; None = all.
    chunked: the window is a chunk (Llama-4), not a sliding one.
    qk_norm: ``none``, ``head`` (one norm of width head_dim for queries and one for keys) or ``full`` (over all heads).
    sinks: one learned logit per head (gpt-oss).
    output_gate: a gate of the queries' width multiplies the attention's output (Qwen3.5).
    keys_as_values: the value projection is the key projection (Gemma-4's global layers); both are still cached.
    index_heads, index_dim, budget: block selection (MiniMax-M3): index queries shard with the KV heads, the index key
        is replicated and cached in bf16, ``budget`` is blocks x block size [keys].

    >>> llama = grouped_query(hidden=4096, heads=32, kv_heads=8, head_dim=128)
    >>> llama.kv_elements_per_token, llama.decode_flop_per_key
    (2048, 16384)
    """
    queries, keys = heads * head_dim, kv_heads * head_dim
    projections = hidden * queries * (2 if output_gate else 1) + hidden * keys * (1 if keys_as_values else 2)
    output = queries * hidden
    biases = (queries + 2 * keys if qkv_bias else 0) + (hidden if output_bias else 0)
    normed = {"none": 0, "head": 2 * head_dim, "full": queries + keys}[qk_norm]
    index_norms = 2 * index_dim
    small = norms * hidden + biases + normed + (heads if sinks else 0) + index_norms
    return Attention(
        kind="full" if window is None else "chunked" if chunked else "sliding",
        heads=heads,
        kv_heads=kv_heads,
        sharded_parameters=projections + output + hidden * index_heads * index_dim,
        replicated_parameters=small + hidden * index_dim,
        bf16_parameters=small,
        output_parameters=output,
        kv_elements_per_token=2 * keys,
        kv_extra_bytes_per_token=2 * index_dim,
        window=window,
        budget=budget,
        decode_flop_per_key=4 * queries,
        prefill_flop_per_key=4 * queries,
        indexer_flop_per_key=2 * index_heads * index_dim,
        normed=qk_norm != "none",
    )


def latent(
    *,
    hidden: int,
    heads: int,
    q_rank: int | None,
    kv_rank: int,
    nope_dim: int,
    rope_dim: int,
    value_dim: int,
    index_heads: int = 0,
    index_dim: int = 0,
    budget: int | None = None,
    output_gate: bool = False,
    norms: int = 1,
) -> Attention:
    """Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434 section 2.1), optionally with an indexer (DSA).

    The cache holds kv_rank + rope_dim elements a token, one for all heads, so every tensor-parallel rank holds all of
    it. Decode runs absorbed: 2 heads (2 kv_rank + rope_dim) FLOP per key; prefill expands keys and values:
    2 heads (nope_dim + rope_dim + value_dim). With sparse attention each query has keys of its own, so prefill is
    absorbed too. Down-projections and the indexer are whole on every rank (vLLM, SGLang).

    Parameters
    ----------
    q_rank: rank of the query projection; None = queries are projected directly.
    index_heads, index_dim, budget: lightning indexer (DeepSeek-V3.2): its key is cached in fp8 with one float32 scale,
        ``budget`` keys are attended to.
    output_gate: a gate of width heads value_dim multiplies the output (Kimi-K3).

    >>> v3 = latent(hidden=7168, heads=128, q_rank=1536, kv_rank=512, nope_dim=128, rope_dim=64, value_dim=128)
    >>> v3.kv_elements_per_token, v3.parameters - 7168
    (576, 187107328)
    """
    query_dim = nope_dim + rope_dim
    up = (q_rank or hidden) * heads * query_dim + kv_rank * heads * (nope_dim + value_dim)
    gate = hidden * heads * value_dim if output_gate else 0
    output = heads * value_dim * hidden
    down = hidden * ((q_rank or 0) + kv_rank + rope_dim)
    indexer = ((q_rank or hidden) * index_heads + hidden) * index_dim
    small = norms * hidden + (q_rank or 0) + kv_rank + 2 * index_dim + hidden * index_heads
    absorbed = 2 * heads * (2 * kv_rank + rope_dim)
    expanded = 2 * heads * (query_dim + value_dim)
    return Attention(
        kind="mla",
        heads=heads,
        kv_heads=1,
        sharded_parameters=up + gate + output,
        replicated_parameters=down + indexer + small,
        bf16_parameters=small,
        output_parameters=output,
        kv_elements_per_token=kv_rank + rope_dim,
        kv_extra_bytes_per_token=index_dim + INDEX_KEY_SCALE_BYTES if index_dim else 0,
        kv_mixed_bytes_per_token=kv_rank + 4 * math.ceil(kv_rank / 128) + 2 * rope_dim,
        budget=budget,
        decode_flop_per_key=absorbed,
        prefill_flop_per_key=expanded if budget is None else absorbed,
        indexer_flop_per_key=2 * index_heads * index_dim,
    )


def compressed(
    *,
    hidden: int,
    heads: int,
    head_dim: int,
    rope_dim: int,
    q_rank: int,
    output_groups: int,
    output_rank: int,
    window: int,
    compression: int,
    index_heads: int = 0,
    index_dim: int = 0,
    budget: int | None = None,
    streams: int = 1,
    norms: int = 1,
) -> Attention:
    """DeepSeek-V4 attention: one shared key-value head, a plain window and compressed older tokens.

    ``compression`` tokens become one entry; with an indexer (compressed sparse attention, windows that overlap) a query
    attends to the ``budget`` best entries, without one (heavily compressed) to all. The same head_dim elements are key
    and value. ``streams`` is the width of the hyper-connections, whose mixing weights are (2 + n) n x n hidden.
    ``compression`` 0 means no older tokens at all: a sliding window. Compressor buffers of the open window (below 1 MB
    a sequence) are not counted.
    """
    queries = heads * head_dim
    output = queries * output_rank + output_groups * output_rank * hidden
    series = 2 if index_heads else 1
    compressor = 2 * hidden * series * head_dim if compression else 0
    indexer = q_rank * index_heads * index_dim + 4 * hidden * index_dim if index_heads else 0
    bias = compression * series * (head_dim + index_dim)
    compressor_norms = head_dim + index_dim if compression else 0
    small = norms * hidden + q_rank + head_dim + heads + compressor_norms + hidden * index_heads + bias
    return Attention(
        kind="compressed" if compression else "sliding",
        heads=heads,
        kv_heads=1,
        sharded_parameters=q_rank * queries + output,
        replicated_parameters=hidden * (q_rank + head_dim) + compressor + indexer + small + hyper(hidden, streams),
        bf16_parameters=compressor + small + hyper(hidden, streams),
        output_parameters=output,
        kv_elements_per_token=head_dim,
        kv_extra_bytes_per_token=index_dim + INDEX_KEY_SCALE_BYTES if index_heads else 0,
        kv_mixed_bytes_per_token=(head_dim - rope_dim) + math.ceil((head_dim - rope_dim) / 64) + 1 + 2 * rope_dim,
        window=window,
        budget=budget,
        compression=max(compression, 1),
        decode_flop_per_key=4 * queries,
        prefill_flop_per_key=4 * queries,
        indexer_flop_per_key=2 * index_heads * index_dim,
    )


def hyper(hidden: int, streams: int) -> int:
    """Parameters of one hyper-connection of ``streams`` residual streams (arXiv:2512.24880); 0 for a plain residual."""
    if streams == 1:
        return 0
    mixed = (2 + streams) * streams
    return mixed * streams * hidden + mixed + 3


def gated_delta(
    *,
    hidden: int,
    key_heads: int,
    value_heads: int,
    key_dim: int,
    value_dim: int,
    kernel: int = 4,
    state_element_bytes: int = 4,
    norms: int = 1,
) -> Attention:
    """Gated delta rule (arXiv:2412.06464) as in Qwen3-Next and Qwen3.5.

    Projections: queries, keys, values, an output gate, two scalar gates per value head. State of a sequence:
    value_heads key_dim value_dim elements, and kernel - 1 columns of the convolution in bf16. The recurrence takes
    7 key_dim value_dim FLOP per value head and token (decay 1; read, correct and query 2 each).
    """
    channels = 2 * key_heads * key_dim + value_heads * value_dim
    output = value_heads * value_dim * hidden
    inputs = hidden * (channels + value_heads * value_dim + 2 * value_heads)
    small = norms * hidden + value_dim
    return Attention(
        kind="linear",
        heads=value_heads,
        kv_heads=key_heads,
        sharded_parameters=inputs + kernel * channels + 2 * value_heads + output,
        replicated_parameters=small,
        bf16_parameters=small,
        output_parameters=output,
        kv_elements_per_token=0,
        state_bytes=value_heads * key_dim * value_dim * state_element_bytes + (kernel - 1) * channels * 2,
        decode_flop_per_key=0,
        prefill_flop_per_key=0,
        flop_per_token=7 * value_heads * key_dim * value_dim + 2 * kernel * channels,
    )


def kimi_delta(
    *,
    hidden: int,
    heads: int,
    head_dim: int,
    kernel: int = 4,
    full_rank_gate: bool = False,
    norms: int = 1,
) -> Attention:
    """Kimi delta attention (arXiv:2510.26692): the gated delta rule with one decay per channel.

    ``full_rank_gate``: the output gate is one matrix (Kimi-K3), not a product of two (Kimi-Linear).
    """
    width = heads * head_dim
    output = width * hidden
    gate = hidden * width if full_rank_gate else head_dim * width
    sharded = 3 * hidden * width + gate + head_dim * width + hidden * heads + 3 * kernel * width + width + output
    down = hidden * head_dim * (1 if full_rank_gate else 2)
    small = norms * hidden + 2 * head_dim
    return Attention(
        kind="linear",
        heads=heads,
        kv_heads=heads,
        sharded_parameters=sharded,
        replicated_parameters=down + small,
        bf16_parameters=small,
        output_parameters=output,
        kv_elements_per_token=0,
        state_bytes=heads * head_dim * head_dim * 4 + (kernel - 1) * 3 * width * 2,
        decode_flop_per_key=0,
        prefill_flop_per_key=0,
        flop_per_token=7 * heads * head_dim * head_dim + 2 * kernel * 3 * width,
    )


SHAPES: dict[str, Callable[..., Attention]] = {
    "grouped_query": grouped_query,
    "latent": latent,
    "compressed": compressed,
    "gated_delta": gated_delta,
    "kimi_delta": kimi_delta,
}
"""Attention functions by the name that catalog files use."""
